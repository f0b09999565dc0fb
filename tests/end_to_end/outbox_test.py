"""Postings that a sink refuses, on a real daemon and a real stream: they are held with what waits behind them, shown, sent again, closed.

    outbox_test.py TAKT
"""
import base64
import json
import re
import subprocess

from daemon_case import DaemonCase, main

PIPELINE = """
pipeline: held
sources:
  floor:
    file: {{ path: events.jsonl, follow: true }}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time, out_of_order: 0s }}
postings:
  made: {{ by: [material], window: {{ tumbling: 1h }}, lateness: 48h, quantity: sum(quantity), unit: '"pcs"' }}
sinks:
  ledger: {{ jetstream: {{ server: "nats://127.0.0.1:{port}", stream: LEDGER, subject: ledger.postings }} }}
engine: {{ epoch: 10ms }}
"""
LEDGER = {"subjects": ["ledger.>"], "max_msg_size": 1500}
LONG, SHORT = "L" * 1200, "S"


class Outbox(DaemonCase):
    snapshot_interval = "50ms"

    def setUp(self):
        super().setUp()
        self.client.add_stream("LEDGER", **LEDGER)
        self.configure(PIPELINE)
        (self.path / "events.jsonl").touch()
        self.events = 0
        self.start()

    def say(self, time_of_day, material, quantity):
        self.events += 1
        with open(self.path / "events.jsonl", "a", encoding="utf-8") as file:
            print(json.dumps({"event_id": f"e{self.events}", "kind": "produced", "event_time": f"2026-05-12T{time_of_day}Z", "material": material,
                              "quantity": quantity}), file=file)

    def open_postings(self, *arguments):
        done = self.takt("outbox", "list", "state", "--format", "json", *arguments)
        return json.loads(done.stdout) if done.returncode == 0 else []  # the daemon may not have made the folder yet

    def held(self):
        return [(row["state"], row["revision"], row["value"], row["reason"]) for row in self.open_postings("--only", "held")]

    def order(self, verb, *arguments):
        done = self.takt("outbox", verb, "state", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def taken(self, material):
        """(revision, quantity) as the stream has them."""
        messages = self.client.request("$JS.API.STREAM.INFO.LEDGER", b"")["state"]["messages"]
        postings = []
        for sequence in range(1, messages + 1):
            message = self.client.request("$JS.API.STREAM.MSG.GET.LEDGER", {"seq": sequence})["message"]
            posting = json.loads(base64.b64decode(message["data"]))
            if any(field == material for field in posting["key_fields"].values()):
                postings.append((posting["revision"], posting["quantity"]))
        return postings

    def refuse_three(self):
        """Three revisions of a pane of the long material, the first of which the stream does not take."""
        self.say("06:10:00", LONG, 1)
        self.say("06:20:00", SHORT, 2)
        self.say("08:00:00", SHORT, 3)  # closes the hour before
        self.await_that(lambda: len(self.held()) == 1)
        for quantity in (10, 100):
            count = len(self.held())
            self.say("06:30:00", LONG, quantity)
            self.await_that(lambda: len(self.held()) > count)
        self.assertEqual(self.held(), [("refused", "1", "1.000000", "TOO_LARGE"), ("parked", "2", "10.000000", "EARLIER_REVISION"),
                                       ("parked", "3", "100.000000", "EARLIER_REVISION")])
        self.assertEqual(self.taken(SHORT), [(1, "2.000000")])
        self.assertEqual(self.taken(LONG), [])

    def end(self):
        super().end()
        return self.audit()

    def take_long_ones(self):
        self.client.request("$JS.API.STREAM.UPDATE.LEDGER", {"name": "LEDGER", **LEDGER, "max_msg_size": 100_000})

    def test_what_is_held_is_sent_again_when_it_is_ordered(self):
        self.refuse_three()
        key = self.open_postings("--only", "held")[0]["key"]
        # Still too large: it is refused once more.
        self.assertIn("1 ordered to be sent again, and 2 that wait behind to be sent", self.order("resend", "--key", key, "--why", "a try"))
        self.await_that(lambda: not list((self.path / "state/orders").glob("*.order")) and self.tries() == 2 and len(self.held()) == 3)
        self.take_long_ones()
        self.order("resend", "--all", "--why", "the stream takes long ones now", "--by", "anna")
        self.await_that(lambda: not self.open_postings())
        self.assertEqual(self.taken(LONG), [(1, "1.000000"), (2, "10.000000"), (3, "100.000000")])
        # What comes later goes as it should.
        self.say("06:40:00", LONG, 1000)
        self.await_that(lambda: len(self.taken(LONG)) == 4)
        self.end()

    def tries(self):
        return sum(int(row["tries"]) for row in self.open_postings() if row["state"] == "refused")

    def test_an_order_waits_for_a_daemon_and_outlives_its_crash(self):
        self.refuse_three()
        self.kill()
        self.take_long_ones()
        self.order("resend", "--reason", "TOO_LARGE", "--why", "the stream takes long ones now")
        for _ in range(4):
            self.start()
            try:
                self.daemon.wait(timeout=0.15)  # at some moment of recovery and delivery
            except subprocess.TimeoutExpired:
                pass
            self.kill()
        self.start()
        # Its epoch's frame brings what the stream has said to this daemon, and the next one what it says to this revision.
        self.say("06:40:00", LONG, 1000)
        self.await_that(lambda: len(self.taken(LONG)) == 4)
        self.say("08:00:01", SHORT, 1)
        self.await_that(lambda: not self.open_postings())
        self.assertEqual(self.taken(LONG), [(1, "1.000000"), (2, "10.000000"), (3, "100.000000"), (4, "1000.000000")])
        self.end()

    def test_what_is_closed_goes_no_further_and_those_behind_it_do(self):
        self.refuse_three()
        self.take_long_ones()
        first, second, _ = (row["key"] for row in self.open_postings("--only", "held"))
        refused = self.takt("outbox", "close", "state", "--key", second, "--why", "no")
        self.assertEqual(refused.returncode, 2)
        self.assertIn(f"C664: posting {second} waits for the earlier revision {first}", refused.stderr)
        self.order("close", "--key", first, "--reference", "4711", "--why", "booked by hand")
        self.await_that(lambda: not self.open_postings())
        self.assertEqual(self.taken(LONG), [(2, "10.000000"), (3, "100.000000")])
        self.assertRegex(self.end(), r"\+ closed 1 ")
        self.assertEqual(self.order("resend", "--all", "--why", "again"), "nothing is held\n")
        missing = self.takt("outbox", "resend", "state", "--key", first, "--why", "again")
        self.assertIn("C664", missing.stderr)
        self.assertIn("C666", self.takt("outbox", "resend", "state", "--why", "which?").stderr)
        self.assertIn("C665", self.takt("outbox", "list", "state", "--sink", "nobody").stderr)


class ClosedInALedger(DaemonCase):
    """A SQLite ledger does not take what 64 bits do not hold."""

    snapshot_interval = "50ms"

    def say(self, number, time_of_day, quantity):
        with open(self.path / "events.jsonl", "a", encoding="utf-8") as file:
            print(json.dumps({"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T{time_of_day}Z", "material": "PUMP", "quantity": quantity}),
                  file=file)

    def held(self):
        done = self.takt("outbox", "list", "state", "--only", "held", "--format", "json")
        return json.loads(done.stdout) if done.returncode == 0 else []

    def read_again(self, verb, *arguments, state=True):
        done = self.takt(verb, "pipeline.yaml", *arguments, "--ledger", "ledger.db", *(("--state", "state") if state else ()))
        return done.returncode, done.stdout + done.stderr

    def test_books_without_what_was_closed_are_right(self):
        priced = """unit: '"pcs"', amount: sum(quantity), currency: '"EUR"', debit: '"100"', credit: '"200"'"""
        pipeline = re.sub(r"jetstream: \{\{.*\}\} \}\}", "sqlite: ledger.db }}", PIPELINE)
        self.configure(pipeline.replace("""unit: '"pcs"'""", priced))
        (self.path / "events.jsonl").touch()
        self.start()
        for number, (time_of_day, quantity) in enumerate([("06:10:00", 5e12), ("06:20:00", 5e12), ("08:00:00", 3)]):
            self.say(number, time_of_day, int(quantity))
        self.await_that(lambda: len(self.held()) == 1)
        for number, quantity in ((4, 10), (5, 100)):
            self.say(number, "06:30:00", quantity)
            self.await_that(lambda: len(self.held()) == number - 2)
        first, second, third = (row["key"] for row in self.held())
        # What is held is found without the ledger, and proved.
        code, text = self.read_again("trace", second)
        self.assertEqual(code, 0, text)
        self.assertIn("not in the ledger: parked: EARLIER_REVISION", text)
        self.assertIn("proved: 3 events", text)
        self.assertIn(f"posting {first} revision 1, not in the ledger: refused: OUT_OF_RANGE", self.read_again("trace", "--event", "e1")[1])
        self.assertIn("1 missing", self.read_again("replay")[1])

        done = self.takt("outbox", "close", "state", "--key", first, "--reference", "4711", "--why", "booked by hand", "--by", "anna")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.await_that(lambda: not self.held() and self.ask("SELECT revision FROM posting ORDER BY id") == [(2,), (3,)])
        for stopped in (False, True):
            self.assertRegex(self.audit("--ledger", "ledger.db"), r"value accepted for ledger: .* EUR = .* \+ 0 parked .* \+ 10000000000000 closed\n")
            for key in (second, third):
                code, text = self.read_again("trace", key)
                self.assertEqual(code, 0, text)
                self.assertIn("\nproved: ", text)
            code, text = self.read_again("trace", first)
            self.assertEqual(code, 0, text)
            self.assertIn("not in the ledger: closed by anna: booked by hand (4711)", text)
            code, text = self.read_again("replay")
            self.assertEqual(code, 0, text)
            self.assertIn("1 posting that the ledger lacks counts as posted", text)
            if not stopped:
                self.end()
        closed = json.loads(self.takt("outbox", "list", "state", "--only", "closed", "--format", "json").stdout)
        self.assertEqual([(row["key"], row["state"], row["owner"], row["reason"], row["reference"]) for row in closed],
                         [(first, "closed", "anna", "booked by hand", "4711")])
        # Without the state directory nobody knows of it.
        code, text = self.read_again("trace", second, state=False)
        self.assertEqual(code, 1, text)
        self.assertIn(f"NOT proved: the ledger lacks the revision before it, '{first}', and no state directory", text)
        self.assertIn(f"posting {second} revision 2, or an earlier one that the ledger lacks (--state says)",
                      self.read_again("trace", "--event", "e1", state=False)[1])
        self.assertIn("not in the ledger: its window is open, or comes to zero, or its posting is held or closed (--state says)",
                      self.read_again("trace", "--event", "e2", state=False)[1])
        code, text = self.read_again("trace", second, "--sink", "nobody")
        self.assertEqual(code, 2, text)
        self.assertIn("C635: the state directory knows no sink 'nobody'; it has: ledger", text)
        code, text = self.read_again("replay", state=False)
        self.assertEqual(code, 4, text)
        self.assertIn(f"F626: ledger.db: posting {second} follows posting {first}, which is not there", text)


if __name__ == "__main__":
    main()
