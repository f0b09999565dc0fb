"""Who includes whom: a file includes its own folder and what its folder's takt_component names, directly or through them."""
import re
import sys

from tree import CODE_FOLDERS, PRODUCT_FOLDERS, ROOT, files, finish, relative

COMPONENT = re.compile(r"^takt_component\((\S+)(?:\s+DEPENDS\s+([^)]*))?\)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# cli -> sources, operators, sinks -> pipeline -> schemas; a folder of a rank never depends on a higher one, nor on another of its own
# rank outside its own folder. Sinks may use what the sources know about connections.
RANKS = {"schemas": 0, "pipeline": 1, "sources": 2, "operators": 2, "sinks": 2, "cli": 3}
BESIDE = {("sinks", "sources/connection")}


def components():
    """folder -> every folder that it may include."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    direct = {folder: (names or "").split() for folder, names in COMPONENT.findall(text)}

    def closure(folder, seen):
        for name in direct.get(folder, ()):
            if name in direct and name not in seen:
                seen.add(name)
                closure(name, seen)
        return seen

    return {folder: closure(folder, {folder}) for folder in direct}


def owner(path, folders):
    """The component that a path below the root belongs to: the longest folder that holds it."""
    holding = [folder for folder in folders if path.startswith(folder + "/")]
    return max(holding, key=len, default=None)


def main():
    allowed = components()
    mistakes = []
    for folder, dependencies in allowed.items():
        for dependency in dependencies - {folder}:
            top, other = folder.split("/")[0], dependency.split("/")[0]
            if top != other and RANKS[other] >= RANKS[top] and (top, dependency) not in BESIDE:
                mistakes.append(f"CMakeLists.txt: {folder} must not depend on {dependency}")
    paths = files(PRODUCT_FOLDERS, ".h", ".cc")
    for path in paths:
        name = relative(path)
        folder = owner(name, allowed)
        if folder is None:
            mistakes.append(f"{name}: its folder is no takt_component")
            continue
        for included in INCLUDE.findall(path.read_text(encoding="utf-8")):
            target = owner(included, allowed)
            if target is None:
                mistakes.append(f'{name}: "{included}" is not written from the root of the repository')
            elif target not in allowed[folder]:
                mistakes.append(f"{name}: {folder} must not include {included}")
    for path in files(CODE_FOLDERS, ".h"):
        if "#pragma once" not in path.read_text(encoding="utf-8"):
            mistakes.append(f"{relative(path)}: no #pragma once")
    return finish(mistakes, len(paths))


if __name__ == "__main__":
    sys.exit(main())
