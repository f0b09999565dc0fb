"""A changed config over a kept state: what may change goes on with equal results, what may not is refused with what would go.

    config_change_test.py TAKT
"""
import contextlib
import json
import signal
import sqlite3
import subprocess
import time

from takt_case import PATIENCE_S, ROOT, TaktCase, main

PIPELINE = """
pipeline: small
sources:
  floor:
    file: {{ path: events.jsonl, follow: {follow} }}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 0s }}
steps:
  - {dedup}
    by: event_id
    horizon: 48h
postings:
  receipt:
    by: [material]
    window: {{ tumbling: {window} }}
    quantity: sum(quantity)
    unit: '"pcs"'
    amount: sum(quantity * decimal("0.125"))
    currency: '"EUR"'
    debit: '"100"'
    credit: '"200"'
engine: {{ epoch_messages: 3, lanes: 2 }}
sinks:
  ledger: {{ sqlite: {{ path: ledger.db, busy: {busy} }} }}
"""
USUAL = {"root": ROOT, "follow": "true", "dedup": "dedup: once", "window": "1h", "busy": "5s"}
RENAMED = {"dedup": "dedup: ids\n    uid_was: once", "busy": "7s"}


def event(number, time_of_day, quantity, material="PUMP"):
    return json.dumps({"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T{time_of_day}:00Z", "material": material,
                       "quantity": quantity}) + "\n"


BEFORE = [event(1, "06:10", 3), event(2, "06:20", 1, "VALVE"), event(3, "07:05", 2), event(1, "06:10", 3), event(4, "08:10", 5),
          event(5, "08:15", 4, "VALVE")]
AFTER = [event(4, "08:10", 5), event(6, "08:40", 7), event(3, "07:05", 2), event(7, "09:10", 1), event(8, "10:05", 2)]


