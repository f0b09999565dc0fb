"""`takt trace` and `takt replay`: what a ledger says of its events holds, and what was changed in the events or the ledger is found.

    trace_test.py TAKT
"""
import contextlib
import json
import re
import sqlite3

from takt_case import ROOT, TaktCase, main

# Epochs of three messages: what comes late is a revision of its own.
PIPELINE = """
pipeline: small
sources:
  floor:
    file: events.jsonl
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 0s }}
steps:
  - filter: wanted
    drop: {{ telemetry: kind == "reading" }}
  - require: complete
    rules: {{ MISSING_FIELD: {{ that: has(material), owner: plant_it }} }}
  - dedup: once
    by: event_id
    horizon: 48h
postings:
  receipt:
    by: [material]
    window: {{ tumbling: 1h }}
    lateness: {lateness}
    quantity: sum(quantity)
    unit: '"pcs"'
    amount: sum(quantity * decimal("0.50"))
    currency: '"EUR"'
    debit: '"100"'
    credit: '"200"'
  scrap:
    where: kind == "scrapped"
    by: [material]
    quantity: quantity
    unit: '"pcs"'
engine: {{ epoch_messages: 3, lanes: 2 }}
sinks:
  ledger: {{ sqlite: ledger.db }}
"""


def event(number, time, quantity, material="PUMP", kind="produced"):
    one = {"event_id": f"e{number}", "kind": kind, "event_time": f"2026-05-12T{time}:00Z", "quantity": quantity}
    if material:
        one["material"] = material
    return json.dumps(one) + "\n"


FLOOR = [
    event(1, "06:10", 3),
    event(2, "06:20", 1, "VALVE"),
    event(1, "06:10", 3),                      # a retry
    event(3, "06:30", 2),
    event(4, "06:40", 0, kind="reading"),
    event(5, "07:10", 4),
    event(6, "06:50", 1),                      # late: revision 2 of the pane from 06:00
    event(7, "07:20", 5, kind="scrapped"),
    event(8, "06:55", 7, material=None),       # refused
    event(9, "12:30", 1),
    event(2, "06:20", 1, "VALVE"),             # a retry of long ago
    "no event\n",
    event(10, "06:05", 9),                     # too late
    event(11, "12:40", 6, "VALVE"),
]


