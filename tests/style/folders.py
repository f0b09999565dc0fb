"""The README's tables of folders hold every folder of the repository and of tests/, and each folder that they name is there."""
import re
import subprocess
import sys

from tree import ROOT, finish

FOLDER = re.compile(r"`([a-z_/]+)/`")


def tracked_folders():
    """Folders of the top and of tests/ that git knows files of, or would take files of."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                            check=False)
    if listed.returncode:
        return None
    found = set()
    for path in listed.stdout.splitlines():
        parts = path.split("/")
        if len(parts) > 1 and not parts[0].startswith(".") and (ROOT / path).exists():
            found.add(parts[0])
            if parts[0] == "tests" and len(parts) > 2:
                found.add("/".join(parts[:2]))
    return found


def main():
    folders = tracked_folders()
    if folders is None:
        print("SKIP: this is no git repository")
        return 77
    named = []
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            named += FOLDER.findall(line.split("|")[1])
    mistakes = [f"README.md: no row for {folder}/" for folder in sorted(folders - set(named) - {"cmake"})]
    mistakes += [f"README.md: {folder}/ is not there" for folder in sorted(set(named)) if not (ROOT / folder).is_dir()]
    mistakes += [f"README.md: {folder}/ has {named.count(folder)} rows" for folder in sorted(set(named)) if named.count(folder) > 1]
    return finish(mistakes, len(named))


if __name__ == "__main__":
    sys.exit(main())
