"""Who is who in a test of NATS security: certificates, NKeys, and the JWTs of operator, account and user. Made by the openssl program for
this test alone, and gone with its folder.
"""
import base64
import hashlib
import json
import pathlib
import subprocess
import time

OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3   # 'O', 'A' and 'U' in base32
SEED = 18 << 3                                  # 'S'


def openssl(*arguments, cwd=None, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=cwd, input=data).stdout


def crc16(data):
    """CCITT, as NKeys end with it, low byte first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def base32(data):
    return base64.b32encode(data + crc16(data).to_bytes(2, "little")).decode().rstrip("=")


def unpadded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class NKey:
    """An ed25519 key as NATS writes it."""

    def __init__(self, kind, folder, name):
        self.path = pathlib.Path(folder) / f"{name}.pem"
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.path)
        # Both DER forms end with the 32 bytes of the key.
        secret = openssl("pkey", "-in", self.path, "-outform", "DER")[-32:]
        public = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")[-32:]
        self.public = base32(bytes([kind]) + public)
        self.seed = base32(bytes([SEED | kind >> 5, (kind & 31) << 3]) + secret)

    def sign(self, text):
        data = self.path.with_suffix(".signed")
        data.write_bytes(text)
        return openssl("pkeyutl", "-sign", "-inkey", self.path, "-rawin", "-in", data)


def jwt(issuer, subject, name, nats, expires_in=3600):
    now = int(time.time())
    claims = {"iat": now - 7200, "iss": issuer.public, "sub": subject.public, "name": name, "exp": now + expires_in,
              "nats": {**nats, "version": 2}}
    claims["jti"] = hashlib.sha256(json.dumps(claims).encode()).hexdigest()
    head = unpadded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    body = f"{head}.{unpadded(json.dumps(claims).encode())}"
    return f"{body}.{unpadded(issuer.sign(body.encode()))}"


def credentials(user_jwt, user):
    return (f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n")


class Operator:
    """An operator, its system account, and one account that may use JetStream."""

    UNLIMITED = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    JETSTREAM = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.key = NKey(OPERATOR, folder, "operator")
        self.system = NKey(ACCOUNT, folder, "system")
        self.account = NKey(ACCOUNT, folder, "account")

    def server_config(self):
        account = {"type": "account", "limits": {**self.UNLIMITED, **self.JETSTREAM}}
        system = {"type": "account", "limits": self.UNLIMITED}
        preload = {self.account.public: jwt(self.key, self.account, "plant", account),
                   self.system.public: jwt(self.key, self.system, "system", system)}
        entries = "\n".join(f"  {public}: {token}" for public, token in preload.items())
        operator = jwt(self.key, self.key, "operator", {"type": "operator", "system_account": self.system.public})
        return (f"operator: {operator}\nsystem_account: {self.system.public}\nresolver: MEMORY\n"
                f"resolver_preload: {{\n{entries}\n}}\n")

    def user(self, name, account=None, expires_in=3600):
        """The user's key and JWT; `account` signs it, and need not be one that the server knows."""
        key = NKey(USER, self.folder, name)
        limits = {"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        return key, jwt(account or self.account, key, name, limits, expires_in)


class Certificates:
    """A certificate authority, and what it signs. Names stand for files: `path(name)` and `key(name)`."""

    def __init__(self, folder, name):
        self.folder, self.name = pathlib.Path(folder), name
        openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", 1, "-subj", f"/CN={name}", "-keyout", self.key(name),
                "-out", self.path(name))

    def path(self, name):
        return self.folder / f"{name}.crt"

    def key(self, name):
        return self.folder / f"{name}.key"

    def sign(self, name, subject_alternative_names="IP:127.0.0.1,DNS:localhost", days=1):
        """`days` below 0: it has expired."""
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        openssl("req", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={name}", "-keyout", self.key(name), "-out", request)
        extensions.write_text(f"subjectAltName={subject_alternative_names}\n", encoding="utf-8")
        openssl("x509", "-req", "-in", request, "-CA", self.path(self.name), "-CAkey", self.key(self.name), "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", self.path(name))
