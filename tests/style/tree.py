"""Which files of the repository are ours, for the style tests."""
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRODUCT_FOLDERS = ("pipeline", "operators", "sources", "sinks", "cli")
CODE_FOLDERS = (*PRODUCT_FOLDERS, "bench", "tests", "cmake")
DOCUMENTS = ("README.md", "docs")


def files(folders, *suffixes):
    """Every file below the folders with one of the suffixes, in order."""
    found = []
    for folder in folders:
        place = ROOT / folder
        if place.is_file():
            found.append(place)
        else:
            found += [path for path in place.rglob("*") if path.suffix in suffixes and path.is_file()]
    return sorted(found)


def relative(path):
    return path.relative_to(ROOT).as_posix()


def finish(mistakes, checked):
    """Prints the mistakes and gives the exit status. Nothing checked is a mistake, too."""
    for mistake in mistakes:
        print(mistake)
    print(f"{checked} checked, {len(mistakes)} mistakes")
    return 1 if mistakes or not checked else 0
