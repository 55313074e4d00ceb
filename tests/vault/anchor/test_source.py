"""The client's side: a witness that lies, refuses or hides behind TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from crash.house import House
from support.station import Station

from vault.anchor.conflict import ConflictKind
from vault.anchor.gather import Outcome
from vault.anchor.source import Witness
from vault.anchor.witness_server import WitnessServer


@pytest.fixture
def station(house: House) -> Station:
    station = Station(house, "a")
    station.grow(3)
    return station


@contextmanager
def liar(post: tuple[int, bytes], get: tuple[int, bytes] = (404, b"")) -> Iterator[str]:
    """A witness that answers everything with the same."""

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._say(*post)

        def do_GET(self) -> None:
            self._say(*get)

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def asked(station: Station, url: str, **options: object) -> Outcome:
    key = station.keys[0].verifier
    station.witnesses[:] = [Witness("two", url, key, **options)]  # type: ignore[arg-type]
    (outcome,) = station.gatherer.gather().outcomes
    return outcome


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((400, b""), "malformed"), ((403, b""), "signature"), ((404, b""), "does not look after"),
        ((500, b""), "status 500"), ((302, b""), "status 302"), ((200, b""), "malformed"),
        ((200, b"noise\n"), "malformed"),
        ((200, b"x" * 100_000), "longer"), ((409, b"many\n"), "names no size"), ((409, b"1"), "names no size"),
        ((200, "— someone/else AAAAAAA=\n".encode()), "none of its lines"), ((409, b"1\n"), "status 409"),
    ],
)  # fmt: skip
def test_what_is_no_cosignature_is_told_and_not_kept(
    answer: tuple[int, bytes], why: str, station: Station
) -> None:
    with liar(answer) as url:
        outcome = asked(station, url)
    assert outcome.at is None
    assert outcome.conflict is None
    assert why in outcome.why
    assert station.store.newest().files() == []  # type: ignore[union-attr]


def test_a_witness_that_claims_more_entries_raises_the_alarm_with_its_own_words(station: Station) -> None:
    with liar((409, b"999\n")) as url:
        outcome = asked(station, url)
    assert outcome.conflict is not None
    assert outcome.conflict.kind is ConflictKind.ROLLBACK
    assert (outcome.conflict.place / "known").read_bytes() == b"two answered 409\n999\n"


def test_a_witness_that_refuses_what_it_has_seen_itself_is_wrong_and_no_alarm(station: Station) -> None:
    _, note = station.house.reader.checkpoint()
    with liar((422, b"no\n"), (200, note)) as url:
        outcome = asked(station, url)
    assert outcome.conflict is None
    assert "refuses a proof that holds" in outcome.why


@pytest.mark.parametrize("shown", [(404, b""), (200, b"noise"), (200, b"x" * 2_000_000)])
def test_a_refused_proof_raises_the_alarm_when_the_witness_shows_nothing(
    shown: tuple[int, bytes], station: Station
) -> None:
    with liar((422, b"no\n"), shown) as url:
        outcome = asked(station, url)
    assert outcome.conflict is not None
    assert outcome.conflict.kind is ConflictKind.UNPROVEN


def test_over_tls_only_the_named_root_is_believed(station: Station, tmp_path: Path) -> None:
    files = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=witness", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", files[1], "-out", files[0]],
        check=True, capture_output=True,
    )  # fmt: skip
    with WitnessServer(station.desk(station.house.vault.verifier), "127.0.0.1:0", *files) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert "CERTIFICATE_VERIFY_FAILED" in asked(station, url).why
        assert asked(station, url, tls_roots=tmp_path / "none.pem").at is None
        assert asked(station, url, tls_roots=files[0]).at is not None
