"""openssl and Go's note package accept our anchors, and refuse them once anything is altered."""

from __future__ import annotations

import os
import re
import shutil
import struct
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conformance.conftest import ROOT, Program
from crash.house import House, found
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer
from support.station import Station

from vault.anchor.source import Authority
from vault.anchor.witness_server import WitnessServer
from vault.audit.anchor import Anchor
from vault.formats import timestamp
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import CosignerSigningKey, Kind, with_lines
from vault.formats.note import Note
from vault.formats.timestamp import TimestampError

pytestmark = pytest.mark.stock
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
AT = datetime(2026, 11, 23, 6, 5, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"), sends_root=True)


@pytest.fixture(scope="module")
def anchored(
    openssl: OpensslAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Station, Anchor]]:
    """A station whose log was stamped by openssl and cosigned by a witness over HTTP, with both kinds of key."""
    foundation = found(tmp_path_factory.mktemp("foundation"))
    station = Station(House.copy(foundation, tmp_path_factory.mktemp("house") / "h"), "a")
    desk = Station(station.house, "peer")
    watching = desk.desk(station.house.vault.verifier)
    with AuthorityServer(openssl) as server, WitnessServer(watching, "127.0.0.1:0") as peer:
        station.authorities.append(Authority("stamper", server.url, openssl.place / "roots.pem"))
        for kind, key in zip(Kind, desk.keys, strict=True):
            name = {Kind.ED25519: "peer", Kind.ML_DSA_44: "peer-pq"}[kind]
            station.ask(name, f"http://127.0.0.1:{peer.port}", key.verifier)
        station.grow(3)
        gathered = station.gatherer.gather()
        assert not gathered.failed
    yield station, gathered.anchor
    station.house.close()


@pytest.fixture
def place(anchored: tuple[Station, Anchor], openssl: OpensslAuthority, tmp_path: Path) -> Path:
    """A copy of the anchor's directory, with the root and the witness's key beside it."""
    station, anchor = anchored
    shutil.copytree(anchor.place, tmp_path / "anchor")
    (tmp_path / "anchor/roots.pem").write_bytes(openssl.roots)
    (tmp_path / "anchor/peer.vkey").write_text(f"{station.witnesses[0].key.vkey}\n", encoding="utf-8")
    for path in (tmp_path / "anchor").iterdir():
        path.chmod(0o600)
    return tmp_path / "anchor"


def commands() -> list[str]:
    return BLOCK.findall((ROOT / "docs/formats/anchors.md").read_text(encoding="utf-8"))


@pytest.fixture
def printed(
    place: Path,
    anchored: tuple[Station, Anchor],
    run: Program,
    go_program: Callable[[str], str],
    tmp_path: Path,
) -> Callable[[str], tuple[int, str]]:
    """Run one of the page's blocks exactly as it is printed."""
    vault = anchored[0].house.vault
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/verify").symlink_to(go_program("docs/formats/verify.go"))
    environment = {
        **os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LOG": str(vault.log_path),
        "LOGKEY": vault.verifier.vkey,
    }  # fmt: skip

    def execute(block: str) -> tuple[int, str]:
        done = run("bash", "-e", "-o", "pipefail", "-c", block, cwd=place, env=environment)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    return execute


def test_the_printed_commands_accept_what_we_stored(printed: Callable[[str], tuple[int, str]]) -> None:
    said = [printed(block) for block in commands()]
    assert [code for code, _ in said] == [0, 0, 0], said
    assert "Verification: OK" in said[0][1]
    assert "Signature Verified Successfully" in said[1][1]
    assert "are the beginning of this log" in said[2][1]


def test_the_printed_commands_refuse_a_changed_checkpoint(
    printed: Callable[[str], tuple[int, str]], place: Path, openssl: OpensslAuthority
) -> None:
    note = (place / "checkpoint").read_bytes()
    size = Checkpoint.parse(Note.parse(note).text).size
    changed = note.replace(f"\n{size}\n".encode(), f"\n{size - 1}\n".encode())
    (place / "checkpoint").write_bytes(changed)
    assert all(code != 0 for code, _ in map(printed, commands()))
    with pytest.raises(TimestampError):
        timestamp.verify((place / "stamper.tsr").read_bytes(), changed, timestamp.load_roots(openssl.roots))


def test_openssl_and_we_agree_on_another_authoritys_root(place: Path, run: Program, tmp_path: Path) -> None:
    other = OpensslAuthority(tmp_path / "other")
    arguments = ("ts", "-verify", "-data", place / "checkpoint", "-in", place / "stamper.tsr", "-CAfile")
    assert run("openssl", *arguments, place / "roots.pem").returncode == 0
    assert run("openssl", *arguments, other.place / "roots.pem").returncode != 0
    note, raw = (place / "checkpoint").read_bytes(), (place / "stamper.tsr").read_bytes()
    with pytest.raises(TimestampError):
        timestamp.verify(raw, note, timestamp.load_roots(other.roots))


def test_openssl_reads_our_request_and_answers_it(
    run: Program, openssl: OpensslAuthority, tmp_path: Path
) -> None:
    asked = timestamp.query(b"a checkpoint")
    (tmp_path / "q.tsq").write_bytes(asked.raw)
    said = run("openssl", "ts", "-query", "-in", tmp_path / "q.tsq", "-text").stdout.decode()
    assert "Hash Algorithm: sha256" in said
    assert "Certificate required: yes" in said
    assert "Nonce: 0x" in said
    (tmp_path / "r.tsr").write_bytes(openssl.answer(asked.raw))
    arguments = (
        "-queryfile",
        tmp_path / "q.tsq",
        "-in",
        tmp_path / "r.tsr",
        "-CAfile",
        openssl.place / "roots.pem",
    )
    assert run("openssl", "ts", "-verify", *arguments).returncode == 0


def test_an_ml_dsa_line_holds_over_the_specifications_bytes(anchored: tuple[Station, Anchor]) -> None:
    station, anchor = anchored
    witness = station.witnesses[1]
    checkpoint = Checkpoint.parse(Note.parse(anchor.note()).text)
    encoded = anchor.path("cosignature", "peer-pq").read_text(encoding="utf-8").split()[2]
    raw = b64decode(encoded)
    public = MLDSA44PublicKey.from_public_bytes(b64decode(witness.key.vkey.split("+", 2)[2])[1:])
    name, origin = witness.key.name.encode(), checkpoint.origin.encode()
    message = (
        b"subtree/v1\n\x00" + struct.pack(">B", len(name)) + name + raw[4:12]
        + struct.pack(">B", len(origin)) + origin + struct.pack(">QQ", 0, checkpoint.size) + checkpoint.root
    )  # fmt: skip
    public.verify(raw[12:], message)
    with pytest.raises(InvalidSignature):
        public.verify(raw[12:], message[:-1] + bytes([message[-1] ^ 1]))


def test_gos_note_package_passes_over_every_kind_of_line(
    anchored: tuple[Station, Anchor], run: Program, go_program: Callable[[str], str], tmp_path: Path
) -> None:
    station, anchor = anchored
    vault, note = station.house.vault, anchor.note()
    text = Note.parse(note).text
    lines = [CosignerSigningKey.generate("someone/else", kind).line(text, AT) for kind in Kind]
    (tmp_path / "cosigned").write_bytes(
        with_lines(note, *lines, anchor.path("cosignature", "peer-pq").read_bytes())
    )
    program = go_program("docs/formats/verify.go")
    done = run(program, vault.log_path, vault.verifier.vkey, tmp_path / "cosigned")
    assert done.returncode == 0, done.stdout.decode()
