"""The verbs of takt as a user meets them: what they print, what they refuse, how they exit.

    verbs_test.py TAKT
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAKT = ""

PIPELINE = """
pipeline: small
sources:
  floor:
    file: {events}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 1m }}
tables:
  prices: {{ csv: prices.csv, key: material, columns: {{ price: decimal(2) }} }}
steps:
  - filter: wanted
    drop:
      telemetry: kind == "reading"
  - dedup: once
    by: event_id
    same: [kind, event_time, quantity]
    horizon: 48h
  - lookup: priced
    with:
      item: prices[material]
    missing: {{ reason: MISSING_PRICE, owner: master_data }}
postings:
  receipt:
    from: priced
    by: [material]
    window: {{ tumbling: 1h }}
    lateness: 2h
    quantity: sum(quantity)
    unit: '"pcs"'
    amount: sum(quantity * item.price)
    currency: '"EUR"'
    debit: '"100"'
    credit: '"200"'
sinks:
  out: {{ {sink} }}
"""

TEST_FILE = """
pipeline: small.yaml
date: 2026-05-12
tables:
  prices: [{ material: PUMP, price: "2.50" }]
cases:
  - name: a late event posts the difference
    events:
      - { at: 06:10, kind: produced, event_id: a, material: PUMP, quantity: 3 }
      - { watermark: 07:30 }
      - { at: 06:59, kind: produced, event_id: b, material: PUMP, quantity: 1 }
      - { at: 06:10, kind: produced, event_id: a, material: PUMP, quantity: 3 }
      - { at: 06:11, kind: reading, event_id: r }
      - { at: 06:12, kind: produced, event_id: x, material: NONE, quantity: 1 }
      - { at: 06:12, bytes: "no event" }
    postings:
      - { type: receipt, revision: 1, quantity: "3", amount: "7.50", window_end: 2026-05-12T07:00:00Z }
      - { type: receipt, revision: 2, quantity: "1", amount: "2.50" }
    dead_letters:
      - { reason: DECODE }
      - { reason: MISSING_PRICE, event_id: x, owner: master_data }
    outcomes: { accepted: 2, duplicate: 1, filtered: { telemetry: 1 }, dead_letter: 2 }
"""


def takt(*arguments, cwd=None):
    return subprocess.run([TAKT, *arguments], capture_output=True, text=True, check=False, cwd=cwd, timeout=60)


class Verbs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        self.write("prices.csv", "material,price\nPUMP,2.50\n")
        events = [{"event_id": "a", "kind": "produced", "event_time": "2026-05-12T06:10:00Z", "material": "PUMP", "quantity": 3},
                  {"event_id": "b", "kind": "reading", "event_time": "2026-05-12T06:11:00Z"},
                  {"event_id": "a", "kind": "produced", "event_time": "2026-05-12T06:10:00Z", "material": "PUMP", "quantity": 3}]
        self.write("events.jsonl", "".join(json.dumps(event) + "\n" for event in events) + "no event\n")
        self.config = self.write_config()

    def write(self, name, text):
        (self.path / name).write_text(text, encoding="utf-8")
        return str(self.path / name)

    def write_config(self, sink="stdout: {}", events="events.jsonl", name="small.yaml"):
        return self.write(name, PIPELINE.format(root=ROOT, sink=sink, events=events))

    def test_help_names_verbs_and_exit_codes(self):
        done = takt("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("run", "check", "graph", "test", "ledger", "sim", "list", "schema", "Exit codes"):
            self.assertIn(word, done.stdout)
        self.assertRegex(takt("--version").stdout, r"^takt \d+\.\d+\.\d+\n$")

    def test_two_sources_that_read_one_schema_can_be_joined(self):
        text = pathlib.Path(self.config).read_text(encoding="utf-8")
        floor = text[text.index("  floor:"):text.index("tables:")]
        text = text.replace(floor, floor + floor.replace("floor:", "yard:"))
        text = text.replace("steps:\n", "steps:\n  - union: both\n    from: [floor, yard]\n")
        done = takt("run", self.write("two.yaml", text.replace("stdout: {}", "discard: {}")), "--progress", "plain")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"accepted +1\b")
        self.assertRegex(done.stderr, r"duplicate +3\b")

    def test_a_state_needs_sinks_that_keep_what_they_took(self):
        for sink in ("stdout: {}", "file: { path: out }", "nats: { server: 'nats://127.0.0.1:9' }"):
            config = self.write_config(sink=sink)
            done = takt("run", config, "--state", str(self.path / "state"))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"C633: sink 'out' ({sink.partition(':')[0]}) does not know after a crash what it took", done.stderr)
            self.assertFalse((self.path / "state").exists())

    def test_wrong_arguments_are_mistakes(self):
        for arguments in ([], ["rum"], ["run"], ["run", "--lanes", "x", self.config], ["list", "nothing"],
                          ["run", "--for", "60", self.config], ["run", "--listen", "nowhere", self.config]):
            self.assertEqual(takt(*arguments).returncode, 2, arguments)

    def test_run_posts_and_accounts_for_every_event(self):
        done = takt("run", self.config)
        self.assertEqual(done.returncode, 0, done.stderr)
        postings = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len([one for one in postings if "7.50" in json.dumps(one)]), 1, done.stdout)
        self.assertIn("equal to the 4 events that came in", done.stderr)
        self.assertRegex(done.stderr, r"filtered: telemetry +1 +25\.00 %")
        self.assertRegex(done.stderr, r"receipt +1 +0 +7\.50 EUR")

    def test_a_pipeline_reads_the_postings_of_another_one(self):
        config = self.write_config(sink="file: { path: out, format: flatbuffers }")
        done = takt("run", config, "--progress", "none")
        self.assertEqual(done.returncode, 0, done.stderr)
        reader = self.write("reader.yaml", f"""
