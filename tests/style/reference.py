"""Every operator, source, sink and live table of `takt list` has a heading of its name in docs/reference.

    reference.py TAKT
"""
import re
import subprocess
import sys

from tree import files, finish

# `takt list` prints one entry a line: its kind, its name, what it is for.
ENTRY = re.compile(r"^\s*(operator|source|sink|table)\s+([a-z_]+)", re.MULTILINE)


def main(arguments):
    listed = subprocess.run([arguments[0], "list"], capture_output=True, text=True, check=True).stdout
    headings = set()
    for path in files(["docs/reference"], ".md"):
        headings |= set(re.findall(r"^#+ `([a-z_]+)`", path.read_text(encoding="utf-8"), re.MULTILINE))
    entries = ENTRY.findall(listed)
    return finish([f"docs/reference: no heading `{name}` for the {kind}" for kind, name in entries if name not in headings], len(entries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
