"""A plant whose events go into a JetStream stream in step with who reads it, and the server of that stream, which is killed now and then."""
import array
import contextlib
import os
import pathlib
import struct
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/end_to_end"))
sys.path.insert(0, str(ROOT / "tests/determinism"))

from nats_peer import Client, Server  # noqa: E402
from proof import Failed  # noqa: E402

STREAM, SUBJECT = "PLANT", "plant.events"
MESSAGE_BYTES = 16 << 10
PUBLISHED_AT_ONCE = 32
BLOCK_BYTES = 1 << 20
# So far the plant may be ahead of its reader.
AHEAD_MESSAGES = 4096
# The stream keeps what the reader may ask for once more after a crash: what it read since its newest snapshot. Its oldest messages go beyond this.
STREAM_BYTES = 8 << 30
PATIENCE_S = 120
# Of everything that is no plain event. Four hours are the most that a late one may be behind, forty what one that is too late is.
SHARES = {"duplicates": 0.01, "out-of-order": 0.05, "late": 0.005, "too-late": 0.0002, "corrections": 0.002, "malformed": 0.001, "invalid": 0.0005,
          "filtered": 0.004}


class Simulator:
    """`takt sim`: the same events each time."""

    def __init__(self, takt, seed, start, rate, events):
        self.takt, self.seed, self.start, self.rate, self.events = takt, seed, start, rate, events

    def end(self):
        return self.start + self.events // self.rate

    def command(self, seed, start, events, shares):
        return [self.takt, "sim", "--seed", str(seed), "--start", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)), "--events", str(events),
                "--rate", str(self.rate), "--acceleration", "1", *(text for name, share in shares.items() for text in (f"--{name}", str(share)))]

    def write_master(self, folder):
        subprocess.run(self.command(self.seed, self.start, 0, {}) + ["--write-master", folder], check=True, stdout=subprocess.DEVNULL)

    def blocks(self):
        """Bytes of size-prefixed records, cut anywhere."""
        return self.output(self.command(self.seed, self.start, self.events, SHARES))

    @contextlib.contextmanager
    def output(self, command):
        reading, writing = os.pipe()
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command, "--file", f"/dev/fd/{writing}"], pass_fds=[writing],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(writing)
        try:
            with open(reading, "rb", buffering=0) as pipe:
                yield iter(lambda: pipe.read(BLOCK_BYTES), b"")
        finally:
            process.kill()
            process.wait()

    def mark(self, at):
        """The record of one reading at that time: it is filtered, and its time counts."""
        with self.output(self.command(self.seed + 1, at, 50, {name: 0 for name in SHARES} | {"telemetry": 0.99})) as blocks:
            made = b"".join(blocks)
        return next(made[begin:end] for begin, end in records(made) if b"\2\0\0\0kW\0" in made[begin:end])


def records(content):
    """Where each whole record begins and ends, its size included."""
    at, size = 0, len(content)
    length_of = struct.Struct("<I").unpack_from
    while at + 4 <= size:
        end = at + 4 + length_of(content, at)[0]
        if end > size:
            return
        yield at, end
        at = end


def has_table(content, begin, end):
    """Whether a record could be an event: who reads a message looks at its first one to see that there are several in it."""
    size = end - begin - 4
    if size < 8:
        return False
    table = struct.unpack_from("<I", content, begin + 4)[0]
    if table + 4 > size:
        return False
    fields = table - struct.unpack_from("<i", content, begin + 4 + table)[0]
    return 0 <= fields <= size - 4


class Messages:
    """Cuts blocks into messages of whole records."""

    def __init__(self):
        self.rest = b""

    def cut(self, block):
        """(message, number of events) for what is full."""
        content = self.rest + block
        begin = events = 0
        for at, end in records(content):
            if end - begin > MESSAGE_BYTES and events and has_table(content, at, end):
                yield content[begin:at], events
                begin, events = at, 0
            events += 1
        self.rest = content[begin:]

    def last(self):
        events = sum(1 for _ in records(self.rest))
        return [(self.rest, events)] if events else []


