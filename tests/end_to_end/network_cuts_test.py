"""A network that cuts connections in the middle of frames, both ways, while a daemon reads one stream and writes another: each posting is there once.

    network_cuts_test.py TAKT
"""
import base64
import collections
import contextlib
import json
import random
import re
import socket
import threading

from daemon_case import DaemonCase, main

# What is cut off is soon asked for again, so that there is more to cut.
PIPELINE = """
pipeline: cut_off
sources:
  floor:
    jetstream: {{ server: "nats://127.0.0.1:{proxy}", stream: PLANT, batch: 64, reconnect_wait: 10ms, heartbeat: 200ms, request_timeout: 300ms }}
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
  ledger: {{ jetstream: {{ server: "nats://127.0.0.1:{proxy}", stream: LEDGER, subject: "{subject}", reconnect_wait: 10ms, ack_timeout: 150ms }} }}
engine: {{ epoch: 10ms, epoch_messages: 8 }}
"""
DIRECTIONS = ("to the server", "to the client")
CUTS = 25  # in each direction


class Frames:
    """Puts pieces of what NATS says together to lines, each with the payload that it announces."""

    def __init__(self):
        self.bytes = b""

    def take(self, piece):
        self.bytes += piece
        while b"\r\n" in self.bytes:
            length = self.bytes.index(b"\r\n") + 2
            if announced := re.match(rb"H?(?:PUB|MSG) .*?(\d+)\r\n", self.bytes):
                length += int(announced.group(1)) + 2
            if len(self.bytes) < length:
                return
            frame, self.bytes = self.bytes[:length], self.bytes[length:]
            yield frame


class Proxy:
    """Between clients and a server. A connection lets a number of bytes through that is drawn for each direction, then a part of the next frame, and is
    gone for both sides; until there were `CUTS` in that direction."""

    def __init__(self, server_port, seed):
        self.server_port, self.chance = server_port, random.Random(seed)
        self.cuts = collections.Counter()
        self.lock, self.sockets, self.threads = threading.Lock(), [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.begin(self.accept)

    def begin(self, body, *arguments):
        self.threads.append(threading.Thread(target=body, args=arguments))
        self.threads[-1].start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join()
        self.hang_up(*self.sockets)
        for thread in self.threads:
            thread.join()
        for open_one in (self.listener, *self.sockets):
            open_one.close()

    @staticmethod
    def hang_up(*sockets):
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.sockets.append(each)
                # In the first words, or behind some messages.
                least, most = (1.5, 3.5) if self.chance.random() < 0.25 else (3.5, 4.5)
                for direction, receiver, sender in zip(DIRECTIONS, (client, server), (server, client)):
                    self.begin(self.forward, receiver, sender, direction, 10 ** self.chance.uniform(least, most), self.chance.random())

    def forward(self, *arguments):
        with contextlib.suppress(OSError):
            self.forward_until_cut(*arguments)
        self.hang_up(*arguments[:2])

    def forward_until_cut(self, receiver, sender, direction, limit, part):
        frames = Frames()
        while piece := receiver.recv(65536):
            for frame in frames.take(piece):
                limit -= len(frame)
                if limit < 0 and self.cuts[direction] < CUTS:
                    sender.sendall(frame[:1 + int(part * (len(frame) - 1))])
                    with self.lock:
                        self.cuts[direction] += 1
                    return
                sender.sendall(frame)

    def has_healed(self):
        return all(self.cuts[direction] >= CUTS for direction in DIRECTIONS)


class NetworkCuts(DaemonCase):
    def setUp(self):
        super().setUp()
        self.client.add_stream("PLANT", subjects=["plant.>"])
        self.client.add_stream("LEDGER", subjects=["ledger.>"])
        self.published = 0

    def publish(self, count):
        """Past the proxy. Every tenth event is a dead letter."""
        for number in range(self.published, self.published + count):
            event = {"event_id": f"e{number}", "kind": "produced", "event_time": f"2026-05-12T06:{number // 60 % 60:02}:{number % 60:02}Z", "quantity": 1}
            self.client.request("plant.events", {**event, **({"material": f"M{number % 3}"} if number % 10 else {})})
        self.published += count

    def stored(self):
        return self.client.request("$JS.API.STREAM.INFO.LEDGER", b"")["state"]["messages"]

    def ledger(self):
        """How often each event is there, as what."""
        found = collections.Counter()
        for sequence in range(1, self.stored() + 1):
            message = self.client.request("$JS.API.STREAM.MSG.GET.LEDGER", {"seq": sequence})["message"]
            content = json.loads(base64.b64decode(message["data"]))
            event = content.get("correlation_id") or json.loads(content["bytes"])["event_id"]
            found[message["subject"].split(".")[1], event] += 1
        return found

    def expect_each_once(self, subject, seed):
        proxy = Proxy(self.server.port, seed)
        self.addCleanup(proxy.close)
        self.configure(PIPELINE, proxy=proxy.port, subject=subject)
        self.start()
        while not proxy.has_healed():
            self.publish(40)
            before = proxy.cuts.total()
            self.await_that(lambda: proxy.cuts.total() > before or self.stored() >= self.published)
        self.publish(50)
        self.await_that(lambda: self.stored() >= self.published)
        self.end()
        self.assertEqual(self.ledger(), {("made" if number % 10 else "dead_letters", f"e{number}"): 1 for number in range(self.published)})
        self.assertEqual(self.takt("outbox", "list", "state", "--format", "json").stdout, "[]\n")
        self.audit()

    def test_each_posting_is_there_once(self):
        self.expect_each_once("ledger.{type}", seed=3)

    def test_each_posting_is_there_once_where_each_has_its_subject(self):
        self.expect_each_once("ledger.{type}.{key}", seed=4)


if __name__ == "__main__":
    main()
