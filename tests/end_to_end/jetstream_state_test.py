"""A JetStream source under a state directory that has no snapshot yet: what the journal has read is found again, or the start says why not.

    jetstream_state_test.py TAKT
"""
import contextlib
import shutil
import sqlite3

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


# What each minute has made; the source is idle soon.
PER_MINUTE = PIPELINE.replace("event_time }}", "event_time, idle: 1s }}").replace(
    "correlation: event_id, quantity: decimal(quantity)", "window: {{ tumbling: 1m }}, quantity: sum(quantity)")


class JetStreamState(DaemonCase):
    snapshot_interval = "1h"

    def setUp(self):
        super().setUp()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.published = 0

    def publish(self, count):
        for number in range(self.published, self.published + count):
            self.client.request("plant.events", {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60:02}:{number % 60:02}Z",
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

    def test_a_replay_of_a_source_with_idle_sees_what_the_ledger_lacks(self):
        self.configure(PER_MINUTE, start="first")
        self.start()
        self.publish(130)  # two minutes and a bit
        self.await_that(lambda: self.ask("SELECT count(*) FROM posting") == [(2,)])
        self.end()
        replay = ("replay", "pipeline.yaml", "--ledger", "ledger.db")
        self.assertIn("2 panes compared: 0 missing, 0 extra, 0 different, 0 inconsistent; 1 open", self.takt(*replay).stdout)
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            ledger.execute("PRAGMA foreign_keys = OFF")
            ledger.execute("DELETE FROM posting WHERE id = (SELECT min(id) FROM posting)")
            ledger.commit()
        done = self.takt(*replay)
        self.assertIn("2 panes compared: 1 missing, 0 extra, 0 different, 0 inconsistent; 1 open", done.stdout)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    main()