pipeline: totals
sources:
  ledger:
    file: out/postings-*.flatbuffers
    format: flatbuffers
    schema: {ROOT}/schemas/posting.bfbs
    id: key
    time: {{ event: window_end, out_of_order: 0s }}
postings:
  daily:
    by: [pipeline, type, debit]
    window: {{ tumbling: 24h }}
    quantity: sum(quantity)
    unit: unit
    amount: sum(amount)
    currency: currency
    debit: debit
    credit: credit
sinks:
  out: {{ stdout: {{}} }}
""")
        done = takt("run", reader, "--progress", "none")
        self.assertEqual(done.returncode, 0, done.stderr)
        posting = json.loads(done.stdout)
        self.assertEqual((posting["quantity"], posting["unit"], posting["amount"], posting["currency"]), ("3.000000", "pcs", "7.50", "EUR"))
        self.assertEqual(posting["key_fields"], {"pipeline": "small", "type": "receipt", "debit": "100"})

    def test_run_proposes_the_command_that_looks_into_the_ledger(self):
        config = self.write_config(sink="sqlite: books.db")
        done = takt("run", config, "--progress", "plain")
        self.assertEqual(done.returncode, 0, done.stderr)
        command = [line.split() for line in done.stderr.splitlines() if " ledger " in line and "books.db" in line][-1]
        looked = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(looked.returncode, 0, looked.stderr)
        self.assertIn("receipt", looked.stdout)

    def test_the_first_signal_drains_and_ends_well(self):
        self.write("follow.jsonl", "")
        config = self.write_config(events="{ path: follow.jsonl, follow: true }")
        with subprocess.Popen([TAKT, "run", config, "--progress", "plain"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            running.stderr.readline()  # the first line of progress: it runs
            running.send_signal(signal.SIGTERM)
            _, errors = running.communicate(timeout=30)
        self.assertEqual(running.returncode, 0, errors)
        self.assertIn("equal to the 0 events", errors)

    def test_run_ends_after_the_time_that_it_was_given(self):
        self.write("follow.jsonl", "")
        config = self.write_config(events="{ path: follow.jsonl, follow: true }")
        self.assertEqual(takt("run", config, "--for", "200ms", "--progress", "none").returncode, 0)

    def test_a_server_that_is_not_there_is_no_mistake_of_the_config(self):
        config = self.write_config(sink="sqlite: no/such/folder/books.db")
        self.assertEqual(takt("check", config).returncode, 0)

    def test_check_reports(self):
        done = takt("check", self.config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("5 of the 19 columns", done.stdout)
        self.assertIn("postings   receipt", done.stdout)

    def test_check_shows_all_mistakes_at_once(self):
        text = pathlib.Path(self.config).read_text(encoding="utf-8")
        broken = self.write("broken.yaml", text.replace("horizon: 48h", "horizn: 48h").replace('kind == "reading"', 'knd == "reading"'))
        done = takt("check", broken)
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean 'horizon'?", done.stderr)
        self.assertIn("knd", done.stderr)
        self.assertEqual(takt("run", broken).returncode, 2)
        self.assertEqual(takt("check", str(self.path / "none.yaml")).returncode, 2)

    def test_check_holds_a_schema_against_an_older_one(self):
        schema = (ROOT / "schemas/event.fbs").read_text(encoding="utf-8")
        self.write("old.fbs", schema.replace("quantity: long = null (decimal: 6);", "quantity: long = null (decimal: 3);"))
        subprocess.run(["flatc", "--binary", "--schema", "old.fbs"], cwd=self.path, check=True)
        done = takt("check", self.config, "--schema-was", str(self.path / "old.bfbs"))
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("C320", done.stderr)
        self.assertIn("'quantity'", done.stderr)
        same = takt("check", self.config, "--schema-was", str(ROOT / "schemas/event.bfbs"))
        self.assertEqual(same.returncode, 0, same.stderr)

    def test_graph_draws_steps_and_what_runs(self):
        text = takt("graph", self.config).stdout
        self.assertRegex(text, r"lookup +priced +<- once")
        self.assertIn("digraph", takt("graph", self.config, "--format", "dot").stdout)
        self.assertIn("flowchart", takt("graph", self.config, "--format", "mermaid").stdout)
        physical = takt("graph", self.config, "--physical").stdout
        self.assertIn("segment 0", physical)
        self.assertRegex(physical, r"lanes +exchange to once by event_id")
        for form in ("dot", "mermaid"):
            self.assertIn("receipt", takt("graph", self.config, "--physical", "--format", form).stdout)

    def test_list_and_schema_know_every_connector(self):
        listed = takt("list").stdout
        for words in ("operator  aggregate", "source    jetstream", "sink      sqlite"):
            self.assertIn(words, listed)
        self.assertIn("horizon", takt("list", "operators", "dedup").stdout)
        wrong = takt("list", "sources", "jetstrem")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("did you mean 'jetstream'?", wrong.stderr)
        schema = json.loads(takt("schema").stdout)
        self.assertIn("tables", schema["properties"])
        self.assertIn("source.jetstream", schema["$defs"])

    def test_test_passes_and_fails(self):
        good = takt("test", self.write("good.yaml", TEST_FILE))
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        for before, after, says in (
                ('amount: "7.50"', 'amount: "7.51"', "amount is '7.50', expected '7.51'"),
                ("- { reason: DECODE }\n", "", "unexpected dead letter"),
                ("duplicate: 1, ", "", "outcome duplicate: 1, expected 0"),
                ("revision: 2", "revision: 3", "no such posting")):
            self.assertIn(before, TEST_FILE)
            bad = takt("test", self.write("bad.yaml", TEST_FILE.replace(before, after)))
            self.assertEqual(bad.returncode, 1, bad.stdout + bad.stderr)
            self.assertIn(says, bad.stdout)

    def test_test_reads_bytes_as_the_source_does(self):
        config = pathlib.Path(self.config).read_text(encoding="utf-8").replace(
            f"schema: {ROOT}/schemas/event.bfbs", """format:
      csv:
        fields:
          event_id: { type: string, column: id, required: true }
          kind: { type: string, column: what }
          event_time: { type: timestamp, column: at, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin, required: true }
          material: { type: string, constant: PUMP }
          quantity: { type: decimal(3), column: pieces }""")
        self.write("csv.yaml", config)
        text = """
