"""A nats-server of a test, and a client of some lines that knows every way to come in."""
import json
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

from nats_identity import unpadded


class Server:
    """On loopback, free ports, JetStream, all of it in `folder`. Ends with `kill`, and with this process."""

    patience_s = 10

    def __init__(self, folder, config=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config, self.port, self.monitor_port, self.process = config, -1, -1, None
        self.start()

    def start(self):
        """After `kill` on the same ports and over the same data."""
        (self.folder / "nats.conf").write_text(
            f'server_name: test\nhost: 127.0.0.1\nport: {self.port}\nhttp: "127.0.0.1:{self.monitor_port}"\n'
            f'ports_file_dir: "{self.folder}"\nlog_file: "{self.folder}/nats.log"\njetstream {{ store_dir: "{self.folder}/js" }}\n{self.config}\n',
            encoding="utf-8")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "nats-server", "-c", self.folder / "nats.conf"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait_until_ready()
        except Exception:
            self.kill()
            raise

    def find_ports(self):
        """Where the server wrote them; ports that are known stay as they are."""
        for path in self.folder.glob("*.ports"):
            text = path.read_text(encoding="utf-8")
            if self.port < 0 and text.rstrip().endswith("}") and len(re.findall(r"127\.0\.0\.1:(\d+)", text)) >= 2:
                self.port, self.monitor_port = (int(re.search(rf'"{kind}":\["[^"]*:(\d+)', text).group(1)) for kind in ("nats", "monitoring"))

    def wait_until_ready(self):
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline and self.process.poll() is None:
            self.find_ports()
            if self.port > 0:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/healthz", timeout=1) as answer:
                        if answer.status == 200:
                            return
                except OSError:
                    pass
            time.sleep(0.02)
        log = self.folder / "nats.log"
        raise RuntimeError("nats-server is not ready: " + (log.read_text(encoding="utf-8") if log.exists() else "no log"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Client:
    """Speaks NATS. `identity`: fields of CONNECT (user, pass, auth_token, nkey, jwt); `signer`: the NKey that signs the server's nonce;
    `tls`: (certificate authority, certificate, key), the latter two may be None."""

    def __init__(self, port, identity=None, signer=None, tls=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.buffer = b""
        info = json.loads(self.line().split(b" ", 1)[1])
        if tls:
            authority, certificate, key = tls
            context = ssl.create_default_context(cafile=authority)
            if certificate:
                context.load_cert_chain(certificate, key)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        connect = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "test", "version": "1",
                   **(identity or {})}
        if signer:
            connect["sig"] = unpadded(signer.sign(info["nonce"].encode()))
        self.send(f"CONNECT {json.dumps(connect)}\r\nSUB answers.* 1\r\nPING\r\n".encode())
        while (line := self.line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise RuntimeError(line.decode())

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server ended the conversation")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def request(self, subject, data):
        """The answer's payload as JSON; an error of JetStream is an exception."""
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send(f"PUB {subject} answers.1 {len(payload)}\r\n".encode() + payload + b"\r\n")
        return self.answer(subject)

    def answer(self, subject):
        """To what was sent last with the reply subject answers.1."""
        while True:
            line = self.line()
            if line == b"PING":
                self.send(b"PONG\r\n")
            elif line.startswith(b"-ERR") or line.startswith(b"HMSG"):
                raise RuntimeError(f"{subject}: {line.decode()}")
            elif line.startswith(b"MSG"):
                size = int(line.rsplit(b" ", 1)[1])
                while len(self.buffer) < size + 2:
                    self.more()
                answer, self.buffer = json.loads(self.buffer[:size]), self.buffer[size + 2:]
                if "error" in answer:
                    raise RuntimeError(f"{subject}: {answer['error']}")
                return answer

    def add_stream(self, name, **config):
        self.request(f"$JS.API.STREAM.CREATE.{name}", {"name": name, **config})

    def add_bucket(self, name):
        self.add_stream(f"KV_{name}", subjects=[f"$KV.{name}.>"], max_msgs_per_subject=1, allow_rollup_hdrs=True, deny_delete=True)

    def put(self, bucket, key, value):
        self.request(f"$KV.{bucket}.{key}", value)
