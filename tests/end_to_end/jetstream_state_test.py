"""A JetStream source under a state directory that has no snapshot yet: what the journal has read is found again, or the start says why not.

    jetstream_state_test.py TAKT
"""
import shutil

from daemon_case import PATIENCE_S, DaemonCase, main

PIPELINE = """
pipeline: begun
sources:
  floor:
    jetstream: {{ server: "nats://127.0.0.1:{port}", stream: PLANT, start: {start} }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time }}
postings:
  made: {{ by: [material], correlation: event_id, quantity: decimal(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""


class JetStreamState(DaemonCase):
    snapshot_interval = "1h"

    def setUp(self):
        super().setUp()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.published = 0

    def publish(self, count):
        for number in range(self.published, self.published + count):
            self.client.request("plant.events", {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:00:{number % 60:02}Z",
                                                 "material": "PUMP", "quantity": 1})
        self.published += count

    def posted(self):
        return sorted(int(event[1:]) for event, in self.ask("SELECT correlation_id FROM posting"))

    def consumers(self):
        return self.client.request("$JS.API.STREAM.INFO.PLANT", b"")["state"]["consumer_count"]

    def test_a_beginning_at_new_messages_is_the_same_one_after_a_crash(self):
        self.publish(7)
        self.configure(PIPELINE, start="new")
        self.start()
        self.await_that(lambda: self.consumers() == 1)
        self.publish(20)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        self.publish(3)
        self.start()
        self.await_that(lambda: len(self.posted()) == 23)
        self.end()
        self.assertEqual(self.posted(), list(range(7, 30)))
        self.audit("--ledger", "ledger.db")

    def refused_with(self, code):
        """The daemon is started, and ends with this code."""
        self.start()
        self.assertNotEqual(self.daemon.wait(timeout=PATIENCE_S), 0)
        self.assertIn(code, self.log())

    def test_a_tail_that_the_server_lost_ends_the_start(self):
        self.publish(5)
        self.server.kill()
        shutil.copytree(self.path / "server/js", self.path / "before")
        self.server.start()
        self.connect()

        def go_back():
            self.server.kill()
            shutil.rmtree(self.path / "server/js")
            shutil.copytree(self.path / "before", self.path / "server/js")
            self.server.start()
            self.connect()

        self.published = 5
        self.configure(PIPELINE, start="first")
        self.start()
        self.publish(15)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        go_back()
        self.refused_with("F531")
        # Other messages under the same sequences.
        self.published = 100
        self.publish(40)
        self.refused_with("F532")
        self.assertEqual(self.posted(), list(range(20)))

    def test_a_head_that_the_server_removed_ends_the_start(self):
        self.configure(PIPELINE, start="first")
        self.start()
        self.publish(20)
        self.await_that(lambda: len(self.posted()) == 20)
        self.kill()
        self.client.request("$JS.API.STREAM.PURGE.PLANT", {"seq": 11})
        self.refused_with("F533")
        self.assertEqual(len(self.posted()), 20)


if __name__ == "__main__":
    main()