pipeline: csv.yaml
date: 2026-05-12
headers: { floor: "at,what,id,pieces" }
cases:
  - name: lines and mappings
    events:
      - bytes: "12.05.2026 08:10,produced,a,1.5"
      - { at: 06:20, kind: produced, event_id: b, quantity: 2 }
      - bytes: "12.05.2026 08:30,reading,c,"
      - bytes: "2026-05-12 08:30,produced,d,1"
    postings: [{ type: receipt, material: PUMP, quantity: 3.5, events: 2, window_start: 2026-05-12T06:00:00Z }]
    dead_letters: [{ reason: DECODE, sequence: 4 }]
    outcomes: { accepted: 2, filtered: { telemetry: 1 }, dead_letter: 1 }
"""
        good = takt("test", self.write("good.yaml", text))
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        for before, after, says in (
                ('headers: { floor: "at,what,id,pieces" }', "", "C346"),
                ("{ floor:", "{ flor:", "did you mean 'floor'?"),
                ("at,what,id,pieces", "at,what,id", "C315")):
            self.assertIn(before, text)
            bad = takt("test", self.write("bad.yaml", text.replace(before, after)))
            self.assertEqual(bad.returncode, 2, bad.stdout + bad.stderr)
            self.assertIn(says, bad.stderr)

    def test_an_epoch_ends_with_the_watermark_that_the_source_has(self):
        text = """
