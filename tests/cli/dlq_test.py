"""Dead letters on a real daemon: kept, shown, corrected, sent again, accepted once; and a storm of them.

    dlq_test.py TAKT
"""
import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import daemon_test
from daemon_test import ROOT, Daemon, await_that

PIPELINE = """
pipeline: small
{limit}
sources:
  floor:
    file: {{ path: events.jsonl, follow: true }}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 0s }}
steps:
  - dedup: once
    by: event_id
    same: [quantity]
    horizon: 48h
postings:
  made: {{ by: [material], window: {{ tumbling: 1h }}, lateness: 1h, quantity: sum(quantity), unit: '"pcs"' }}
sinks:
  ledger: {{ sqlite: ledger.db }}
"""


def event(time, number, quantity="1"):
    return '{"event_id":"e%d","kind":"produced","event_time":"2026-05-12T%sZ","material":"PUMP","quantity":%s}\n' % (number, time, quantity)


class Dlq(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.configure("")
        # The third one has the id of the first and another quantity.
        (self.path / "events.jsonl").write_text(event("06:00:00", 1) + event("06:10:00", 2, '"two"') + event("06:20:00", 1, "5"), encoding="utf-8")

    def configure(self, limit):
        (self.path / "small.yaml").write_text(PIPELINE.format(root=ROOT, limit=limit), encoding="utf-8")

    def daemon(self):
        return Daemon(self.path / "small.yaml", "--state", str(self.path / "state"), "--snapshot-interval", "50ms")

    def dlq(self, verb, *arguments, expect=0):
        done = subprocess.run([daemon_test.TAKT, "dlq", verb, self.path / "state", *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def states(self):
        done = subprocess.run([daemon_test.TAKT, "dlq", "list", self.path / "state", "--format", "json"], capture_output=True, text=True, check=False)
        if "C650" in done.stderr:
            return []  # the daemon has not made the file yet
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(row["reason"], row["state"]) for row in json.loads(done.stdout)]

    def await_states(self, *expected):
        await_that(lambda: self.states() == list(expected), f"{expected}, not {self.states()}")

    def ledger(self, sql):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}/ledger.db?mode=ro", uri=True)) as ledger:
            return ledger.execute(sql).fetchall()

    def posted(self):
        if not (self.path / "ledger.db").exists():
            return []
        try:
            return self.ledger("SELECT revision, quantity, events FROM posting ORDER BY revision")
        except sqlite3.OperationalError:
            return []  # its tables are not there yet

    def audit(self):
        done = subprocess.run([daemon_test.TAKT, "audit", self.path / "state", "--ledger", self.path / "ledger.db"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def stop(self, daemon):
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.end(), 0, "".join(daemon.errors))

    def append(self, text):
        with open(self.path / "events.jsonl", "a", encoding="utf-8") as events:
            events.write(text)

    def test_an_edited_event_is_accepted_and_posted_once(self):
        with self.daemon() as daemon:
            self.await_states(("DECODE", "open"), ("ID_CONFLICT", "open"))
            self.stop(daemon)
        shown = self.dlq("show", "1")
        self.assertIn('"quantity":"two"', shown)
        self.assertRegex(shown, r"owner +plant_it")
        exported = [json.loads(line) for line in self.dlq("export", "--reason", "ID_CONFLICT").splitlines()]
        self.assertEqual([(one["id"], one["event_id"], one["sequence"]) for one in exported], [(2, "e1", 3)])

        self.dlq("export", "--id", "1", "--to", self.path / "out")
        file = self.path / "out/1.event"
        file.write_text(file.read_text(encoding="utf-8").replace('"two"', "2") + "\n", encoding="utf-8")
        self.assertIn("C655", self.dlq("retry", "--reason", "DECODE", "--edit", file, "--why", "corrected", expect=2))
        self.assertIn("1 retry ordered", self.dlq("retry", "--id", "1", "--edit", file, "--by", "anna", "--why", "typed as a word"))
        self.assertIn("--why", self.dlq("retry", "--reason", "ID_CONFLICT", expect=2))
        self.assertIn("1 retry ordered", self.dlq("retry", "--reason", "ID_CONFLICT", "--why", "corrected"))
        self.assertEqual(self.states(), [("DECODE", "replayed"), ("ID_CONFLICT", "replayed")])

        with self.daemon() as daemon:
            self.await_states(("DECODE", "accepted"), ("ID_CONFLICT", "rejected"))
            self.append(event("09:00:00", 3))  # the first window is over
            await_that(self.posted, "the posting")
            self.stop(daemon)
        with self.daemon() as daemon:
            daemon.said("phase=running")
            self.stop(daemon)
        self.assertEqual(self.posted(), [(1, "3.000000", 2)])
        self.assertIn("dead letters sent again: 2 = 1 accepted + 0 duplicates + 0 filtered + 1 dead-lettered again + 0 that hold no event\n", self.audit())
        shown = self.dlq("show", "1")
        self.assertRegex(shown, r'bytes as received\n.*"quantity":"two"')
        self.assertRegex(shown, r'bytes as edited for retry 1\n.*"quantity":2}')
        self.assertRegex(shown, r"anna +retry ordered, with an edited event +typed as a word")
        self.assertRegex(shown, r"retry 1 ended in epoch \d+: accepted")
        self.assertIn("C653: dead letter 1 cannot be retried: it was accepted", self.dlq("retry", "--id", "1", "--why", "corrected", expect=2))
        self.dlq("discard", "--id", "2", expect=2)  # without a reason
        self.dlq("discard", "--id", "2", "--why", "the first one counts")
        self.assertEqual(self.states(), [("DECODE", "accepted"), ("ID_CONFLICT", "discarded")])
        self.assertIn("C652", self.dlq("show", "77", expect=2))

    def takt(self, verb, *arguments):
        done = subprocess.run([daemon_test.TAKT, verb, self.path / "small.yaml", *arguments, "--ledger", self.path / "ledger.db"],
                              capture_output=True, text=True, check=False, cwd=self.path)
        return done.returncode, done.stdout + done.stderr

    def test_what_was_corrected_is_proved_with_its_correction(self):
        (self.path / "new.json").write_text(event("06:10:00", 2, "2"), encoding="utf-8")
        state = ["--state", self.path / "state"]
        with self.daemon() as daemon:
            self.await_states(("DECODE", "open"), ("ID_CONFLICT", "open"))
            self.dlq("retry", "--id", "1", "--edit", self.path / "new.json", "--why", "corrected")
            self.await_states(("DECODE", "accepted"), ("ID_CONFLICT", "open"))
            self.append(event("07:20:00", 2, "2"))  # in already, as it was corrected
            self.append(event("09:00:00", 3))
            await_that(self.posted, "the posting")
            self.stop(daemon)
        key = self.ledger("SELECT key FROM posting WHERE revision = 1")[0][0]
        code, said = self.takt("trace", key)
        self.assertEqual(code, 1, said)
        self.assertIn("NOT proved: the ledger has 2 events", said)
        code, said = self.takt("trace", key, *state)
        self.assertEqual(code, 0, said)
        self.assertIn("proved: 2 events", said)
        code, said = self.takt("trace", "--event", "e2", *state)
        self.assertEqual(code, 0, said)
        self.assertRegex(said, rf"floor sequence 2, sent again, event time 2026-05-12T06:10:00Z: accepted\n +made .*: posting {key} revision 1")
        self.assertRegex(said, r"floor sequence 4, event time 2026-05-12T07:20:00Z: duplicate of floor sequence 2")
        self.assertEqual(self.takt("replay")[0], 1)
        code, said = self.takt("replay", *state)
        self.assertEqual(code, 0, said)

    def test_what_was_corrected_later_is_in_a_later_revision(self):
        (self.path / "new.json").write_text(event("06:10:00", 2, "2"), encoding="utf-8")
        self.append(event("06:30:00", 4) + event("07:30:00", 3))
        with self.daemon() as daemon:
            await_that(self.posted, "the posting")
            self.dlq("retry", "--id", "1", "--edit", self.path / "new.json", "--why", "corrected")
            await_that(lambda: len(self.posted()) == 2, "the revision")
            self.stop(daemon)
        keys = [key for key, in self.ledger("SELECT key FROM posting ORDER BY revision")]
        for key, events in zip(keys, (2, 3)):
            code, said = self.takt("trace", key, "--state", self.path / "state")
            self.assertEqual(code, 0, said)
            self.assertIn(f"proved: {events} events", said)
        code, said = self.takt("trace", "--event", "e2", "--state", self.path / "state")
        self.assertRegex(said, rf"sent again, .*: accepted\n +made .*: posting {keys[1]} revision 2")
        config = (self.path / "small.yaml").read_text(encoding="utf-8")
        (self.path / "small.yaml").write_text(config.replace("pipeline: small", "pipeline: other"), encoding="utf-8")
        code, said = self.takt("replay", "--state", self.path / "state")
        self.assertEqual(code, 2, said)
        self.assertIn("C703", said)

    def test_a_running_daemon_takes_retries_and_a_kill_changes_nothing(self):
        (self.path / "new.json").write_text(event("06:10:00", 2, "2"), encoding="utf-8")
        with self.daemon() as daemon:
            self.await_states(("DECODE", "open"), ("ID_CONFLICT", "open"))
            self.dlq("retry", "--id", "1", "--edit", self.path / "new.json", "--why", "corrected")
            self.await_states(("DECODE", "accepted"), ("ID_CONFLICT", "open"))
            (self.path / "new.json").write_text(event("06:30:00", 4, "4"), encoding="utf-8")
            self.dlq("retry", "--id", "2", "--edit", self.path / "new.json", "--why", "corrected")
            daemon.signal(signal.SIGKILL)
            daemon.end()
        with self.daemon() as daemon:
            self.await_states(("DECODE", "accepted"), ("ID_CONFLICT", "accepted"))
            self.append(event("09:00:00", 3))
            await_that(self.posted, "the posting")
            daemon.signal(signal.SIGKILL)
            daemon.end()
        with self.daemon() as daemon:
            daemon.said("phase=running")
            self.stop(daemon)
        self.assertEqual(self.posted(), [(1, "7.000000", 3)])
        self.audit()
        self.assertEqual(self.states(), [("DECODE", "accepted"), ("ID_CONFLICT", "accepted")])

    def test_what_comes_too_late_is_refused_again(self):
        self.append(event("09:00:00", 3))
        (self.path / "new.json").write_text(event("06:10:00", 2, "2"), encoding="utf-8")
        with self.daemon() as daemon:
            self.await_states(("DECODE", "open"), ("ID_CONFLICT", "open"))
            await_that(self.posted, "the first window is over")
            self.dlq("retry", "--id", "1", "--edit", self.path / "new.json", "--why", "corrected")
            self.await_states(("TOO_LATE", "rejected"), ("ID_CONFLICT", "open"))
            self.stop(daemon)
        self.assertEqual(self.posted(), [(1, "1.000000", 1)])

    def test_a_storm_stops_the_pipeline_before_anything_of_it_is_kept(self):
        self.configure("dead_letters: { most: 5 }")
        self.append("no event\n" * 20)
        with self.daemon() as daemon:
            self.assertEqual(daemon.end(), 4)
            self.assertIn("F623", "".join(daemon.errors))
            self.assertIn("DECODE", "".join(daemon.errors))
        self.assertLessEqual(len(self.states()), 5)
        # With room for them it goes on.
        self.configure("dead_letters: { most: 50 }")
        with self.daemon() as daemon:
            await_that(lambda: len(self.states()) == 22, "all dead letters")
            self.stop(daemon)

    def test_a_state_directory_without_dead_letters_is_told(self):
        self.assertIn("C650", self.dlq("list", expect=2))


if __name__ == "__main__":
    daemon_test.TAKT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
