"""Every way to come in to a NATS server, with source, table and sink on it; what is said to those who may not; and that no secret shows.

    nats_security_test.py TAKT
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from nats_identity import USER, Certificates, NKey, Operator, credentials
from nats_peer import Client, Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAKT = ""
EXIT_MISTAKE = 2

PIPELINE = """
pipeline: secured
sources:
  floor:
    jetstream: {{ {options}, stream: PLANT }}
    schema: {root}/schemas/event.bfbs
    format: json
    id: event_id
    time: {{ event: event_time }}
tables:
  prices: {{ kv: {{ {options}, bucket: MASTER, prefix: prices. }}, key: material, columns: {{ price: decimal(2) }} }}
steps:
  - lookup: priced
    with: {{ item: "prices[material]" }}
postings:
  receipt: {{ by: [material], quantity: quantity, amount: quantity * item.price, currency: '"EUR"' }}
sinks:
  ledger: {{ jetstream: {{ {options}, stream: LEDGER }} }}
engine: {{ epoch: 10ms }}
"""


class Run:
    """A running `takt run` with everything that it says."""

    def __init__(self, folder, options, environment):
        config = pathlib.Path(folder) / "secured.yaml"
        config.write_text(PIPELINE.format(root=ROOT, options=options), encoding="utf-8")
        self.config = config
        self.environment = {**os.environ, **environment}
        self.log = pathlib.Path(folder) / "takt.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([TAKT, "run", config, "--listen", "127.0.0.1:0", "--progress", "plain", "--log-level", "debug"],
                                            stdout=log, stderr=log, env=self.environment)
        self.pages = ""

    def output(self):
        return self.log.read_text(encoding="utf-8")

    def page(self, name):
        found = re.search(r"http://127\.0\.0\.1:\d+", self.output())
        if not found:
            return ""
        try:
            with urllib.request.urlopen(f"{found.group()}/{name}", timeout=5) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as refused:
            text = refused.read().decode()
        except OSError:
            text = ""
        self.pages += text
        return text

    def wait(self, condition):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if condition():
                return True
            if self.process.poll() is not None:
                return bool(condition())
            time.sleep(0.02)
        return False

    def stop(self, at_once=False):
        """The exit code, after SIGTERM where it still runs; a second one ends it without what could not be delivered."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            if at_once:
                self.wait(lambda: "phase=draining" in self.output())
                self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def everything(self):
        """All that anybody can read of the run and of its config."""
        said = self.output() + self.pages
        for verb in (["check"], ["graph"], ["graph", "--physical"]):
            done = subprocess.run([TAKT, *verb, self.config], capture_output=True, text=True, check=False, env=self.environment)
            said += done.stdout + done.stderr
        return said


