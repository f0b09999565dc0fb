"""Core NATS under a state directory: a message that is durable with a frame counts once through every crash, though nobody else has it.

    core_nats_state_test.py TAKT
"""
import contextlib
import json
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))

from nats_peer import Client, Server  # noqa: E402
from takt_case import PATIENCE_S, TaktCase, main  # noqa: E402

PIPELINE = """
pipeline: heard
sources:
  floor:
    nats: {{ server: "nats://127.0.0.1:{port}", subject: plant.events }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time, out_of_order: 1m }}
steps:
  - dedup: once
    by: event_id
    horizon: 24h
postings:
  made: {{ by: [material], window: {{ tumbling: 1h }}, lateness: 12h, quantity: sum(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""


def event(number):
    """Ten an hour, of three materials; each seventh comes again as the one before."""
    number -= number % 7 == 6
    return json.dumps({"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-{12 + number // 240:02}T{number // 10 % 24:02}:30:00Z",
                       "material": f"M{number % 3}", "quantity": number + 1}).encode()


class CoreNatsState(TaktCase):
    def setUp(self):
        super().setUp()
        self.server = Server(self.path / "server")
        self.addCleanup(self.server.kill)
        self.client = Client(self.server.port)
        self.addCleanup(self.client.close)
        (self.path / "heard.yaml").write_text(PIPELINE.format(root=ROOT, port=self.server.port), encoding="utf-8")
        self.published = 0

    def start(self):
        """A daemon that listens: what is published from now on is its."""
        self.await_that(lambda: self.subscriptions() == 0)  # the one before is gone for the server, too
        log = open(self.path / "takt.log", "ab")
        self.addCleanup(log.close)
        daemon = subprocess.Popen([self.program, "run", "heard.yaml", "--state", "state", "--progress", "none", "--snapshot-interval", "100ms"],
                                  cwd=self.path, stdout=log, stderr=log)
        self.addCleanup(lambda: daemon.poll() is None and daemon.kill())
        self.await_that(lambda: self.subscriptions() == 1 or daemon.poll() is not None)
        self.assertIsNone(daemon.poll(), (self.path / "takt.log").read_text())
        return daemon

    def subscriptions(self):
        """How many connections listen to the plant."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.monitor_port}/connz?subs=1", timeout=5) as page:
            connections = json.load(page)["connections"]
        return sum("plant.events" in connection.get("subscriptions_list", []) for connection in connections)

    def await_that(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, (self.path / "takt.log").read_text())
            time.sleep(0.005)

    def publish(self, count):
        for number in range(self.published, self.published + count):
            data = event(number)
            self.client.send(b"PUB plant.events %d\r\n%b\r\n" % (len(data), data))
        self.published += count

    def ask(self, query):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.path}/ledger.db?mode=ro", uri=True)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return [(0,)]  # not there yet

    def counted(self):
        return self.ask("SELECT sum(count) FROM outcome")[0][0] or 0

    def test_counts_once_what_was_durable(self):
        chance = random.Random(7)
        expected = 0
        for _ in range(8):
            daemon = self.start()
            self.publish(60)
            expected += 60
            self.await_that(lambda: self.counted() == expected)
            # Not awaited but drawn: before, in or after a snapshot.
            time.sleep(chance.uniform(0, 0.2))
            daemon.kill()
            daemon.wait()
        daemon = self.start()
        self.publish(7)
        expected += 7
        self.await_that(lambda: self.counted() == expected)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(timeout=PATIENCE_S), 0, (self.path / "takt.log").read_text())

        accepted, duplicates = (self.ask(f"SELECT sum(count) FROM outcome WHERE outcome = '{name}'")[0][0] for name in ("accepted", "duplicate"))
        repeats = sum(number % 7 == 6 for number in range(self.published))
        self.assertEqual((accepted, duplicates), (self.published - repeats, repeats))
        audit = self.takt("audit", "state", "--ledger", "ledger.db")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)

    def test_posts_each_pane_once_and_right(self):
        daemon = self.start()
        for _ in range(5):
            enough = self.counted() + 100
            self.publish(300)
            # In the midst of it: what is in no frame yet may be lost, nothing may be twice.
            self.await_that(lambda: self.counted() >= enough)
            daemon.kill()
            daemon.wait()
            daemon = self.start()
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(timeout=PATIENCE_S), 0, (self.path / "takt.log").read_text())
        audit = self.takt("audit", "state", "--ledger", "ledger.db")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        keys = self.ask("SELECT count(*), count(DISTINCT key) FROM posting")[0]
        self.assertEqual(keys[0], keys[1])
        self.assertGreater(keys[0], 100)
        # Every pane's last cumulative quantity is what its revisions add up to.
        wrong = self.ask("SELECT key_fields, window_start FROM posting GROUP BY key_fields, window_start "
                         "HAVING abs(sum(CAST(quantity AS REAL)) - max(CAST(quantity_cumulative AS REAL))) > 0.0000001")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    main()
