"""A JetStream ledger and a daemon that is killed again and again: each posting and each dead letter is in the stream once.

    jetstream_ledger_test.py TAKT
"""
import base64
import collections
import json
import random
import time

from daemon_case import DaemonCase, main

# The stream forgets ids at once: where no subject tells postings apart, and for dead letters, only what a start reads back keeps one from being
# there twice.
PIPELINE = """
pipeline: streamed
sources:
  floor:
    jetstream: {{ server: "nats://127.0.0.1:{port}", stream: PLANT, start: first }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time, out_of_order: 1m }}
steps:
  - require: complete
    rules: {{ MISSING_FIELD: {{ that: has(material), owner: plant_it }} }}
postings:
  made: {{ by: [material], correlation: event_id, quantity: decimal(quantity) }}
sinks:
  ledger:
    jetstream: {{ server: "nats://127.0.0.1:{port}", stream: LEDGER, subject: "{subject}", ack_timeout: 1s }}
engine: {{ epoch: 10ms }}
"""


class JetStreamLedger(DaemonCase):
    def setUp(self):
        super().setUp()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.client.add_stream("LEDGER", subjects=["ledger.>"], duplicate_window=100_000_000)
        self.published = 0

    def publish(self, count):
        for number in range(self.published, self.published + count):
            event = {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60 % 60:02}:{number % 60:02}Z", "quantity": 1}
            if number % 5:
                event["material"] = f"M{number % 3}"
            self.client.request("plant.events", event)
        self.published += count

    def stored(self):
        return self.client.request("$JS.API.STREAM.INFO.LEDGER", b"")["state"]["messages"]

    def ledger(self):
        """How often each event is there, by subject."""
        found = collections.defaultdict(collections.Counter)
        for sequence in range(1, self.stored() + 1):
            message = self.client.request("$JS.API.STREAM.MSG.GET.LEDGER", {"seq": sequence})["message"]
            content = json.loads(base64.b64decode(message["data"]))
            event = content.get("correlation_id") or json.loads(content["bytes"])["event_id"]
            found[message["subject"].rsplit(".", message["subject"].count(".") - 1)[0]][event] += 1
        return found

    def test_everything_is_there_once(self):
        self.expect_each_once("ledger.{type}")

    def test_everything_is_there_once_where_each_posting_has_its_subject(self):
        self.expect_each_once("ledger.{type}.{key}")

    def expect_each_once(self, subject):
        self.configure(PIPELINE, subject=subject)
        chance = random.Random(5)
        for _ in range(8):
            self.start()
            enough = self.stored() + 60
            self.publish(120)
            self.await_that(lambda: self.stored() >= enough)
            # Not awaited but drawn: in the middle of what is on its way.
            time.sleep(chance.uniform(0, 0.05))
            self.kill()
        self.start()
        self.publish(5)
        self.await_that(lambda: self.stored() >= self.published)
        self.end()
        found = self.ledger()
        self.assertEqual(sorted(found), ["ledger.dead_letters", "ledger.made"])
        for subject, whole in (("ledger.made", False), ("ledger.dead_letters", True)):
            expected = {f"e{number}": 1 for number in range(self.published) if (number % 5 == 0) == whole}
            self.assertEqual(dict(found[subject]), expected, subject)
        self.audit()


if __name__ == "__main__":
    main()