pipeline: small.yaml
date: 2026-05-12
tables: { prices: [{ material: PUMP, price: "2.50" }] }
cases:
  - name: two epochs
    events:
      - { at: 06:00, kind: produced, event_id: a, material: PUMP, quantity: 1 }
      - { at: 07:01, kind: reading, event_id: b }
      - { epoch: end }                     # 1 min out of order: the watermark is 07:00
      - { at: 06:59, kind: produced, event_id: c, material: PUMP, quantity: 1 }
    postings: [{ revision: 1, quantity: 1 }, { revision: 2, quantity: 1 }]
"""
        good = takt("test", self.write("good.yaml", text))
        self.assertEqual(good.returncode, 0, good.stdout + good.stderr)
        one_epoch = takt("test", self.write("bad.yaml", text.replace("07:01", "07:00")))
        self.assertIn("quantity is '2', expected '1'", one_epoch.stdout)
        wrong = takt("test", self.write("bad.yaml", text.replace("epoch: end", "epoch: and")))
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("C345", wrong.stderr)

    def test_test_shows_what_a_case_may_expect(self):
        cases = TEST_FILE[:TEST_FILE.index("    postings:")]
        shown = takt("test", "--show", self.write("open.yaml", cases))
        self.assertEqual(shown.returncode, 1, shown.stderr)
        expected = shown.stdout[shown.stdout.index("\n    postings:") + 1:]
        expected = expected[:expected.rindex("\n", 0, -1) + 1]  # without the count of cases
        closed = takt("test", self.write("closed.yaml", cases + expected))
        self.assertEqual(closed.returncode, 0, expected + closed.stdout + closed.stderr)
        again = takt("test", self.write("other.yaml", cases + expected.replace("duplicate: 1", "duplicate: 2")))
        self.assertIn("outcome duplicate: 1, expected 2", again.stdout)

    def test_test_runs_the_cases_that_are_asked_for(self):
        path = self.write("two.yaml", TEST_FILE + "  - { name: nothing happens, events: [] }\n")
        only = takt("test", "--case", "happens", path)
        self.assertEqual((only.returncode, only.stdout), (0, f"ok      nothing happens\n{path}: 1 of 2 cases, 0 failed\n"))
        none = takt("test", "--case", "no such", path)
        self.assertEqual(none.returncode, 2)
        self.assertIn("no case of", none.stderr)

    def test_test_refuses_what_it_does_not_know(self):
        for before, after, says in (
                ("material: PUMP, quantity: 3", "materal: PUMP, quantity: 3", "did you mean 'material'?"),
                ("prices: [{", "prises: [{", "did you mean 'prices'?"),
                ("at: 06:10", "at: 25:10", "C342"),
                ("cases:", "case:", "did you mean 'cases'?"),
                ("outcomes: {", "outcomes: { accepte: 1, ", "did you mean 'accepted'?")):
            bad = takt("test", self.write("bad.yaml", TEST_FILE.replace(before, after)))
            self.assertEqual(bad.returncode, 2, bad.stdout + bad.stderr)
            self.assertIn(says, bad.stderr)

    def test_sim_writes_the_same_file_for_one_seed(self):
        for name in ("a", "b"):
            done = takt("sim", "--events", "1000", "--seed", "7", "--file", str(self.path / name), "--format", "jsonl")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.path / "a").read_bytes(), (self.path / "b").read_bytes())
        tables = self.path / "master"
        self.assertEqual(takt("sim", "--write-master", str(tables)).returncode, 0)
        self.assertTrue((tables / "plants.csv").exists())


if __name__ == "__main__":
    TAKT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
