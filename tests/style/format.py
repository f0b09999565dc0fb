"""Every C++ file is as clang-format-14 writes it by .clang-format."""
import shutil
import subprocess
import sys

from tree import CODE_FOLDERS, files, finish


def main():
    formatter = shutil.which("clang-format-14")
    if not formatter:
        print("SKIP: clang-format-14 is not installed")
        return 77
    paths = files(CODE_FOLDERS, ".h", ".cc")
    mistakes = []
    done = subprocess.run([formatter, "--dry-run", "-Werror", *paths], capture_output=True, text=True, check=False)
    if done.returncode:
        mistakes = sorted({line.split(":")[0] for line in done.stderr.splitlines() if ": error: " in line}) or [done.stderr]
    return finish([f"{path}: clang-format-14 -i changes it" for path in mistakes], len(paths))


if __name__ == "__main__":
    sys.exit(main())
