"""A JetStream source under a state directory that has no snapshot yet: what the journal has read is found again, or the start says why not.

    jetstream_state_test.py TAKT
"""
import contextlib
import json
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))

from nats_peer import Client, Server  # noqa: E402
from takt_case import PATIENCE_S, TaktCase, main  # noqa: E402

PIPELINE = """
pipeline: begun
sources:
  floor:
    jetstream: {{ server: "nats://127.0.0.1:{port}", stream: PLANT, start: {start} }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time }}
postings:
  made: {{ by: [material], correlation: event_id, quantity: decimal(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""


class JetStreamState(TaktCase):
    def setUp(self):
        super().setUp()
        self.server = Server(self.path / "server")
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill())
        self.connect()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.published = 0

    def connect(self):
        self.client = client = Client(self.server.port)
        self.addCleanup(client.close)

    def configure(self, start):
        (self.path / "begun.yaml").write_text(PIPELINE.format(root=ROOT, port=self.server.port, start=start), encoding="utf-8")

    def start(self):
        log = open(self.path / "takt.log", "ab")
        self.addCleanup(log.close)
        self.daemon = daemon = subprocess.Popen([self.program, "run", "begun.yaml", "--state", "state", "--progress", "none", "--snapshot-interval", "1h"],
                                                cwd=self.path, stdout=log, stderr=log)
        self.addCleanup(lambda: daemon.poll() is None and (daemon.kill(), daemon.wait()))

    def publish(self, count):
        for number in range(self.published, self.published + count):
            self.client.request("plant.events", {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:00:{number % 60:02}Z",
                                                 "material": "PUMP", "quantity": 1})
        self.published += count

    def posted(self):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.path}/ledger.db?mode=ro", uri=True)) as database:
                return sorted(int(event[1:]) for event, in database.execute("SELECT correlation_id FROM posting"))
        except sqlite3.OperationalError:
            return []  # not there yet

    def consumers(self):
        return self.client.request("$JS.API.STREAM.INFO.PLANT", b"")["state"]["consumer_count"]

    def await_that(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            log = (self.path / "takt.log").read_text()
            self.assertIsNone(self.daemon.poll(), log)
            self.assertLess(time.monotonic(), deadline, log)
            time.sleep(0.005)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def test_a_beginning_at_new_messages_is_the_same_one_after_a_crash(self):
        self.publish(7)
        self.configure("new")
        self.start()
        self.await_that(lambda: self.consumers() == 1)
        self.publish(20)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        self.publish(3)
        self.start()
        self.await_that(lambda: len(self.posted()) == 23)
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), 0, (self.path / "takt.log").read_text())
        self.assertEqual(self.posted(), list(range(7, 30)))
        audit = self.takt("audit", "state", "--ledger", "ledger.db")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)

    def end_of(self, change):
        """Exit status and words of the start after a kill and a change of the stream."""
        self.configure("first")
        self.start()
        self.publish(20)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        change()
        self.start()
        status = self.daemon.wait(timeout=PATIENCE_S)
        self.assertEqual(len(self.posted()), 20)
        return status, (self.path / "takt.log").read_text()

    def test_a_tail_that_the_server_lost_ends_the_start(self):
        self.publish(5)
        self.server.kill()
        shutil.copytree(self.path / "server/js", self.path / "before")
        self.server.start()
        self.connect()

        def go_back():
            self.server.kill()
            shutil.rmtree(self.path / "server/js")
            shutil.copytree(self.path / "before", self.path / "server/js")
            self.server.start()
            self.connect()

        self.published = 5
        self.configure("first")
        self.start()
        self.publish(15)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        go_back()
        self.start()
        self.assertNotEqual(self.daemon.wait(timeout=PATIENCE_S), 0)
        self.assertIn("F531", (self.path / "takt.log").read_text())
        # Other messages under the same sequences.
        self.published = 100
        self.publish(40)
        self.start()
        self.assertNotEqual(self.daemon.wait(timeout=PATIENCE_S), 0)
        self.assertIn("F532", (self.path / "takt.log").read_text())
        self.assertEqual(self.posted(), list(range(20)))

    def test_a_head_that_the_server_removed_ends_the_start(self):
        status, log = self.end_of(lambda: self.client.request("$JS.API.STREAM.PURGE.PLANT", {"seq": 11}))
        self.assertNotEqual(status, 0)
        self.assertIn("F533", log)


if __name__ == "__main__":
    main()
