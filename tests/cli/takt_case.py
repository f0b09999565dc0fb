"""What tests of verbs share: the program, and a folder for each test, in which it runs."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_S = 60


class TaktCase(unittest.TestCase):
    program = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def takt(self, *arguments):
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False, cwd=self.path, timeout=PATIENCE_S)


def main():
    """Runs the tests of the file that calls it with TAKT, its first argument."""
    TaktCase.program = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
