"""takt as a daemon: metrics and health on a real port, and what signals do while a sink cannot take anything.

    daemon_test.py TAKT        exit status 77: no nats-server or promtool here
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAKT = ""
PATIENCE_S = 60

FILE_PIPELINE = """
pipeline: small
sources:
  floor:
    file: {{ path: events.jsonl, follow: {follow} }}
    schema: {root}/schemas/event.bfbs
    time: {{ event: event_time, out_of_order: 0s }}
postings:
  made: {{ by: [material], window: {{ tumbling: 1h }}, quantity: sum(quantity) }}
sinks:
  ledger: {{ sqlite: {{ path: ledger.db, busy: 50ms }} }}
"""


def event(hour, number, kind="produced"):
    return ('{"event_id":"e%d","kind":"%s","event_time":"2026-05-12T%02d:00:00Z","material":"PUMP","quantity":1}\n' % (number, kind, hour))


def await_that(condition, what):
    """Looks again and again, up to a limit that nothing should need."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


class Daemon:
    """A running takt; its stderr is read as it comes."""

    def __init__(self, config, *arguments, environment=None):
        self.process = subprocess.Popen([TAKT, "run", str(config), "--progress", "none", "--log-level", "info", *arguments],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})})
        self.errors = []
        self.reader = threading.Thread(target=lambda: self.errors.extend(iter(self.process.stderr.readline, "")))
        self.reader.start()

    def said(self, pattern):
        return await_that(lambda: next((found for line in list(self.errors) if (found := re.search(pattern, line))), None),
                          f"{pattern} in {''.join(self.errors)}")

    def base(self):
        return self.said(r"metrics at (http://127\.0\.0\.1:\d+)/metrics").group(1)

    def signal(self, which):
        self.process.send_signal(which)

    def end(self):
        """The exit code."""
        code = self.process.wait(timeout=PATIENCE_S)
        self.reader.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stderr.close()


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers["Content-Type"], refused.read().decode()


def await_health(base, code):
    return await_that(lambda: (found := fetch(base + "/healthz"))[0] == code and found[2], f"/healthz says {code}: {fetch(base + '/healthz')}")


def total(text, name):
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


@contextlib.contextmanager
def nats_server(folder):
    """A server of its own, and its URL."""
    log = open(folder / "nats.log", "w", encoding="utf-8")
    process = subprocess.Popen(["nats-server", "--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", str(folder / "jetstream"),
                                "--ports_file_dir", str(folder)], stdout=log, stderr=log)
    try:
        url = await_that(lambda: next((found.group(1) for path in folder.glob("*.ports")
                                       if (found := re.search(r'"(nats://[^"]+)"', path.read_text(encoding="utf-8")))), None), "ports file")
        yield process, url
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()
        log.close()


class OnAServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = pathlib.Path(cls.folder.name)
        cls.process, cls.url = cls.enterClassContext(nats_server(cls.path))
        subprocess.run([TAKT, "sim", "--write-master", cls.path / "master"], check=True, stdout=subprocess.DEVNULL)

    def publish(self, events, seed, start):
        done = subprocess.run([TAKT, "sim", "--server", self.url, "--stream", "PLANT", "--events", str(events), "--seed", str(seed), "--start", start],
                              capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_metrics_and_health(self):
        environment = {"NATS_URL": self.url, "TAKT_MASTER": str(self.path / "master"), "TAKT_LEDGER": str(self.path / "ledger.db")}
        self.publish(20000, 1, "2026-05-11T04:00:00Z")
        config = ROOT / "configs/plant_to_ledger.yaml"
        with Daemon(config, "--listen", "127.0.0.1:0", "--health-limit", "1s", environment=environment) as daemon:
            base = daemon.base()
            metrics = await_that(lambda: (text := fetch(base + "/metrics")[2]) and total(text, "takt_events_total") == 20000 and text,
                                 "20000 events in /metrics")
            self.assertRegex(fetch(base + "/metrics")[1], r"^text/plain; version=0\.0\.4")
            checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""), metrics)
            self.assertIn('outcome="filtered",rule="telemetry"', metrics)
            self.assertIn("healthy: ", await_health(base, 200))
            self.assertEqual(fetch(base + "/nothing")[0], 404)

            # A server that hangs: the connection stands, and nobody says that there is nothing.
            self.process.send_signal(signal.SIGSTOP)
            self.assertIn("unhealthy: source floor has said nothing", await_health(base, 503))
            self.process.send_signal(signal.SIGCONT)
            await_health(base, 200)

            # A ledger that somebody else holds.
            with contextlib.closing(sqlite3.connect(self.path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                self.publish(20000, 2, "2026-05-13T04:00:00Z")
                self.assertRegex(await_health(base, 503), r"unhealthy: (\d+ postings have waited \d+ s for sink ledger: E620|no progress)")
                other.execute("ROLLBACK")
            await_health(base, 200)
            await_that(lambda: total(fetch(base + "/metrics")[2], "takt_events_total") == 40000, "40000 events in /metrics")
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.end(), 0, "".join(daemon.errors))
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            self.assertEqual(ledger.execute("SELECT sum(count) FROM outcome").fetchone()[0], 40000)

    def test_a_port_that_is_taken_is_named(self):
        with Daemon(ROOT / "configs/plant_to_ledger.yaml", "--listen", "0", environment={"NATS_URL": self.url, "TAKT_MASTER": str(self.path / "master"),
                                                                                         "TAKT_LEDGER": str(self.path / "other.db")}) as first:
            port = first.base().rsplit(":", 1)[1]
            with Daemon(ROOT / "configs/plant_to_ledger.yaml", "--listen", port, environment={"TAKT_MASTER": str(self.path / "master")}) as second:
                self.assertEqual(second.end(), 3)
                self.assertIn("E601", "".join(second.errors))


class Signals(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        (self.path / "small.yaml").write_text(FILE_PIPELINE.format(root=ROOT, follow="true"), encoding="utf-8")
        (self.path / "events.jsonl").write_text(event(6, 1), encoding="utf-8")

    @contextlib.contextmanager
    def stuck(self):
        """A daemon with a posting that its ledger cannot take, after the first signal; and who holds the ledger."""
        with Daemon(self.path / "small.yaml", "--listen", "127.0.0.1:0") as daemon:
            base = daemon.base()
            await_that(lambda: total(fetch(base + "/metrics")[2], "takt_events_total") == 1, "the first event")
            await_that(lambda: (self.path / "ledger.db").exists() and self.tables() > 0, "the ledger")
            with contextlib.closing(sqlite3.connect(self.path / "ledger.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with open(self.path / "events.jsonl", "a", encoding="utf-8") as events:
                    events.write(event(7, 2))  # the first hour ends
                await_that(lambda: total(fetch(base + "/metrics")[2], "takt_postings_total") == 1, "the posting")
                daemon.said("sink failed, trying again")
                daemon.signal(signal.SIGTERM)
                daemon.said("phase=draining")
                yield daemon, other

    def tables(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}/ledger.db?mode=ro", uri=True)) as ledger:
            return ledger.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def posted(self):
        with contextlib.closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            return ledger.execute("SELECT count(*) FROM posting").fetchone()[0]

    def test_after_the_first_signal_what_was_read_is_posted(self):
        with self.stuck() as (daemon, other):
            self.assertIsNone(daemon.process.poll())
            other.execute("ROLLBACK")
            self.assertEqual(daemon.end(), 0, "".join(daemon.errors))
        self.assertEqual(self.posted(), 1)

    def test_the_second_signal_ends_at_once(self):
        with self.stuck() as (daemon, other):
            self.assertIsNone(daemon.process.poll())
            started = time.monotonic()
            daemon.signal(signal.SIGINT)
            self.assertEqual(daemon.end(), 3, "".join(daemon.errors))
            self.assertLess(time.monotonic() - started, 10)  # the first one alone gives sinks 30 s
            self.assertIn("E612", "".join(daemon.errors))
            other.execute("ROLLBACK")
        self.assertEqual(self.posted(), 0)


if __name__ == "__main__":
    TAKT = os.path.abspath(sys.argv.pop(1))
    if not (shutil.which("nats-server") and shutil.which("promtool")):
        print("SKIP: no nats-server or promtool here")
        sys.exit(77)
    unittest.main()
