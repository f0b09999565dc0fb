"""`takt audit`: the books of real runs balance, and what somebody changed in them is found and named.

    audit_test.py TAKT
"""
import contextlib
import json
import re
import shutil
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
  - filter: wanted
    drop: {{ telemetry: kind == "reading" }}
  - dedup: once
    by: event_id
    horizon: 48h
postings:
  receipt:
    by: [material]
    window: {{ tumbling: 1h }}
    lateness: 48h
    quantity: sum(quantity)
    unit: '"pcs"'
    amount: sum(quantity * decimal("0.125"))
    currency: '"EUR"'
    debit: '"100"'
    credit: '"200"'
engine: {{ epoch_messages: 3, lanes: 2 }}
sinks:
  ledger: {{ sqlite: ledger.db }}
"""


def event(number, hour, quantity, material="PUMP", kind="produced"):
    return json.dumps({"event_id": f"e{number}", "kind": kind, "event_time": f"2026-05-12T{hour:02}:10:00Z", "material": material,
                       "quantity": quantity}) + "\n"


class Audit(TaktCase):
    def setUp(self):
        super().setUp()
        self.write_config("false")
        lines = [event(1, 6, 3), event(2, 6, 1, "VALVE"), event(1, 6, 3), event(3, 7, 1, kind="reading"), event(4, 8, 2), "no event\n",
                 event(5, 6, 1), event(6, 9, 4, "VALVE")]
        (self.path / "events.jsonl").write_text("".join(lines), encoding="utf-8")

    def write_config(self, follow):
        (self.path / "small.yaml").write_text(PIPELINE.format(root=ROOT, follow=follow), encoding="utf-8")

    def run_pipeline(self):
        done = self.takt("run", "small.yaml", "--state", "state", "--progress", "none")
        self.assertEqual(done.returncode, 0, done.stderr)

    def audit(self, *more):
        return self.takt("audit", "state", "--ledger", "ledger.db", *more)

    def change(self, *statements):
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            for statement in statements:
                ledger.execute(statement)
            ledger.commit()

    def test_the_books_of_a_run_balance(self):
        self.run_pipeline()
        done = self.audit()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("messages in: 8 events = 5 accepted + 1 duplicates + 1 filtered + 1 dead-lettered + 0 waiting", done.stdout)
        # 11 pieces at 0.125: of four panes 4 x 0.125 and 1 x 0.125 and 2 x 0.125 and 4 x 0.125; 0.125 is posted as 0.12.
        self.assertRegex(done.stdout, r"value accepted for ledger: 1\.375 EUR = 1\.37 confirmed \+ 0 in outbox \+ 0 parked \+ 0 in open windows "
                                      r"\+ 0\.005 rounding")
        self.assertIn("every equation balances", done.stdout)
        rows = json.loads(self.audit("--format", "json").stdout)
        self.assertEqual({row["balances"] for row in rows}, {"yes"})
        self.assertEqual(sorted({row["equation"][0] for row in rows}), ["1", "2", "3", "4", "5", "6"])

    def test_a_ledger_that_lacks_what_it_had_stops_the_next_start(self):
        self.run_pipeline()
        whole = (self.path / "ledger.db").read_bytes()
        # As an older copy of it, and as a new one.
        self.change("DELETE FROM posting_line WHERE posting = (SELECT max(id) FROM posting)", "DELETE FROM posting WHERE id = (SELECT max(id) FROM posting)")
        done = self.takt("run", "small.yaml", "--state", "state", "--progress", "none")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("F524: SINK_REGRESSION: sqlite ledger.db has accepted postings up to row 5, and now row 5 is missing", done.stderr)
        (self.path / "ledger.db").unlink()
        self.assertIn("F524", self.takt("run", "small.yaml", "--state", "state", "--progress", "none").stderr)
        (self.path / "ledger.db").write_bytes(whole)
        self.run_pipeline()
        self.assertEqual(self.audit().returncode, 0)

    def test_a_posting_that_is_gone_is_found(self):
        self.run_pipeline()
        self.change("DELETE FROM posting_line WHERE posting = 1", "DELETE FROM posting WHERE id = 1")
        done = self.audit()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("equation 5 (sink) does not balance", done.stderr)
        self.assertIn("the books do not balance", done.stdout)
        self.assertEqual(self.takt("audit", "state").returncode, 0, "the journal by itself is as it was")

    def test_another_posting_of_the_same_amount_is_found(self):
        self.run_pipeline()
        self.change("UPDATE posting SET key = replace(key, substr(key, 1, 4), 'beef') WHERE id = (SELECT max(id) FROM posting)")
        done = self.audit()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("equation 5 (sink) does not balance", done.stderr)

    def test_an_amount_that_was_changed_is_found(self):
        self.run_pipeline()
        self.change("UPDATE posting_line SET amount = '9.00', amount_units = 900 WHERE posting = 1 AND line = 1")
        done = self.audit()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("equation 6 (double entry) does not balance", done.stderr)

    def test_a_row_says_no_where_its_own_sums_differ_and_each_imbalance_has_a_row(self):
        self.run_pipeline()
        self.change("UPDATE posting_line SET amount = '9.00', amount_units = 900 WHERE posting = 1 AND line = 1",
                    "UPDATE posting SET quantity_cumulative = '9.000000' WHERE id = 2")
        said = re.findall(r"equation (\d) \([a-z ]+\) does not balance: (.*)", self.audit().stderr)
        self.assertEqual({equation for equation, _ in said}, {"4", "6"})
        rows = json.loads(self.audit("--format", "json").stdout)
        found = [(row["equation"][0], row["imbalance"]) for row in rows if "imbalance" in row]
        self.assertEqual(found, said)
        self.assertEqual({row["balances"] for row in rows if "imbalance" in row}, {"NO"})
        self.assertEqual({row["balances"] for row in rows if "imbalance" not in row}, {"yes"})

    def test_another_posting_under_the_key_of_a_refused_one_is_found(self):
        self.run_pipeline()
        self.change("UPDATE posting SET payload_hash = 'beef' WHERE id = 1")
        shutil.rmtree(self.path / "state")
        self.run_pipeline()  # the sink refuses the posting that it has otherwise
        done = self.audit()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"equation 5 \(sink\) does not balance: posting \w{32} in the ledger is another one than was made: it has payload beef, "
                                      r"quantity (\S+) pcs, amount (\S+) EUR; made was payload \w{32}, quantity \1 pcs, amount \2 EUR")

    def test_a_ledger_that_is_ahead_of_the_state_is_found(self):
        self.run_pipeline()
        self.change("UPDATE posting SET epoch = 99 WHERE id = (SELECT max(id) FROM posting)")
        done = self.audit()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("postings of epoch 99, and the journal ends with", done.stderr)

    def test_a_daemon_at_work_can_be_audited(self):
        self.write_config("true")
        with subprocess.Popen([self.program, "run", "small.yaml", "--state", "state", "--progress", "none", "--snapshot-interval", "50ms"],
                              cwd=self.path, stderr=subprocess.PIPE, text=True) as daemon:
            end = time.monotonic() + PATIENCE_S
            audits = 0
            number = 100
            try:
                while audits < 20:
                    self.assertLess(time.monotonic(), end, "too few audits")
                    with open(self.path / "events.jsonl", "a", encoding="utf-8") as events:
                        events.write("".join(event(number + i, 10 + (number // 50) % 10, 1) for i in range(7)))
                    number += 7
                    if not (self.path / "state/journal/FIRST").exists() or not (self.path / "ledger.db").exists():
                        time.sleep(0.02)
                        continue
                    done = self.audit()
                    if "C621" in done.stderr:  # the ledger is being made
                        continue
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                    audits += 1
            finally:
                daemon.send_signal(signal.SIGTERM)
                _, errors = daemon.communicate(timeout=PATIENCE_S)
        self.assertEqual(daemon.returncode, 0, errors)
        done = self.audit()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("in open windows", done.stdout)
        self.assertNotIn(" 0 in open windows", done.stdout)

    def test_what_is_no_state_is_refused(self):
        for folder in ("nowhere", "."):
            for verb in (["audit", folder], ["outbox", "list", folder], ["outbox", "resend", folder, "--all", "--why", "a try"],
                         ["outbox", "close", folder, "--all", "--why", "a try"]):
                done = self.takt(*verb)
                self.assertEqual(done.returncode, 2, verb)
                self.assertIn("C704", done.stderr, verb)
        self.run_pipeline()
        self.assertIn("C635", self.audit("--sink", "other").stderr)
        self.assertEqual(self.takt("audit", "state", "--ledger", "none.db").returncode, 2)

    def test_the_sinks_that_may_have_written_a_ledger_are_named(self):
        with open(self.path / "small.yaml", "a", encoding="utf-8") as config:
            config.write("  second: { sqlite: second.db }\n  third: { sqlite: third.db }\n")
        self.run_pipeline()
        done = self.audit()
        self.assertEqual(done.returncode, 2)
        self.assertTrue(done.stderr.endswith("Name it with --sink: ledger, second, third\n"), done.stderr)
        self.assertEqual(self.audit("--sink", "ledger").returncode, 0)


if __name__ == "__main__":
    main()
