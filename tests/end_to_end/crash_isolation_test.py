"""A message that kills the daemon that reads it: after two starts that died of it the third one finds it, and it is a dead letter CRASH.

    crash_isolation_test.py TAKT TAKT_WITH_CRASH_POINTS

The latter dies of messages that hold a text (pipeline/runtime/deadly_text.h). The former, which is shipped, reads them, as a mended version would.
"""
import json
import os
import pathlib
import re
import resource
import signal
import sys
import time
import unittest.mock

from daemon_case import PATIENCE_S, DaemonCase, main

# Only as many messages as one epoch has end it, so that no start that dies of one of them has made it.
PIPELINE = """
pipeline: deadly
sources:
  floor:
    {connector}
    schema: {root}/schemas/event.bfbs
    id: event_id
    time: {{ event: event_time }}
postings:
  made: {{ by: [material], correlation: event_id, quantity: decimal(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 60s, epoch_messages: 20 }}
"""
FILE = "file: {{ path: events.jsonl, follow: true }}"
STREAM = 'jetstream: {{ server: "nats://127.0.0.1:{port}", stream: PLANT, start: first }}\n    format: json'
EPOCH = 20
DEADLY = "DEADLY-MATERIAL"
# As docs/dead-letters.md has it: two starts in a row die, the next one finds the message.
KILLED_STARTS = 2