class Trace(TaktCase):
    def setUp(self):
        super().setUp()
        self.write_config(PIPELINE.format(root=ROOT, lateness="4h"))
        self.write(FLOOR)
        self.run_pipeline()

    def write_config(self, text):
        (self.path / "small.yaml").write_text(text, encoding="utf-8")

    def run_pipeline(self):
        (self.path / "ledger.db").unlink(missing_ok=True)
        done = self.takt("run", "small.yaml", "--progress", "none")
        self.assertEqual(done.returncode, 0, done.stderr)

    def write(self, floor):
        (self.path / "events.jsonl").write_text("".join(floor), encoding="utf-8")

    def ask(self, sql):
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            rows = ledger.execute(sql).fetchall()
            ledger.commit()
            return rows

    def trace(self, *arguments):
        return self.takt("trace", "small.yaml", *arguments, "--ledger", "ledger.db")

    def replay(self, *arguments):
        return self.takt("replay", "small.yaml", "--ledger", "ledger.db", *arguments)

    def postings(self):
        """key -> (type, revision, window start, events, hash)"""
        rows = self.ask("SELECT key, type, revision, window_start, events, event_ids_hash FROM posting ORDER BY id")
        return {row[0]: row[1:] for row in rows}

    def key(self, kind, material, hour, revision=None):
        found = self.ask(f"SELECT key FROM posting WHERE type = '{kind}' AND key_fields ->> 'material' = '{material}' "
                         f"AND window_start = '2026-05-12T{hour:02}:00:00Z'"
                         + (f" AND revision = {revision}" if revision else "") + " ORDER BY revision")
        return found[-1][0]

    def test_each_posting_is_proved(self):
        postings = self.postings()
        self.assertTrue(any(revision > 1 for _, revision, *_ in postings.values()), "a late event makes a revision")
        self.assertTrue(any(window is None for _, _, window, *_ in postings.values()), "one posting has no window")
        self.assertTrue(any(events > 2 for _, _, _, events, _ in postings.values()))
        for key, (_, _, _, events, ids) in postings.items():
            done = self.trace(key)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            last = done.stdout.splitlines()[-1]
            self.assertTrue(last.startswith(f"proved: {events} event{'' if events == 1 else 's'}, hash {ids}"), last)
            listed = re.findall(r"^floor +\d+ ", done.stdout, re.MULTILINE)
            self.assertEqual(len(listed), events, done.stdout)

    def test_events_of_a_posting_are_named(self):
        done = self.trace(self.key("receipt", "VALVE", 12))
        self.assertRegex(done.stdout, r"floor +14 +0 +e11 +2026-05-12T12:40:00Z +6")
        self.assertIn("lineage: floor 14 to 14", done.stdout)

    def test_a_changed_quantity_is_no_proof(self):
        self.write([event(3, "06:30", 5) if line == FLOOR[3] else line for line in FLOOR])
        changed = self.trace(self.key("receipt", "PUMP", 6))
        self.assertEqual(changed.returncode, 1, changed.stdout + changed.stderr)
        self.assertRegex(changed.stdout.splitlines()[-1], r"^NOT proved: the ledger has .*quantity 6 pcs.*; the sources have .*quantity 9 pcs")
        other = self.trace(self.key("receipt", "PUMP", 7))
        self.assertEqual(other.returncode, 0, other.stdout + other.stderr)

    def test_a_removed_event_is_no_proof(self):
        # A blank line keeps the sequences of the others.
        self.write(["\n" if line == FLOOR[5] else line for line in FLOOR])
        done = self.trace(self.key("receipt", "PUMP", 7))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout.splitlines()[-1], r"^NOT proved: the ledger has 2 events, .*; the sources have 1 event, ")

    def test_another_id_is_no_proof(self):
        self.write([event(55, "07:10", 4) if line == FLOOR[5] else line for line in FLOOR])
        done = self.trace(self.key("receipt", "PUMP", 7))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout.splitlines()[-1], r"^NOT proved: the ledger has 2 events, hash (\w+), (.*); the sources have 2 events, hash (?!\1)\w+, \2$")

    def test_a_ledger_that_was_changed_is_no_proof(self):
        key = self.key("receipt", "PUMP", 7)
        self.ask(f"UPDATE posting SET quantity_cumulative = '8.000000' WHERE key = '{key}'")
        done = self.trace(key)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)

    def test_a_difference_that_was_changed_is_no_proof(self):
        for revision, before, after in ((1, "0.00", "2.50"), (2, "2.50", "3.00")):
            key = self.key("receipt", "PUMP", 6, revision)
            self.assertEqual(self.trace(key).returncode, 0)
            self.ask(f"UPDATE posting SET amount = '9.99', amount_units = 999 WHERE key = '{key}'")
            done = self.trace(key)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertEqual(done.stdout.splitlines()[-1], f"NOT proved: it posts amount 9.99 EUR, and the pane had {before} before it, which does not make the "
                                                           f"{after} after it")
        self.ask(f"DELETE FROM posting WHERE key = '{self.key('receipt', 'PUMP', 6, 1)}'")
        done = self.trace(key)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("NOT proved: the ledger lacks the revision before it", done.stdout)

    def test_an_id_that_came_before_the_range_counts_once(self):
        # The retry of an event that went to another pane: its first coming lies before the range.
        floor = [event(1, "06:10", 1), event(2, "09:10", 1, "VALVE"), event(1, "09:20", 4, "VALVE"), event(3, "09:30", 2, "VALVE")]
        self.write(floor)
        self.run_pipeline()
        done = self.trace(self.key("receipt", "VALVE", 9))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("proved: 2 events", done.stdout)

    def test_where_an_event_went(self):
        first = self.key("receipt", "PUMP", 6, 1)
        expected = {
            "e1": [r"floor sequence 1, .*: accepted\n  receipt material=PUMP, window 2026-05-12T06:00:00Z to 2026-05-12T07:00:00Z, quantity 3, "
                   rf"amount 1.5: posting {first} revision 1", r"floor sequence 3, .*: duplicate of floor sequence 1"],
            "e4": [r"floor sequence 5, .*: filtered by rule 'telemetry' of 'wanted'"],
            "e6": [rf"posting {self.key('receipt', 'PUMP', 6, 2)} revision 2"],
            "e8": [r"floor sequence 9, .*: dead letter MISSING_FIELD of 'complete', owner plant_it"],
            "e10": [r"floor sequence 13, .*: dead letter TOO_LATE"],
        }
        for one, patterns in expected.items():
            done = self.trace("--event", one)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            for pattern in patterns:
                self.assertRegex(done.stdout, pattern)
        self.assertEqual(self.trace("--event", "e77").returncode, 1)
        self.assertNotIn("sequence 1,", self.trace("--event", "e1", "--from-sequence", "2").stdout)

    def test_a_replay_of_the_same_events_finds_nothing(self):
        done = self.replay()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"^\d+ panes compared: 0 missing, 0 extra, 0 different, 0 inconsistent; 0 open\n$")

    def test_a_replay_finds_what_was_changed_and_nothing_else(self):
        self.write([event(3, "06:30", 5) if line == FLOOR[3] else "\n" if line == FLOOR[13] else line for line in FLOOR]
                   + [event(200, "08:00", 3, "SEAL")])
        done = self.replay("--format", "json")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        found = {row["difference"]: row for row in json.loads(done.stdout)}
        self.assertEqual(sorted(found), ["different", "extra", "missing"])
        self.assertEqual(len(json.loads(done.stdout)), 3)
        shown = {name: (row["for"], row["window_start"][11:16], row.get("posted_quantity"), row.get("quantity"), row.get("posted_amount"),
                        row.get("amount")) for name, row in found.items()}
        self.assertEqual(shown, {
            "different": ("material=PUMP", "06:00", "6.000000", "9.000000", "3.00", "4.50"),
            "extra": ("material=VALVE", "12:00", "6.000000", None, "3.00", None),
            "missing": ("material=SEAL", "08:00", None, "3.000000", None, "1.50")})
        table = self.replay().stdout
        self.assertRegex(table, r"receipt +3 +0\.000000 +pcs +0\.00 +EUR")
        self.assertRegex(table.splitlines()[-1], r"panes compared: 1 missing, 1 extra, 1 different, 0 inconsistent; 0 open$")
        part = self.replay("--from", "2026-05-12T07:00:00Z", "--to", "2026-05-12T10:00:00Z", "--format", "json")
        self.assertEqual([row["difference"] for row in json.loads(part.stdout)], ["missing"])
        self.assertEqual(self.replay("--from", "2026-05-13").returncode, 0)

    def test_a_replay_adds_up_what_was_posted(self):
        first, last = (self.key("receipt", "PUMP", 6, revision) for revision in (1, 2))
        for change, finding, posted in ((f"amount = '9.99' WHERE key = '{first}'", "different", "10.49"),
                                        (f"amount = '2.50', amount_cumulative = '8.00' WHERE key = '{first}'", "", ""),  # a later one has its own
                                        (f"amount_cumulative = '8.00' WHERE key = '{last}'", "inconsistent", "3.00")):
            self.ask(f"UPDATE posting SET {change}")
            done = self.replay("--format", "json")
            found = [(row["difference"], row["posted_amount"], row["amount"]) for row in json.loads(done.stdout)]
            self.assertEqual(found, [(finding, posted, "3.00")] if finding else [], change)
            self.assertEqual(done.returncode, 1 if finding else 0)
            self.assertEqual("the cumulative value of 1 of these is not the sum of what was posted" in self.replay().stdout, bool(finding))

    def test_mistakes_have_codes(self):
        key = next(iter(self.postings()))
        self.assertIn("C663", self.trace().stderr)
        self.assertEqual(self.trace().returncode, 2)
        for unknown in ("ffffffffff", "ff"):
            self.assertIn("D621", self.trace(unknown).stderr)
            self.assertEqual(self.trace(unknown).returncode, 2)
        for end in ("2026-05-11", "2026-05-13"):
            done = self.replay("--from", "2026-05-13", "--to", end)
            self.assertIn("C668", done.stderr)
            self.assertEqual(done.returncode, 2)
        self.assertIn("C661", self.trace("--event", "e1", "--source", "roof").stderr)
        text = (self.path / "small.yaml").read_text(encoding="utf-8")
        self.write_config(text.replace("pipeline: small", "pipeline: large"))
        self.assertIn("C662", self.trace(key).stderr)
        self.write_config(text.replace("file: events.jsonl", 'nats: { server: "nats://127.0.0.1:1", subject: floor }\n    format: json'))
        done = self.trace("--event", "e1")
        self.assertIn("C660", done.stderr, done.stdout)
        self.assertIn("--state", done.stderr)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    main()
