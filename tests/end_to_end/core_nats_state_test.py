"""Core NATS under a state directory: a message that is durable with a frame counts once through every crash, though nobody else has it.

    core_nats_state_test.py TAKT
"""
import json
import random
import time
import urllib.request

from daemon_case import DaemonCase, main

PIPELINE = """
pipeline: heard
sources:
  floor:
    nats: {{ server: "nats://127.0.0.1:{port}", subject: plant.events }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time, out_of_order: 1m }}
steps:
  - dedup: once
    by: event_id
    horizon: 24h
postings:
  made: {{ by: [material], window: {{ tumbling: 1h }}, lateness: 12h, quantity: sum(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""


def event(number):
    """Ten an hour, of three materials; each seventh comes again as the one before."""
    number -= number % 7 == 6
    return json.dumps({"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-{12 + number // 240:02}T{number // 10 % 24:02}:30:00Z",
                       "material": f"M{number % 3}", "quantity": number + 1}).encode()


class CoreNatsState(DaemonCase):
    def setUp(self):
        super().setUp()
        self.configure(PIPELINE)
        self.published = 0

    def start(self):
        """A daemon that listens: what is published from now on is its."""
        self.await_that(lambda: self.subscriptions() == 0)  # the one before is gone for the server, too
        super().start()
        self.await_that(lambda: self.subscriptions() == 1)

    def subscriptions(self):
        """How many connections listen to the plant."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.monitor_port}/connz?subs=1", timeout=5) as page:
            connections = json.load(page)["connections"]
        return sum("plant.events" in connection.get("subscriptions_list", []) for connection in connections)

    def publish(self, count):
        for number in range(self.published, self.published + count):
            data = event(number)
            self.client.send(b"PUB plant.events %d\r\n%b\r\n" % (len(data), data))
        self.published += count

    def counted(self):
        return sum(count for count, in self.ask("SELECT count FROM outcome"))

    def test_counts_once_what_was_durable(self):
        chance = random.Random(7)
        expected = 0
        for _ in range(8):
            self.start()
            self.publish(60)
            expected += 60
            self.await_that(lambda: self.counted() == expected)
            # Not awaited but drawn: before, in or after a snapshot.
            time.sleep(chance.uniform(0, 0.2))
            self.kill()
        self.start()
        self.publish(7)
        expected += 7
        self.await_that(lambda: self.counted() == expected)
        self.end()

        accepted, duplicates = (self.ask(f"SELECT sum(count) FROM outcome WHERE outcome = '{name}'")[0][0] for name in ("accepted", "duplicate"))
        repeats = sum(number % 7 == 6 for number in range(self.published))
        self.assertEqual((accepted, duplicates), (self.published - repeats, repeats))
        self.audit("--ledger", "ledger.db")

    def test_trace_and_replay_read_the_messages_from_the_journal(self):
        for count in (120, 80):
            self.start()
            enough = self.published + count
            self.publish(count)
            self.await_that(lambda: self.counted() == enough)
            self.kill()
        self.start()  # the ledger is read beside it
        books = ("pipeline.yaml", "--ledger", "ledger.db")
        keys = [key for key, in self.ask("SELECT key FROM posting")]
        self.assertGreater(len(keys), 40)
        for key in keys[:: len(keys) // 8]:
            without = self.takt("trace", *books, key)
            self.assertEqual((without.returncode, without.stderr.count("C660")), (2, 1), without.stderr)
            proved = self.takt("trace", *books, key, "--state", "state")
            self.assertIn("\nproved: ", proved.stdout, proved.stderr)
        shown = self.takt("trace", *books, "--event", "e5", "--state", "state").stdout
        self.assertIn("floor sequence 6, event time 2026-05-12T00:30:00Z: accepted", shown)
        self.assertIn("floor sequence 7, event time 2026-05-12T00:30:00Z: duplicate of floor sequence 6", shown)
        compared = self.takt("replay", *books, "--state", "state")
        self.assertRegex(compared.stdout, r"[0-9]+ panes compared: 0 missing, 0 extra, 0 different")
        self.end()

    def test_posts_each_pane_once_and_right(self):
        self.start()
        for _ in range(5):
            enough = self.counted() + 100
            self.publish(300)
            # In the midst of it: what is in no frame yet may be lost, nothing may be twice.
            self.await_that(lambda: self.counted() >= enough)
            self.kill()
            self.start()
        self.end()
        self.audit("--ledger", "ledger.db")
        keys = self.ask("SELECT count(*), count(DISTINCT key) FROM posting")[0]
        self.assertEqual(keys[0], keys[1])
        self.assertGreater(keys[0], 100)
        # Every pane's last cumulative quantity is what its revisions add up to.
        wrong = self.ask("SELECT key_fields, window_start FROM posting GROUP BY key_fields, window_start "
                         "HAVING abs(sum(CAST(quantity AS REAL)) - max(CAST(quantity_cumulative AS REAL))) > 0.0000001")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    main()
