"""clang-tidy-14 finds nothing in the code that is shipped, by .clang-tidy.

    tidy.py BUILD_DIR [--changed]

All files take minutes. --changed reads what the last commit and the working tree changed: as every commit passes, so
does the whole. A file that passed is not read again until it, any header or .clang-tidy changes.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from tree import PRODUCT_FOLDERS, ROOT, files, finish

# clang cannot read what g++ precompiled, and does not know all of its warnings.
PRECOMPILED = re.compile(r" -Winvalid-pch| -include \S*cmake_pch\.hxx")
# In a unity build one such file includes several sources, which are to be checked each by itself.
UNITY = re.compile(r"/Unity/unity_\d+_cxx\.cxx$")
INCLUDED = re.compile(r'^#include "(.+)"$', re.MULTILINE)


def compile_commands(build, folder):
    """Writes the compile commands for clang, one a source; the file that holds them, and the sources that are in it."""
    commands = []
    for listed in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        command = PRECOMPILED.sub("", listed["command"])
        path = listed["file"]
        sources = INCLUDED.findall(pathlib.Path(path).read_text(encoding="utf-8")) if UNITY.search(path) else [path]
        commands += [{**listed, "file": source, "command": command.replace(path, source)} for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "compile_commands.json"
    written.write_text(json.dumps(commands), encoding="utf-8")
    return written, {command["file"] for command in commands}


def changed():
    """The .cc files that were changed, and those of changed headers; nothing where git has no history to compare with."""
    names = set()
    for command in (["diff", "--name-only", "HEAD~1"], ["ls-files", "--others", "--exclude-standard"]):
        listed = subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True, check=False)
        if listed.returncode:
            return None
        names.update(listed.stdout.splitlines())
    return {(ROOT / name).with_suffix(".cc") for name in names if name.endswith((".cc", ".h"))}


def main(arguments):
    tidy = shutil.which("clang-tidy-14")
    if not tidy:
        print("SKIP: clang-tidy-14 is not installed")
        return 77
    build = pathlib.Path(arguments[0]).resolve()
    folder = build / "tidy"
    commands, known = compile_commands(build, folder)
    shared = hashlib.sha256()
    for path in [ROOT / ".clang-tidy", commands, *files(PRODUCT_FOLDERS, ".h"), *files(["schemas"], ".fbs")]:
        shared.update(path.read_bytes())

    def check(path):
        """What clang-tidy says, or nothing."""
        digest = shared.copy()
        digest.update(path.read_bytes())
        passed = folder / f"{path.stem}-{digest.hexdigest()}.passed"
        if passed.exists():
            return ""
        done = subprocess.run([tidy, "-p", folder, "--quiet", "--extra-arg=-Wno-unknown-warning-option", path],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stdout or done.stderr
        passed.touch()
        return ""

    paths = [path for path in files(PRODUCT_FOLDERS, ".cc") if str(path) in known]
    if "--changed" in arguments:
        wanted = changed()
        if wanted is None:
            print("SKIP: git knows no earlier commit")
            return 77
        paths = [path for path in paths if path in wanted]
        if not paths:
            print("nothing that is shipped was changed")
            return 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        mistakes = list(filter(None, pool.map(check, paths)))
    return finish(mistakes, len(paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