class NatsSecurity(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.runs = 0

    def serve(self, config):
        server = Server(self.folder / f"server{self.runs}", config)
        self.addCleanup(server.kill)
        return server

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def fill(self, server, **who):
        """A stream with two events, and their prices."""
        client = Client(server.port, **who)
        client.add_stream("PLANT", subjects=["plant.>"])
        client.add_bucket("MASTER")
        client.put("MASTER", "prices.PUMP", {"price": "9.22"})
        for number in (1, 2):
            client.request("plant.a", {"event_id": f"e{number}", "kind": "produced", "event_time": "2026-05-12T06:00:00Z",
                                       "material": "PUMP", "quantity": number})
        client.close()

    def run_takt(self, options, environment):
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        run = Run(folder, options, environment)
        self.addCleanup(run.end)
        return run

    def assert_no_secret(self, run, secrets):
        said = run.everything()
        self.assertIn("secured", said)
        for secret in secrets:
            self.assertGreater(len(secret), 5)
            self.assertNotIn(secret, said)

    def comes_in(self, options, secrets=(), environment=None):
        """Both events are read, priced and posted."""
        run = self.run_takt(options, environment or {})
        wanted = 'takt_sink_deliveries_total{sink="ledger",state="accepted"} 2\n'
        posted = run.wait(lambda: wanted in run.page("metrics"))
        run.page("healthz")
        code = run.stop()
        self.assertTrue(posted, run.output())
        self.assertEqual(code, 0, run.output())
        self.assertRegex(run.output(), r"receipt +2 +0 +27\.66 EUR")
        self.assert_no_secret(run, secrets)

    def is_refused(self, options, code, *words, secrets=(), environment=None):
        """The error names its code and these words; a mistake of the config ends the run, what comes from outside is tried again."""
        run = self.run_takt(options, environment or {})
        told = run.wait(lambda: code in run.output())
        run.page("healthz")
        if code.startswith("C"):
            run.wait(lambda: run.process.poll() is not None)
            self.assertEqual(run.process.poll(), EXIT_MISTAKE, run.output())
        run.stop(at_once=True)
        self.assertTrue(told, run.output())
        lines = [line for line in run.output().splitlines() if code in line]
        self.assertTrue(any(all(word in line for word in words) for line in lines), f"{words} not in\n" + "\n".join(lines[:5]))
        self.assert_no_secret(run, secrets)

    def test_user_and_password(self):
        server = self.serve("authorization { user: takt, password: correct-horse }")
        self.fill(server, identity={"user": "takt", "pass": "correct-horse"})
        address = f'server: "nats://127.0.0.1:{server.port}", user: takt'
        secrets = ["correct-horse", "battery-staple"]
        self.comes_in(f'{address}, password: "${{TAKT_TEST_PASSWORD}}"', secrets, {"TAKT_TEST_PASSWORD": "correct-horse"})
        file = self.write("password", "correct-horse\n")
        self.comes_in(f"{address}, password: {{ file: {file} }}", secrets)
        self.is_refused(f"{address}, password: {{ env: TAKT_TEST_PASSWORD }}", "C521", "refuses to let us in", "password",
                        f"127.0.0.1:{server.port}", secrets=secrets, environment={"TAKT_TEST_PASSWORD": "battery-staple"})
        self.is_refused(f'server: "nats://127.0.0.1:{server.port}"', "C521", "refuses to let us in")

    def test_token(self):
        server = self.serve("authorization { token: t0ken-of-the-plant }")
        self.fill(server, identity={"auth_token": "t0ken-of-the-plant"})
        address = f'server: "nats://127.0.0.1:{server.port}"'
        secrets = ["t0ken-of-the-plant", "t0ken-of-another"]
        self.comes_in(f'{address}, token: "${{TAKT_TEST_TOKEN}}"', secrets, {"TAKT_TEST_TOKEN": "t0ken-of-the-plant"})
        self.is_refused(f'{address}, token: "${{TAKT_TEST_TOKEN}}"', "C521", "refuses to let us in", "token", secrets=secrets,
                        environment={"TAKT_TEST_TOKEN": "t0ken-of-another"})

    def test_nkey(self):
        key, other = NKey(USER, self.folder, "takt"), NKey(USER, self.folder, "other")
        server = self.serve(f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}")
        self.fill(server, identity={"nkey": key.public}, signer=key)
        address = f'server: "nats://127.0.0.1:{server.port}"'
        secrets = [key.seed, other.seed]
        seed, wrong = self.write("takt.nk", key.seed + "\n"), self.write("other.nk", other.seed + "\n")
        self.comes_in(f"{address}, nkey: {key.public}, nkey_seed: {seed}", secrets)
        self.is_refused(f"{address}, nkey: {other.public}, nkey_seed: {wrong}", "C521", "refuses to let us in", "nkey", secrets=secrets)
        self.is_refused(f"{address}, nkey: {key.public}, nkey_seed: {wrong}", "C521", "refuses to let us in", secrets=secrets)
        self.is_refused(f"{address}, nkey: {key.public}, nkey_seed: {self.folder}/none.nk", "C520", "nkey_seed names", "none.nk")
        self.is_refused(f"{address}, nkey: {key.public}, nkey_seed: {self.write('public.nk', key.public)}", "C520", "public.nk",
                        "holds no seed of a user")

    def test_credentials(self):
        operator = Operator(self.folder)
        server = self.serve(operator.server_config())
        user, token = operator.user("takt")
        self.fill(server, identity={"jwt": token}, signer=user)
        address = f'server: "nats://127.0.0.1:{server.port}"'
        good = self.write("takt.creds", credentials(token, user))
        self.comes_in(f"{address}, credentials: {good}", [user.seed, token])
        late, late_token = operator.user("late", expires_in=-60)
        stranger, strange_token = operator.user("stranger", account=NKey(0, self.folder, "unknown_account"))
        for name, key, one in (("late", late, late_token), ("stranger", stranger, strange_token), ("mixed", stranger, token)):
            file = self.write(f"{name}.creds", credentials(one, key))
            self.is_refused(f"{address}, credentials: {file}", "C521", "refuses to let us in", "credentials",
                            secrets=[key.seed, one])
        self.is_refused(f"{address}, credentials: {self.write('empty.creds', user.seed)}", "C520", "credentials names", "empty.creds",
                        "holds no user JWT", secrets=[user.seed])
        seed_only = self.write("jwt_only.creds", credentials(token, user).split("-----BEGIN USER NKEY SEED")[0])
        self.is_refused(f"{address}, credentials: {seed_only}", "C520", "jwt_only.creds", "holds no seed of a user", secrets=[token])

    def test_tls(self):
        authority, other = Certificates(self.folder, "plant_ca"), Certificates(self.folder, "other_ca")
        authority.sign("server")
        server = self.serve(f'tls {{ cert_file: "{authority.path("server")}", key_file: "{authority.key("server")}" }}')
        self.fill(server, tls=(authority.path("plant_ca"), None, None))
        trusted = f"tls_ca: {authority.path('plant_ca')}"
        for scheme in ("nats", "tls"):
            self.comes_in(f'server: "{scheme}://127.0.0.1:{server.port}", {trusted}')
        address = f'server: "tls://127.0.0.1:{server.port}"'
        self.comes_in(f"{address}, {trusted}, tls_hostname: localhost")
        self.is_refused(address, "E521", "certificate", "check tls_ca")
        self.is_refused(f"{address}, tls_ca: {other.path('other_ca')}", "E521", "unable to get local issuer certificate", "check tls_ca")
        self.is_refused(f"{address}, {trusted}, tls_hostname: nats.plant.example", "E521", "mismatch", "nats.plant.example", "tls_hostname")
        self.is_refused(f"{address}, tls_ca: {self.folder}/none.crt", "C520", "tls_ca names", "none.crt")
        self.is_refused(f"{address}, tls_ca: {authority.key('server')}", "C520", "security options", "server.key")

    def test_an_expired_certificate_of_the_server(self):
        authority = Certificates(self.folder, "plant_ca")
        authority.sign("expired", days=-1)
        server = self.serve(f'tls {{ cert_file: "{authority.path("expired")}", key_file: "{authority.key("expired")}" }}')
        self.is_refused(f'server: "tls://127.0.0.1:{server.port}", tls_ca: {authority.path("plant_ca")}', "E521",
                        "certificate has expired")

    def test_a_name_that_the_address_does_not_say(self):
        authority = Certificates(self.folder, "plant_ca")
        authority.sign("named", "DNS:nats.plant.example")
        server = self.serve(f'tls {{ cert_file: "{authority.path("named")}", key_file: "{authority.key("named")}" }}')
        options = f'server: "tls://127.0.0.1:{server.port}", tls_ca: {authority.path("plant_ca")}'
        self.is_refused(options, "E521", "mismatch", "tls_hostname")
        # The server has neither stream nor bucket: whoever is told that has come in.
        self.is_refused(f"{options}, tls_hostname: nats.plant.example", "C526", "there is no key-value bucket MASTER")

    def test_client_certificates(self):
        authority, other = Certificates(self.folder, "plant_ca"), Certificates(self.folder, "other_ca")
        authority.sign("server")
        authority.sign("takt", "DNS:takt")
        authority.sign("late", "DNS:takt", days=-1)
        other.sign("stranger", "DNS:takt")
        server = self.serve(f'tls {{ cert_file: "{authority.path("server")}", key_file: "{authority.key("server")}", '
                            f'ca_file: "{authority.path("plant_ca")}", verify: true }}')
        self.fill(server, tls=(authority.path("plant_ca"), authority.path("takt"), authority.key("takt")))
        address = f'server: "tls://127.0.0.1:{server.port}", tls_ca: {authority.path("plant_ca")}'
        own = self.folder
        key_text = authority.key("takt").read_text(encoding="utf-8").splitlines()[1]
        self.comes_in(f"{address}, tls_certificate: {own}/takt.crt, tls_key: {own}/takt.key", [key_text])
        self.is_refused(address, "E521", "client certificate")
        for name in ("late", "stranger"):
            self.is_refused(f"{address}, tls_certificate: {own}/{name}.crt, tls_key: {own}/{name}.key", "E521", "client certificate",
                            "expired")
        self.is_refused(f"{address}, tls_certificate: {own}/takt.crt, tls_key: {own}/late.key", "C520", "key values mismatch",
                        secrets=[key_text])

    def test_nothing_is_said_in_the_clear_to_a_server_without_tls(self):
        authority = Certificates(self.folder, "plant_ca")
        server = self.serve("authorization { user: takt, password: correct-horse }")
        environment = {"TAKT_TEST_PASSWORD": "correct-horse"}
        plain, safe = f"nats://127.0.0.1:{server.port}", f"tls://127.0.0.1:{server.port}"
        for options in (f'server: "{safe}"', f'server: "{plain}", tls: true', f'server: "{plain}", tls_ca: {authority.path("plant_ca")}',
                        f'server: "{plain}", tls_hostname: localhost', f'server: ["{plain}", "{safe}"]'):
            self.is_refused(f"{options}, user: takt, password: {{ env: TAKT_TEST_PASSWORD }}", "E521", "offers no TLS",
                            secrets=["correct-horse"], environment=environment)
        log = (server.folder / "nats.log").read_text(encoding="utf-8")
        self.assertNotIn("authentication error", log)

    def test_a_config_that_holds_a_secret_is_refused_and_does_not_show_it(self):
        for options, code in (('server: "nats://takt:hunter22@127.0.0.1:4222"', "C520"), ("user: takt, password: hunter22", "C195"),
                              ("user: takt, password: hunter22, bogus: 1", "C104"), ("user: takt, pasword: hunter22", "C104"),
                              ("user: takt, password: @hunter22", "C181"), ('user: takt, password: "hunter22', "C181"),
                              ("token: hunter22, user: takt", "C195")):
            config = self.write("secret.yaml", PIPELINE.format(root=ROOT, options=options))
            for verb in ("check", "run", "graph"):
                done = subprocess.run([TAKT, verb, config], capture_output=True, text=True, check=False, timeout=60)
                self.assertEqual(done.returncode, EXIT_MISTAKE, done.stderr)
                self.assertIn(code, done.stderr)
                self.assertNotIn("hunter22", done.stdout + done.stderr)

    def test_the_examples_of_the_reference_load(self):
        page = (ROOT / "docs/reference/nats-security.md").read_text(encoding="utf-8")
        examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        self.assertGreaterEqual(len(examples), 6)
        environment = dict(os.environ, TAKT_NATS_PASSWORD="p", TAKT_NATS_TOKEN="t")
        for name in ("nats-password", "nats-token"):
            self.write(name, "x\n")
        for example in examples:
            connector = re.search(r"^jetstream: (\{.*\})$", example, re.MULTILINE)
            self.assertTrue(connector, example)
            options = connector.group(1)[1:-1].replace("stream: PLANT, ", "")
            config = self.write("example.yaml", PIPELINE.format(root=ROOT, options=options))
            done = subprocess.run([TAKT, "check", config], capture_output=True, text=True, check=False, env=environment)
            self.assertEqual(done.returncode, 0, example + done.stderr)


if __name__ == "__main__":
    TAKT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