class ConfigChange(TaktCase):
    def write_config(self, name="small.yaml", **changes):
        (self.path / name).write_text(PIPELINE.format(**{**USUAL, **changes}), encoding="utf-8")

    def add_events(self, events):
        with open(self.path / "events.jsonl", "a", encoding="utf-8") as file:
            file.write("".join(events))

    def postings(self):
        if not (self.path / "ledger.db").exists():
            return []
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            try:
                return ledger.execute("SELECT key, revision, payload_hash FROM posting ORDER BY key").fetchall()
            except sqlite3.OperationalError:  # it is being made
                return []

    @contextlib.contextmanager
    def daemon(self, postings, *arguments):
        """A daemon that runs, when the ledger has so many postings; its log is in the file."""
        log = self.path / "log.txt"
        with open(log, "w", encoding="utf-8") as errors:
            with subprocess.Popen([self.program, "run", "small.yaml", "--state", "state", "--progress", "none", "--log-level", "info", *arguments],
                                  cwd=self.path, stderr=errors) as daemon:
                try:
                    end = time.monotonic() + PATIENCE_S
                    while "phase=running" not in log.read_text(encoding="utf-8") or len(self.postings()) < postings:
                        self.assertIsNone(daemon.poll(), log.read_text(encoding="utf-8"))
                        self.assertLess(time.monotonic(), end, log.read_text(encoding="utf-8"))
                        time.sleep(0.02)
                    yield daemon
                finally:
                    if daemon.poll() is None:
                        daemon.kill()

    def run_until(self, postings, *arguments):
        """Runs the daemon until the ledger has so many postings, and stops it cleanly. Its log."""
        with self.daemon(postings, *arguments) as daemon:
            daemon.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(timeout=PATIENCE_S), 0)
        return (self.path / "log.txt").read_text(encoding="utf-8")

    def start(self, *arguments):
        return self.takt("run", "small.yaml", "--state", "state", "--progress", "none", *arguments)

    def plan(self, *arguments):
        return self.takt("plan", *arguments)

    def expect_balance(self):
        done = self.takt("audit", "state", "--ledger", "ledger.db")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def run_first_part(self):
        self.write_config()
        self.add_events(BEFORE)
        self.run_until(3)

    def test_a_renamed_step_and_another_sink_option_go_on_with_equal_results(self):
        self.run_first_part()
        self.write_config("old.yaml")
        self.write_config("new.yaml", **RENAMED)
        done = self.plan("old.yaml", "new.yaml", "--format", "json")
        self.assertEqual(done.returncode, 10, done.stdout + done.stderr)
        self.assertEqual({row["what"]: row["class"] for row in json.loads(done.stdout)},
                         {"dedup ids": "mapped", "sink ledger": "free"})
        self.assertEqual(self.plan("--state", "state", "new.yaml").returncode, 10)
        self.write_config(**RENAMED)
        self.add_events(AFTER)
        self.assertIn("mapped: dedup ids: uid once -> ids", self.run_until(6))
        self.expect_balance()
        self.write_config(**RENAMED, follow="false")
        done = self.start()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.expect_balance()
        changed = self.postings()

        # All of it at once, and never changed.
        (self.path / "ledger.db").rename(self.path / "changed.db")
        self.write_config(follow="false")
        done = self.takt("run", "small.yaml", "--progress", "none")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(changed, self.postings())
        self.assertEqual(len(changed), 7)

    def test_another_window_is_refused_with_what_would_go_and_starts_when_that_may_go(self):
        self.run_first_part()
        self.write_config(window="30m")
        done = self.plan("--state", "state", "small.yaml")
        self.assertEqual(done.returncode, 11, done.stdout + done.stderr)
        self.assertIn("window: tumbling 1h -> tumbling 30m", done.stdout)
        self.assertIn("--drop-state receipt", done.stdout)
        done = self.start()
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("C636", done.stderr)
        self.assertIn("posting receipt (uid receipt): window: tumbling 1h -> tumbling 30m; 2 entries; not yet told: "
                      "amount 1.125000000 EUR, quantity 9.000000 pcs", done.stderr)
        done = self.start("--drop-state", "once")
        self.assertEqual(done.returncode, 2, "the state of another uid is no permission")

        self.add_events(AFTER)
        log = self.run_until(5, "--drop-state", "receipt")
        self.assertIn("state was dropped", log)
        self.assertIn("amount 1.125000000 EUR", log)
        books = self.expect_balance()
        self.assertRegex(books, r"value accepted for ledger: .* rounding \+ 1\.125 dropped\n")
        self.assertRegex(books, r"receipt quantity pcs +events brought .* \+ dropped 9")
        # What was dropped once need not be named again.
        self.write_config(window="30m", follow="false")
        done = self.start()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.expect_balance()
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            rows = ledger.execute("SELECT count(*) FROM posting").fetchone()
        # Three of the first hours; then 08:30 (7), 09:00 (1) and 10:00 (2) of PUMP: what 08:00 held is gone.
        self.assertEqual(rows[0], 6)

    def test_a_step_that_is_gone_is_refused(self):
        self.run_first_part()
        self.write_config(dedup="dedup: other")
        done = self.start()
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("drops state: dedup once (uid once): gone; 5 entries", done.stderr)
        self.assertEqual(self.plan("--state", "state", "small.yaml").returncode, 12)
        self.write_config()
        self.run_until(3)

    def test_epochs_after_the_last_snapshot_are_made_again_by_their_own_config_only(self):
        self.write_config()
        self.add_events(BEFORE)
        with self.daemon(3) as daemon:
            daemon.kill()
        self.write_config(**RENAMED)
        done = self.start()
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("C632", done.stderr)
        self.assertIn("Start once with that config and stop it cleanly", done.stderr)
        self.write_config()
        self.run_until(3)
        self.write_config(**RENAMED)
        self.run_until(3)
        self.expect_balance()


if __name__ == "__main__":
    main()