class CrashIsolation(DaemonCase):
    with_crash_points = ""

    def setUp(self):
        super().setUp()
        # Of the shipped program, too, which must know nothing of it.
        environment = unittest.mock.patch.dict(os.environ, TAKT_DIES_OF=DEADLY)
        environment.start()
        self.addCleanup(environment.stop)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        self.said = 0

    def configure(self, connector):
        super().configure(PIPELINE.replace("{connector}", connector))
        self.file = self.path / "events.jsonl" if connector == FILE else None
        if self.file:
            self.file.touch()

    def event(self, number, deadly):
        return json.dumps({"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60:02}:{number % 60:02}Z",
                           "material": DEADLY if number in deadly else f"M{number % 3}", "quantity": 1})

    def say(self, count, deadly=()):
        """Events, each a message; those with numbers in `deadly` kill. Number n has sequence n + 1."""
        events = [self.event(number, deadly) for number in range(self.said, self.said + count)]
        if self.file:
            with open(self.file, "a", encoding="utf-8") as file:
                file.write("".join(f"{event}\n" for event in events))
        else:
            for event in events:
                self.client.request("plant.events", event.encode())
        self.said += count

    def posted(self):
        """Numbers of the events that are in the ledger, one for each time that they are."""
        return sorted(int(event[1:]) for event, in self.ask("SELECT correlation_id FROM posting"))

    def everything_but(self, *numbers):
        return [number for number in range(self.said) if number not in numbers]

    def start_deadly(self):
        with unittest.mock.patch.object(self, "program", self.with_crash_points):
            self.start()

    def dies(self):
        self.assertEqual(self.daemon.wait(timeout=PATIENCE_S), -signal.SIGABRT, self.log())
        self.daemon = None

    def deaths_until_posted(self, expected):
        """Starts that can die, one after another, until one lives to post this; how many died before it, none of which has posted or found anything."""
        before = self.posted()
        for deaths in range(KILLED_STARTS + 2):
            self.start_deadly()
            deadline = time.monotonic() + PATIENCE_S
            while self.daemon.poll() is None and self.posted() != expected:
                self.assertLess(time.monotonic(), deadline, self.log())
                time.sleep(0.005)
            if self.daemon.poll() is None:
                return deaths
            self.dies()
            self.assertEqual(self.posted(), before, self.log())
            self.assertFalse((self.path / "state/QUARANTINE").exists(), self.log())
        return self.fail(f"{KILLED_STARTS + 2} starts have died\n{self.log()}")

    def dlq(self, verb, *arguments):
        done = self.takt("dlq", verb, "state", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def letters(self):
        return [(row["reason"], row["state"], row["place"]) for row in json.loads(self.dlq("list", "--format", "json"))]

    def expect_found(self, *numbers):
        """Exactly these are dead letters CRASH, with their bytes, and the log and the state directory say so."""
        places = [f"floor:{number + 1}" for number in numbers]
        self.assertEqual(self.letters(), [("CRASH", "open", place) for place in places])
        self.assertEqual(re.findall(r'"a message kills the process that reads it: [^"]*" source=floor sequence=(\d+)$', self.log(), re.MULTILINE),
                         [str(number + 1) for number in numbers])
        self.assertEqual(re.findall(r"^message (.*)$", (self.path / "state/QUARANTINE").read_text(), re.MULTILINE),
                         [f"{number + 1} floor" for number in numbers])
        self.assertEqual(self.ask("SELECT reason, sequence, part, CAST(bytes AS TEXT) FROM dead_letter ORDER BY sequence"),
                         [("CRASH", number + 1, 0, self.event(number, numbers)) for number in numbers])
        self.assertEqual(self.ask("SELECT count FROM outcome WHERE rule = 'CRASH'"), [(len(numbers),)])

    def test_a_message_of_a_stream_is_found_and_sent_again_by_a_version_that_reads_it(self):
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.configure(STREAM)
        self.say(3 * EPOCH, deadly={6})
        self.assertEqual(self.deaths_until_posted(self.everything_but(6)), KILLED_STARTS)
        self.end()
        self.expect_found(6)
        self.audit("--ledger", "ledger.db")

        # What is in quarantine stays there, also for a program that could read it, until a person sends it again.
        self.start()
        self.say(EPOCH)
        self.await_that(lambda: self.posted() == self.everything_but(6))
        self.expect_found(6)
        self.dlq("retry", "--reason", "CRASH", "--why", "this version reads it")
        self.await_that(lambda: self.posted() == self.everything_but())
        self.end()
        self.assertEqual(self.letters(), [("CRASH", "accepted", "floor:7")])
        self.audit("--ledger", "ledger.db")

    def test_each_of_several_messages_behind_a_state_is_found_in_one_start(self):
        self.configure(FILE)
        self.start_deadly()
        while not list(self.path.glob("state/snapshots/*.manifest")):
            self.say(EPOCH)
            self.await_that(lambda: self.posted() == self.everything_but())
        self.snapshot_interval = "1h"
        deadly = self.said + 5, self.said + 12
        self.say(EPOCH, deadly)
        # It has made epochs before, so this one does not count.
        self.dies()
        self.assertEqual(self.deaths_until_posted(self.everything_but(*deadly)), KILLED_STARTS)
        self.kill()
        # No snapshot has that epoch: it is made again, without the two, which still kill.
        self.start_deadly()
        self.say(EPOCH)
        self.await_that(lambda: self.posted() == self.everything_but(*deadly))
        self.end()
        self.expect_found(*deadly)
        self.audit("--ledger", "ledger.db")

    def test_a_retry_that_still_kills_is_taken_back(self):
        self.configure(FILE)
        self.say(EPOCH, deadly={6})
        self.assertEqual(self.deaths_until_posted(self.everything_but(6)), KILLED_STARTS)
        self.end()
        self.dlq("retry", "--reason", "CRASH", "--why", "a try")
        self.start_deadly()
        self.dies()
        self.assertEqual(self.letters(), [("CRASH", "replayed", "floor:7")])
        self.dlq("discard", "--id", "1", "--why", "it still kills")
        self.start_deadly()
        self.say(EPOCH)
        self.await_that(lambda: self.posted() == self.everything_but(6))
        self.end()
        self.assertEqual(self.letters(), [("CRASH", "discarded", "floor:7")])
        self.assertRegex(self.dlq("show", "1"), r"retry taken back +it still kills")
        self.audit("--ledger", "ledger.db")

    def test_nothing_is_taken_out_where_nothing_dies_any_more(self):
        self.configure(FILE)
        self.say(EPOCH, deadly={6})
        for _ in range(KILLED_STARTS):
            self.start_deadly()
            self.dies()
        self.start()
        self.await_that(lambda: self.posted() == self.everything_but())
        self.end()
        self.assertEqual(self.letters(), [])
        self.assertFalse((self.path / "state/QUARANTINE").exists())
        self.assertNotIn("a message kills", self.log())
        self.audit("--ledger", "ledger.db")


if __name__ == "__main__":
    CrashIsolation.with_crash_points = str(pathlib.Path(sys.argv.pop(2)).resolve())
    main()