class StreamServer(Server):
    """A server that may have to look through a whole stream before it is there."""

    patience_s = PATIENCE_S

    def __init__(self, folder):
        self.up = threading.Event()
        self.up_at, self.kills = 0, 0
        super().__init__(folder)
        self.up.set()

    def kill_for(self, seconds):
        self.up.clear()
        self.kill()
        self.kills += 1
        self.up_at = time.monotonic() + seconds

    def start_when_due(self):
        if not self.up.is_set() and time.monotonic() >= self.up_at:
            self.start()
            self.up.set()


class Plant(threading.Thread):
    """Publishes every message exactly once, whatever the server does: each goes to its own sequence or nowhere."""

    def __init__(self, simulator, server, first, last):
        super().__init__(daemon=True)
        self.simulator, self.server, self.first, self.last = simulator, server, first, last
        self.client = Client(server.port)
        self.client.add_stream(STREAM, subjects=["plant.>"], storage="file", max_bytes=STREAM_BYTES, discard="old")
        self.stored = 0  # messages that the stream has
        self.published = 0  # events in them, and in those that are about to be
        self.until = array.array("Q", [0])  # events up to a sequence
        self.may = threading.Condition()
        self.read, self.stopped = 0, False
        self.failure = None

    def has_read(self, sequence):
        with self.may:
            self.read = max(self.read, sequence)
            self.may.notify()

    def events_until(self, sequence):
        return self.until[min(sequence, len(self.until) - 1)]

    def stop(self):
        with self.may:
            self.stopped = True
            self.may.notify()
        self.server.up.set()
        if self.is_alive():
            self.join()

    def run(self):
        try:
            self.publish_all()
        except Exception as failed:  # pylint: disable=broad-except; whoever waits for us has to know
            self.failure = failed
        if self.client:
            self.client.close()

    def publish_all(self):
        self.publish([(self.first, 1)])
        self.await_reader(1)  # from here on there is a watermark
        messages, waiting = Messages(), []
        with self.simulator.blocks() as blocks:
            for block in blocks:
                for message in messages.cut(block):
                    waiting.append(message)
                    if len(waiting) == PUBLISHED_AT_ONCE:
                        self.publish(waiting)
                        waiting = []
                if self.stopped:
                    return
        self.publish(waiting + messages.last() + [(self.last, 1)])

    def await_reader(self, sequence):
        with self.may:
            self.may.wait_for(lambda: self.read >= sequence or self.stopped)

    def publish(self, messages):
        self.await_reader(self.stored + len(messages) - AHEAD_MESSAGES)
        for _, events in messages:
            self.published += events
            self.until.append(self.published)
        first, last = self.stored + 1, self.stored + len(messages)
        deadline = time.monotonic() + PATIENCE_S
        while self.stored < last and not self.stopped:
            try:
                if self.client is None:
                    self.connect()
                elif self.stored < last:
                    self.send([message for message, _ in messages[self.stored + 1 - first:]])
            except (OSError, RuntimeError) as failed:
                if self.server.up.is_set() and time.monotonic() > deadline:
                    raise Failed(f"the stream does not take messages: {failed}") from failed
                if self.client:
                    self.client.close()
                self.client = None
                if not self.server.up.is_set():
                    self.server.up.wait()
                    deadline = time.monotonic() + PATIENCE_S
                time.sleep(0.05)

    def connect(self):
        self.client = Client(self.server.port)
        found = self.client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"")["state"]["last_seq"]
        if found < self.stored:
            raise Failed(f"the server confirmed message {self.stored}, and its stream ends at {found}")
        self.stored = found

    def send(self, messages):
        parts = []
        for number, message in enumerate(messages):
            header = b"NATS/1.0\r\nNats-Expected-Last-Sequence: %d\r\n\r\n" % (self.stored + number)
            answer = b" answers.1" if number == len(messages) - 1 else b""
            parts.append(b"HPUB %b%b %d %d\r\n%b%b\r\n" % (SUBJECT.encode(), answer, len(header), len(header) + len(message), header, message))
        self.client.send(b"".join(parts))
        if self.client.answer(SUBJECT)["seq"] != self.stored + len(messages):
            raise Failed("the stream has messages of somebody else")
        self.stored += len(messages)
