"""What tests of a daemon on a real server share: the server, a client of it, a daemon with a state directory, its ledger."""
import contextlib
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))

from nats_peer import Client, Server  # noqa: E402
from takt_case import PATIENCE_S, TaktCase, main  # noqa: E402, F401


class DaemonCase(TaktCase):
    snapshot_interval = "100ms"
    options = ()

    def setUp(self):
        super().setUp()
        self.server = Server(self.path / "server")
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill())
        self.daemon = None
        self.connect()

    def connect(self):
        self.client = client = Client(self.server.port)
        self.addCleanup(client.close)

    def configure(self, pipeline, **values):
        """`pipeline` is a text with {root} and {port}."""
        (self.path / "pipeline.yaml").write_text(pipeline.format(root=ROOT, port=self.server.port, **values), encoding="utf-8")

    def start(self):
        log = open(self.path / "takt.log", "ab")
        self.addCleanup(log.close)
        self.daemon = daemon = subprocess.Popen(
            [self.program, "run", "pipeline.yaml", "--state", "state", "--progress", "none", "--snapshot-interval", self.snapshot_interval, *self.options],
            cwd=self.path, stdout=log, stderr=log)
        self.addCleanup(lambda: daemon.poll() is None and (daemon.kill(), daemon.wait()))

    def log(self):
        """Of all daemons."""
        path = self.path / "takt.log"
        return path.read_text() if path.exists() else ""

    def await_that(self, condition):
        """While the daemon lives, where there is one."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if self.daemon:
                self.assertIsNone(self.daemon.poll(), self.log())
            self.assertLess(time.monotonic(), deadline, self.log())
            time.sleep(0.005)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = None

    def end(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), 0, self.log())
        self.daemon = None

    def audit(self, *arguments):
        """What it says of books that balance."""
        done = self.takt("audit", "state", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def ask(self, query):
        """Rows of the ledger; none while it is not there yet."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.path}/ledger.db?mode=ro", uri=True)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []
