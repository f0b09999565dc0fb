"""Every code that the sources emit has an entry in docs/reference, and every entry is emitted by some source."""
import re
import sys

from tree import PRODUCT_FOLDERS, files, finish, relative

# A code as it stands in text or at its head: "C104", "E510: the file ...".
EMITTED = re.compile(r'"([CDEF][0-9]{3})\b')
EXPLAINED = re.compile(r"\b([CDEF][0-9]{3})\b")
EXAMPLE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def main():
    emitted, explained = {}, {}
    for path in files(PRODUCT_FOLDERS, ".h", ".cc"):
        for code in EMITTED.findall(path.read_text(encoding="utf-8")):
            emitted.setdefault(code, path)
    for path in files(["docs/reference"], ".md"):
        for code in EXPLAINED.findall(EXAMPLE.sub("", path.read_text(encoding="utf-8"))):
            explained.setdefault(code, path)
    mistakes = [f"{relative(path)}: {code} has no entry in docs/reference" for code, path in sorted(emitted.items())
                if code not in explained]
    mistakes += [f"{relative(path)}: nothing emits {code}" for code, path in sorted(explained.items()) if code not in emitted]
    return finish(mistakes, len(emitted))


if __name__ == "__main__":
    sys.exit(main())
