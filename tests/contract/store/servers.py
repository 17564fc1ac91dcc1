# Copyright (c) 2026, predictive.tenancy contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real MongoDB wire server in a process of its own: started, killed, started again on the same data."""

from __future__ import annotations

import datetime
import ipaddress
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote_plus

import pymongo
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pymongo.errors import PyMongoError

COMMAND = Path(sys.executable).parent / "secantusd-py"
USER, PASSWORD = "tenancy", "p@ss:w/rd%2F?"
_READY = 60.0


class ServerError(Exception):
    """The server did not start."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server: ``options`` are its command-line options, ``uri_options`` what a client adds to reach it."""

    def __init__(self, home: Path, *options: str, uri_options: str = "", auth: bool = False) -> None:
        self.home = home
        self.port = free_port()
        self.options = list(options)
        self.uri_options = uri_options
        self.auth = auth
        self.login = (USER, PASSWORD)
        self.process: subprocess.Popen[bytes] | None = None

    def uri(self, database: str = "tenancy", wait: float = 20.0, *, password: str | None = None) -> str:
        """The URI of a database; ``wait`` seconds for a server that is away; ``password`` in place of the right one."""
        user, right = self.login
        login = f"{user}:{quote_plus(right if password is None else password)}@" if self.auth else ""
        source = "&authSource=admin" if self.auth else ""
        fixed = f"replicaSet=secantus&heartbeatFrequencyMS=500&serverSelectionTimeoutMS={int(wait * 1000)}"
        return f"mongodb://{login}127.0.0.1:{self.port}/{database}?{fixed}{self.uri_options}{source}"

    def client(self) -> pymongo.MongoClient:
        """The plain driver on the same server."""
        return pymongo.MongoClient(self.uri(wait=5))

    def start(self) -> Server:
        """Start it and wait until it answers. Raises ServerError."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = [str(COMMAND), "--host", "127.0.0.1", "--port", str(self.port), "--log-level", "WARNING"]
        command += ["--storage-path", str(self.home / "data"), *self.options]
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _READY
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                text = (self.home / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
                raise ServerError(f"{' '.join(command)} did not start:\n{text}")
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True

    def kill(self) -> None:
        """kill -9, as a crash does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """Let it end by itself."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None


def _certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> bytes:
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=2))
    builder = builder.add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
    address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def secured(home: Path) -> Server:
    """A server that speaks TLS only, with a certificate of an authority of its own, and wants a user and password."""
    home.mkdir(parents=True, exist_ok=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (home / "ca.pem").write_bytes(_certificate("test authority", authority, "test authority", authority))
    (home / "cert.pem").write_bytes(_certificate("127.0.0.1", key, "test authority", authority))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (home / "key.pem").write_bytes(text)
    options = ("--tls-cert-file", str(home / "cert.pem"), "--tls-key-file", str(home / "key.pem"))
    server = Server(home, *options, uri_options=f"&tls=true&tlsCAFile={quote_plus(str(home / 'ca.pem'))}").start()
    with server.client() as client:
        roles = [{"role": "readWriteAnyDatabase", "db": "admin"}, {"role": "dbAdminAnyDatabase", "db": "admin"}]
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=roles)
    server.stop()
    server.options.append("--auth")
    server.auth = True
    return server.start()
