"""A JetStream stream with the records of a file, on a server that is killed now and then."""
import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "end_to_end"))

from nats_peer import Client, Server  # noqa: E402

# The server takes messages of one connection in their order, so the answer to the last one of these is one for all.
PUBLISHED_AT_ONCE = 500


def records_of(path):
    """Size-prefixed records."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        size = struct.unpack_from("<I", content, at)[0]
        yield content[at + 4:at + 4 + size]
        at += 4 + size


class PlantStream:
    """A stream PLANT of a server of its own."""

    def __init__(self, folder, file):
        self.server = Server(folder)
        self.up, self.kills = True, 0
        self.up_at = 0
        self.publish(file)

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.server.port}"

    def publish(self, file):
        client = Client(self.server.port)
        client.add_stream("PLANT", subjects=["plant.>"], storage="file")
        waiting, messages = [], 0
        for record in records_of(file):
            messages += 1
            waiting.append(record)
            if len(waiting) == PUBLISHED_AT_ONCE:
                self.publish_all(client, waiting)
                waiting = []
        if waiting:
            self.publish_all(client, waiting)
        stored = client.request("$JS.API.STREAM.INFO.PLANT", b"")["state"]
        if (stored["messages"], stored["last_seq"]) != (messages, messages):
            raise RuntimeError(f"{messages} messages were published, the stream says {stored}")
        client.close()

    @staticmethod
    def publish_all(client, records):
        client.send(b"".join(b"PUB plant.events %d\r\n%b\r\n" % (len(record), record) for record in records[:-1]))
        client.request("plant.events", records[-1])

    def kill(self, down):
        """SIGKILL; it may be started again after so many seconds."""
        self.server.kill()
        self.up, self.up_at = False, time.monotonic() + down
        self.kills += 1

    def start_when_due(self):
        if not self.up and time.monotonic() >= self.up_at:
            self.server.start()
            self.up = True

    def await_server(self):
        if not self.up:
            self.server.start()
            self.up = True

    def stop(self):
        self.server.kill()
