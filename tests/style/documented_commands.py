"""Every command in the documents' code blocks is one that exists: a verb of ./dev, or a verb of takt with options that its --help
names. What stands in a command as a file of the repository is there.

    documented_commands.py TAKT
"""
import functools
import pathlib
import re
import shlex
import subprocess
import sys

from tree import DOCUMENTS, ROOT, files, finish, relative

BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DEV_VERB = re.compile(r"^    ([a-z]+)(?: \| [^)]*)?\)", re.MULTILINE)
SOURCE_FOLDERS = ("configs/", "tests/", "bench/", "schemas/")


@functools.lru_cache(maxsize=None)
def help_of(takt, *verbs):
    done = subprocess.run([takt, *verbs, "--help"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode == 0 else None


def judge(words, takt, dev_verbs):
    """What is wrong with a command, or None."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return None
    if words[0] == "./dev":
        return None if len(words) > 1 and words[1] in dev_verbs else f"./dev has no verb '{' '.join(words[1:2])}'"
    if words[0] in ("takt", "build/release/takt"):
        if len(words) == 1 or words[1].startswith("-"):
            return None
        text = help_of(takt, words[1])
        if text is None:
            return f"takt has no verb '{words[1]}'"
        if len(words) > 2 and not words[2].startswith("-"):
            text += help_of(takt, words[1], words[2]) or ""  # of a subcommand
        unknown = [word for word in words[2:] if word.startswith("--") and word.split("=")[0] not in text]
        if unknown:
            return f"takt {words[1]} has no option {unknown[0]}"
    missing = [word for word in words if word.startswith(SOURCE_FOLDERS) and not (ROOT / word).exists()]
    return f"{missing[0]} is not there" if missing else None


def main(arguments):
    takt = pathlib.Path(arguments[0]).resolve()
    dev_verbs = set(DEV_VERB.findall((ROOT / "dev").read_text(encoding="utf-8")))
    mistakes, checked = [], 0
    for path in files(DOCUMENTS, ".md"):
        for block in BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").strip()
                if not line or line.startswith("#"):
                    continue
                checked += 1
                wrong = judge(shlex.split(line, comments=True), str(takt), dev_verbs)
                if wrong:
                    mistakes.append(f"{relative(path)}: {line}: {wrong}")
    return finish(mistakes, checked)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
