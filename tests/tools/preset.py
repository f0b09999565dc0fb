"""Builds a target with one of the CMake presets, for programs that need a build of their own."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build(preset, target):
    """Its folder. Ends the program with 2, and with what the build said, where it fails."""
    for command in (["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset, "--target", target]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}", file=sys.stderr)
            sys.exit(2)
    return ROOT / "build" / preset
