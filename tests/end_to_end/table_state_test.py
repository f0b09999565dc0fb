"""A table from a key-value bucket under a state directory: a price counts from the cut at which it came, through every crash, though the
bucket has long said another one.

    table_state_test.py TAKT
"""
import json
import random
import re
import time
import urllib.request
from decimal import Decimal

from daemon_case import DaemonCase, main

PIPELINE = """
pipeline: priced
sources:
  floor:
    jetstream: {{ server: "nats://127.0.0.1:{port}", stream: PLANT }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time }}
tables:
  prices: {{ kv: {{ server: "nats://127.0.0.1:{port}", bucket: MASTER, prefix: prices. }}, key: material, columns: {{ price: decimal(2) }} }}
steps:
  - lookup: priced
    with: {{ known: "prices[material]" }}
postings:
  valued: {{ by: [material], correlation: event_id, amount: known.price * decimal(quantity) }}
sinks:
  ledger: {{ sqlite: ledger.db }}
engine: {{ epoch: 10ms }}
"""
MATERIALS = 3


class TableState(DaemonCase):
    snapshot_interval = "250ms"
    options = ("--listen", "127.0.0.1:0", "--log-level", "info")

    def setUp(self):
        super().setUp()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.client.add_bucket("MASTER")
        self.configure(PIPELINE)
        self.published = 0

    def start(self):
        lives = self.log().count("metrics at")
        super().start()
        self.await_that(lambda: self.log().count("metrics at") > lives)
        self.metrics = re.findall(r"metrics at (\S+)/metrics", self.log())[-1]

    def metric(self, name):
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=5) as page:
            found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page.read().decode(), re.M)
        return float(found[1]) if found else 0

    def put_prices(self, price):
        """Of all materials; the bucket's revision then."""
        for material in range(MATERIALS):
            revision = self.client.request(f"$KV.MASTER.prices.M{material}", json.dumps({"price": price}).encode())["seq"]
        return revision

    def publish(self, count):
        for number in range(self.published, self.published + count):
            self.client.request("plant.events", {
                "event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60 % 60:02}:{number % 60:02}Z",
                "material": f"M{number % MATERIALS}", "quantity": 1})
        self.published += count

    def amounts(self):
        """event number -> what it was posted at."""
        return {int(event[1:]): Decimal(amount) for event, amount in self.ask("SELECT correlation_id, amount FROM posting")}

    def test_each_event_is_posted_at_the_price_of_its_epoch(self):
        chance = random.Random(11)
        posted = {}
        for life in range(1, 9):
            revision = self.put_prices(life)  # the daemon is not there: the one before has seen the price before
            self.start()
            self.await_that(lambda: self.metric("takt_table_revision") >= revision)
            first = self.published
            self.publish(60)
            self.await_that(lambda: len(self.amounts()) > first + 5)
            # Not awaited but drawn: before, in or after a snapshot.
            time.sleep(chance.uniform(0, 0.1))
            self.kill()
            before, posted = posted, self.amounts()
            self.assertEqual({event: posted[event] for event in before}, before)
            # What was not durable when the daemon before died came under this one's price.
            for event in posted.keys() - before.keys():
                self.assertIn(posted[event], (life,) if event >= first else (life - 1, life))
        self.start()
        self.await_that(lambda: len(self.amounts()) == self.published)
        self.end()
        last = self.amounts()
        self.assertEqual({event: last[event] for event in posted}, posted)
        again = [int(count) for count in re.findall(r"epochs_to_make_again=\"?(\d+)", self.log())]
        self.assertGreater(sum(again), 20, "hardly an epoch was made again")
        self.audit("--ledger", "ledger.db")

    def test_a_bucket_that_says_the_same_changes_nothing(self):
        self.put_prices(4)
        self.start()
        self.publish(10)
        self.await_that(lambda: len(self.amounts()) == 10)
        self.end()
        self.start()
        self.publish(10)
        self.await_that(lambda: len(self.amounts()) == 20)
        self.assertEqual(self.metric("takt_table_changes_total"), 0)
        self.assertEqual(self.metric("takt_table_rows"), MATERIALS)
        self.assertEqual(set(self.amounts().values()), {4})


if __name__ == "__main__":
    main()
