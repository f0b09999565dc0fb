"""The steps of the proof: simulated events into a file, the daemon over it, the batch oracle over it."""
import os
import pathlib
import resource
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# 100 hours, with the night in which Berlin's clocks go back: shifts of 8 and 9 hours, local days of 24 and 25.
START = "2026-10-22T04:00:00Z"
SPAN_HOURS = 100
FIRST_DATE, LAST_DATE = "2026-10-15", "2026-11-02"
RATE = 100_000
EPOCHS = 500
SHARES = {"duplicates": 0.02, "out-of-order": 0.05, "late": 0.03, "too-late": 0.001, "corrections": 0.005, "malformed": 0.001,
          "invalid": 0.002, "filtered": 0.01}


class Failed(Exception):
    """A program of the proof ended with an error."""


class Proof:
    """One file of events, and programs that read it. `build` has the binaries; everything is written below `folder`."""

    def __init__(self, build, folder, events, seed):
        self.takt, self.oracle_program = build / "takt", build / "tests/batch_oracle"
        self.folder, self.events, self.seed = folder, events, seed
        self.epoch_messages = max(1, events // EPOCHS)
        self.master, self.file = folder / "master", folder / "events.records"
        self.disk_bytes = 0

    def generate(self):
        shares = [text for name, share in SHARES.items() for text in (f"--{name}", str(share))]
        acceleration = SPAN_HOURS * 3600 * RATE / self.events
        self._call([self.takt, "sim", "--events", str(self.events), "--seed", str(self.seed), "--start", START, "--rate", str(RATE),
                    "--acceleration", repr(acceleration), *shares, "--write-master", self.master, "--file", self.file])

    def run(self, lanes):
        """The folder with what a run of so many lanes posted."""
        answer = self.folder / f"lanes-{lanes}"
        self._call([self.takt, "run", ROOT / "tests/determinism/plant.yaml", "--lanes", str(lanes), "--progress", "none"],
                   TAKT_MASTER=self.master, TAKT_EVENTS=self.file, TAKT_ANSWER=answer, TAKT_EPOCH_MESSAGES=str(self.epoch_messages))
        return answer

    def ledger(self, name, lanes, *options):
        """The folder with what a ledger exports after a run with these options; epochs are those of the conformance cases."""
        ledger, exported = self.folder / f"{name}.db", self.folder / name
        self._call([self.takt, "run", ROOT / "configs/conformance/plant_flatbuffers.yaml", "--lanes", str(lanes), "--progress", "none", *options],
                   TAKT_MASTER=self.master, TAKT_EVENTS=self.file, TAKT_LEDGER=ledger)
        self._call([self.takt, "ledger", ledger, "export", exported])
        return exported

    def run_oracle(self):
        windows, answer = self.folder / "windows.csv", self.folder / "oracle"
        with open(windows, "wb") as file:
            self._call([sys.executable, "-B", ROOT / "tests/oracle/windows.py", self.master, FIRST_DATE, LAST_DATE], stdout=file)
        self._call([self.oracle_program, self.master, windows, self.file, answer, str(self.epoch_messages)])
        return answer

    def memory_bytes(self):
        """Of the largest program so far, the mapped part of the file included."""
        return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)) * 1024

    def _call(self, command, stdout=subprocess.DEVNULL, **environment):
        done = subprocess.run(command, check=False, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="backslashreplace",
                              env={**os.environ, **{name: str(value) for name, value in environment.items()}})
        if done.returncode:
            raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        self.disk_bytes = max(self.disk_bytes, sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()))
