"""A start that comes back: stopped at some moment, followed by one on a copy of its state, and let go on. It ends with F624, and nothing of it is posted.

    zombie_test.py TAKT
"""
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess

from daemon_case import PATIENCE_S, DaemonCase, main

PIPELINE = """
pipeline: left_over
sources:
  floor:
    file: {{ path: events.jsonl, follow: true }}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 0s }}
steps:
  - require: complete
    rules: {{ MISSING_FIELD: {{ that: has(material), owner: plant_it }} }}
postings:
  made: {{ by: [material], correlation: event_id, quantity: decimal(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""
TABLES = ("posting", "posting_line", "dead_letter", "outcome", "fence")
POSTINGS = "SELECT key, payload_hash, correlation_id FROM posting ORDER BY key"


class Zombie(DaemonCase):
    """The follower of one round is the old start of the next one: a chain of copies, one file of events, one ledger."""

    def setUp(self):
        super().setUp()
        self.configure(PIPELINE)
        (self.path / "events.jsonl").touch()
        self.events, self.copies = 0, itertools.count(1)
        self.folder = self.path / "state"

    def say(self, count):
        """Every tenth event is a dead letter."""
        with open(self.path / "events.jsonl", "a", encoding="utf-8") as file:
            for number in range(self.events, self.events + count):
                event = {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60 % 60:02}:{number % 60:02}Z", "quantity": 1}
                print(json.dumps({**event, **({"material": f"M{number % 3}"} if number % 10 else {})}), file=file)
        self.events += count

    def start(self):
        """On `self.folder`, with a log of its own."""
        log = open(self.path / f"{self.folder.name}.log", "ab")
        self.addCleanup(log.close)
        self.daemon = daemon = subprocess.Popen(
            [self.program, "run", "pipeline.yaml", "--state", self.folder, "--progress", "none", "--snapshot-interval", self.snapshot_interval],
            cwd=self.path, stdout=log, stderr=log)
        self.addCleanup(lambda: daemon.poll() is None and (daemon.kill(), daemon.wait()))

    def log(self):
        return "".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.path.glob("*.log")))

    def incarnation(self):
        """Of the newest start of the folder."""
        path = self.folder / "INCARNATION"
        return int(re.search(r"^incarnation (\d+)$", path.read_text(), re.MULTILINE).group(1)) if path.exists() else 0

    def count(self, table):
        return sum(number for number, in self.ask(f"SELECT count(*) FROM {table}"))

    def everything_is_there(self):
        return self.count("posting") + self.count("dead_letter") == self.events

    def owner(self):
        """The start to which the ledger belongs."""
        return [number for number, in self.ask("SELECT incarnation FROM fence")]

    def contents(self):
        """Of the ledger, all of it."""
        return {table: self.ask(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}

    def is_locked(self):
        """Whether somebody is in the middle of a transaction of the ledger."""
        if not (self.path / "ledger.db").exists():
            return False
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db", timeout=0, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            database.execute("ROLLBACK")
            return False

    def pause(self):
        """Stops the daemon where it is; but not within a transaction, which keeps every other writer out until it goes on."""
        while True:
            self.daemon.send_signal(signal.SIGSTOP)
            stopped = os.waitid(os.P_PID, self.daemon.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            self.assertEqual(stopped.si_code, os.CLD_STOPPED, self.log())
            if not self.is_locked():
                return
            self.daemon.send_signal(signal.SIGCONT)
            self.await_that(lambda: not self.is_locked())

    # The moments at which the old start is stopped.

    def when_idle(self):
        self.say(20)
        self.await_that(self.everything_is_there)

    def when_it_posts(self):
        enough = self.count("posting") + 100
        self.say(600)
        self.await_that(lambda: self.count("posting") >= enough)

    def when_it_begins(self):
        """It is counted. What a killed one has left is made again and sent: soon, or already."""
        self.when_it_posts()
        self.kill()
        before = self.incarnation()
        self.start()
        self.await_that(lambda: self.incarnation() > before)

    def when_it_owns_the_ledger(self):
        self.when_it_begins()
        self.await_that(lambda: self.owner() == [self.incarnation()])

    def copy(self):
        folder = self.path / f"copy{next(self.copies)}"
        shutil.copytree(self.folder, folder)
        return folder

    def follow(self, folder, silent):
        """Starts on `folder`, a copy of the state of the daemon, which is stopped, and lets that one go on. `silent`: while the new one is stopped, so that
        whatever comes into the ledger is the old one's."""
        old, old_log = self.daemon, self.path / f"{self.folder.name}.log"
        self.folder = folder
        self.start()
        self.say(20)
        self.await_that(self.everything_is_there)
        if silent:
            self.pause()
        before = self.contents()
        self.assertEqual(self.owner(), [self.incarnation()])
        self.say(20)
        old.send_signal(signal.SIGCONT)
        self.await_that(lambda: old.poll() is not None or (silent and self.contents() != before))
        if silent:
            self.assertEqual(self.contents(), before)
            self.daemon.send_signal(signal.SIGCONT)
        self.assertEqual(old.wait(), 4, self.log())
        self.assertRegex(old_log.read_text(), rf"F624: ledger\.db belongs to start {self.incarnation()} of pipeline 'left_over' now, .*: nothing was posted")
        self.await_that(self.everything_is_there)
        self.assertEqual(self.owner(), [self.incarnation()])

    def test_a_start_that_was_left_over_posts_nothing(self):
        self.start()
        for silent in (True, False):
            for moment in (self.when_idle, self.when_it_posts, self.when_it_begins, self.when_it_owns_the_ledger):
                moment()
                self.pause()
                self.follow(self.copy(), silent)
        self.end()
        audit = self.takt("audit", self.folder, "--ledger", "ledger.db")
        self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)
        found = self.ask(POSTINGS)
        self.assertEqual(sorted(event for _, _, event in found), sorted(f"e{number}" for number in range(self.events) if number % 10))
        self.assertEqual(found, self.made_alone())

    def made_alone(self):
        """The postings of one start over the same events, in a folder of its own."""
        alone = self.path / "alone"
        alone.mkdir()
        for name in ("pipeline.yaml", "events.jsonl"):
            shutil.copy(self.path / name, alone)
        self.path, self.folder = alone, alone / "state"
        self.start()
        self.await_that(self.everything_is_there)
        self.end()
        return self.ask(POSTINGS)

    def test_a_copy_that_was_started_as_often_does_not_share_the_ledger(self):
        """The ledger knows a start by the directory's name, which a copy has too, and by how often that was started."""
        self.start()
        self.when_idle()
        self.end()
        copy = self.copy()
        self.start()
        self.when_idle()
        self.pause()
        old, home = self.daemon, self.folder
        self.folder = copy
        self.start()
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), 4, self.log())
        self.assertIn(f"F624: ledger.db belongs to a start {self.incarnation()} of pipeline 'left_over' already", (self.path / f"{copy.name}.log").read_text())
        self.daemon, self.folder = old, home
        self.follow(copy, silent=True)
        self.end()


if __name__ == "__main__":
    main()
