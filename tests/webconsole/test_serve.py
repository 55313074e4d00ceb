"""The console as it runs: gunicorn in its own process, asked over real sockets."""

from __future__ import annotations

import http.client
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from casework.access.permission import Role
from casework.evidence.viewing import record_view
from core.clock import utc_now
from core.settings import ConsoleSettings, Settings
from sealdock import schema
from webconsole.auth import session as sessions
from webconsole.headers import own_names
from webconsole.serve import options
from webconsole.worker import HEAD_WITHIN_S

if TYPE_CHECKING:
    from conftest import House, Station

CONTENT = random.Random(9).randbytes(6 * 1024 * 1024)  # noqa: S311  sample bytes
STARTED_WITHIN_S = 60.0
Start = Callable[..., "Served"]


class Served:
    """A console process and how to ask it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, trust: ssl.SSLContext | None) -> None:
        self.process = process
        self.port = port
        self._trust = trust

    def connect(self) -> http.client.HTTPConnection:
        if self._trust is not None:
            return http.client.HTTPSConnection("localhost", self.port, context=self._trust, timeout=30)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def wait(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the console ended at its start"
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
        raise AssertionError("the console did not start")


@pytest.fixture
def start(house: House, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(certificate: Path | None = None, private_key: Path | None = None) -> Served:
        schema.upgrade(house.db)
        port, trust = free_port(), None
        lines = [f'{name} = "{getattr(house.settings, name)}"' for name in ("vault", "state", "keys")]
        lines += ["[console]", f"port = {port}"]
        if certificate is not None:
            lines += [f'certificate = "{certificate}"', f'private_key = "{private_key}"']
            trust = ssl.create_default_context(cafile=certificate)
        (tmp_path / "sealdock.toml").write_text("\n".join(lines))
        argv = [
            sys.executable,
            "-m",
            "sealdock",
            "--settings",
            str(tmp_path / "sealdock.toml"),
            "run",
            "console",
        ]
        started.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        served = Served(started[-1], port, trust)
        served.wait()
        return served

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def _schema_by_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process refuses a database that no migration made."""
    monkeypatch.setattr("core.db.Database.create_tables", schema.upgrade)


def test_a_range_over_a_real_connection(house: House, station: Station, start: Start) -> None:
    recording_id = station.seal(CONTENT)
    cookie = looking(house, recording_id)
    served = start()
    path = f"/media/{recording_id}/original"
    status, headers, body = served.get(path, Cookie=cookie, Range="bytes=5000000-5000099")
    assert (status, body) == (206, CONTENT[5_000_000:5_000_100])
    assert headers["Content-Range"] == f"bytes 5000000-5000099/{len(CONTENT)}"
    assert served.get(path, Cookie=cookie)[2] == CONTENT
    assert served.get(path)[0] == 401
    assert served.get("/sign-in", Host="evil.example")[0] == 421


def test_stopping_lets_a_running_answer_end(house: House, station: Station, start: Start) -> None:
    recording_id = station.seal(CONTENT)
    served, cookie = start(), looking(house, recording_id)
    connection = served.connect()
    connection.request("GET", f"/media/{recording_id}/original", headers={"Cookie": cookie})
    answer = connection.getresponse()
    first = answer.read(100_000)
    served.process.send_signal(signal.SIGTERM)
    assert first + answer.read() == CONTENT
    connection.close()
    assert served.process.wait(15) == 0


def half_sent(port: int, head: bytes) -> socket.socket:
    """A request that stops in the middle, from another address than the tests' own."""
    connection = socket.create_connection(("127.0.0.1", port), 20, source_address=("127.0.0.2", 0))
    connection.sendall(head)
    return connection


def test_requests_that_never_end_stop_nobody(house: House, start: Start) -> None:
    served = start()
    with ExitStack() as halves:
        for _ in range(3 * house.settings.console.threads):
            halves.enter_context(half_sent(served.port, b"GET /sign-in HTTP/1.1\r\nHost: local"))
        began = time.monotonic()
        assert served.get("/sign-in")[0] == 200
        assert time.monotonic() - began < HEAD_WITHIN_S / 2


def test_a_request_that_stops_is_broken_off(house: House, start: Start) -> None:
    served = start()
    with half_sent(served.port, b"GET /sign-in HTTP/1.1\r\nHost: local") as half:
        began = time.monotonic()
        assert half.recv(1) == b""
        assert HEAD_WITHIN_S - 1 < time.monotonic() - began < HEAD_WITHIN_S + 5


def test_beyond_plain_http_everything_is_bound_to_tls(house: House, start: Start, tmp_path: Path) -> None:
    served = start(*certificate(tmp_path))
    status, headers, _ = served.get("/sign-in")
    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Set-Cookie"].startswith("__Host-sealdock-visit=")
    assert not spoken_plainly(served.port).startswith(b"HTTP/1.1 200")


def spoken_plainly(port: int) -> bytes:
    """What plain HTTP gets from the port."""
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        plain.sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            return plain.recv(100)
        except ConnectionError:
            return b""


def test_the_certificate_says_which_names_are_ours(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    names = own_names(ConsoleSettings(host="0.0.0.0", certificate=chain, private_key=key))  # noqa: S104
    assert {"localhost", "station.example", "192.0.2.7", "[2001:db8::7]"} <= names
    assert "0.0.0.0" not in names  # noqa: S104


def test_the_server_is_told_what_the_settings_say(house: House) -> None:
    given: Settings = house.settings
    chosen = options(given.console)
    assert (chosen["bind"], chosen["threads"], chosen["workers"]) == ("127.0.0.1:8443", 16, 1)
    assert options(ConsoleSettings(host="::1", port=0))["bind"] == "[::1]:0"


def looking(house: House, recording_id: str) -> str:
    """The session cookie of a custodian whose reason for looking stands on the log."""
    account = house.account("wang", Role.CUSTODIAN)
    with house.db.writing() as work:
        token = sessions.begin(work, account, "127.0.0.1")
        record_view(work, house.context.submitter, account.id, [recording_id], "original", "case")
    house.context.submitter.ring()
    return f"sealdock={token}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for this machine and two names beyond it."""
    key, name = (
        generate_private_key(SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]),
    )
    alternatives = [
        x509.DNSName("localhost"), x509.DNSName("Station.example"),
        x509.IPAddress(ip("192.0.2.7")), x509.IPAddress(ip("2001:db8::7")),
    ]  # fmt: skip
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    chain, secret = directory / "console.pem", directory / "console.key"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret


def ip(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)
