from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from conformance.small_log import write_log
from hypothesis import given
from hypothesis import strategies as st

from vault.anchor import conflict, witness_server
from vault.anchor.add_checkpoint import REQUEST_LIMIT, AddCheckpoint, RequestError, parse_size
from vault.anchor.conflict import ConflictKind
from vault.anchor.witness import (
    FalseSignatureError,
    NoProofError,
    NotContinuedError,
    OtherSizeError,
    UnknownLogError,
    Witness,
    WitnessError,
    WitnessStateError,
)
from vault.anchor.witness_server import ListenError, WitnessServer
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.cosignature import CosignerSigningKey, Kind, cosignatures, with_lines
from vault.formats.merkle import EMPTY_ROOT, DirectoryTiles, consistency_proof, tree_root
from vault.formats.note import SigningKey

LOG = SigningKey.generate("sealdock/log")
KEYS = [CosignerSigningKey.generate("witness/w", kind) for kind in Kind]
BIG = 300


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> DirectoryTiles:
    place = tmp_path_factory.mktemp("log")
    write_log(place, BIG, LOG)
    return DirectoryTiles(place, BIG)


@pytest.fixture
def desk(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "witness", KEYS, [LOG.verifier])


def head(tiles: DirectoryTiles, size: int) -> bytes:
    return Checkpoint(LOG.name, size, tree_root(tiles, size)).signed(LOG)


def ask(tiles: DirectoryTiles, old: int, size: int) -> bytes:
    proof = consistency_proof(tiles, old, size) if 0 < old < size else []
    return AddCheckpoint(old, tuple(proof), head(tiles, size)).raw()


def kept(desk: Witness) -> list[conflict.Conflict]:
    return [one for watched in desk.status() for one in watched.conflicts]


def test_a_log_that_grows_is_cosigned_with_both_keys(desk: Witness, tiles: DirectoryTiles) -> None:
    for old, size in [(0, 1), (1, 2), (2, 255), (255, 256), (256, 300), (300, 300)]:
        lines = desk.add_checkpoint(ask(tiles, old, size))
        found = cosignatures(with_lines(head(tiles, size), lines), [key.verifier for key in KEYS])
        assert [one.key.kind for one in found] == [Kind.ED25519, Kind.ML_DSA_44]
    assert desk.status()[0].checkpoint == parse_checkpoint(head(tiles, BIG), LOG.verifier)
    assert kept(desk) == []


def test_the_last_checkpoint_is_shown_with_all_lines(desk: Witness, tiles: DirectoryTiles) -> None:
    origin_hash = sha256(LOG.name.encode()).hexdigest()
    assert desk.latest(origin_hash) is None
    lines = desk.add_checkpoint(ask(tiles, 0, 9))
    assert desk.latest(origin_hash) == head(tiles, 9) + lines
    assert desk.latest("0" * 64) is None


def test_lines_of_others_are_not_taken_into_the_state(desk: Witness, tiles: DirectoryTiles) -> None:
    stranger = CosignerSigningKey.generate("witness/stranger", Kind.ED25519)
    note = head(tiles, 9)
    note = with_lines(note, stranger.line(note.decode().split("\n\n")[0] + "\n", desk._clock()))
    desk.add_checkpoint(AddCheckpoint(0, (), note).raw())
    assert b"stranger" not in (desk.latest(sha256(LOG.name.encode()).hexdigest()) or b"")


def test_another_old_size_is_answered_with_the_size(desk: Witness, tiles: DirectoryTiles) -> None:
    desk.add_checkpoint(ask(tiles, 0, 100))
    for old, size in [(0, 200), (50, 200), (101, 200)]:
        with pytest.raises(OtherSizeError) as caught:
            desk.add_checkpoint(ask(tiles, old, size))
        assert (caught.value.size, caught.value.status, caught.value.conflict) == (100, 409, None)
    assert kept(desk) == []


def test_a_log_that_went_back_is_refused_and_both_checkpoints_are_kept(
    desk: Witness, tiles: DirectoryTiles
) -> None:
    desk.add_checkpoint(ask(tiles, 0, 100))
    with pytest.raises(OtherSizeError) as caught:
        desk.add_checkpoint(ask(tiles, 40, 50))
    (evidence,) = kept(desk)
    assert caught.value.conflict == evidence
    assert evidence.kind is ConflictKind.ROLLBACK
    assert (evidence.place / "known").read_bytes().startswith(head(tiles, 100))
    assert (evidence.place / "offered").read_bytes() == head(tiles, 50)


def test_another_root_at_the_same_size_is_a_fork_that_two_files_prove(
    desk: Witness, tiles: DirectoryTiles
) -> None:
    desk.add_checkpoint(ask(tiles, 0, 100))
    forked = Checkpoint(LOG.name, 100, bytes(32)).signed(LOG)
    for old in (0, 100):
        with pytest.raises(NotContinuedError):
            desk.add_checkpoint(AddCheckpoint(old, (), forked).raw())
    (evidence,) = kept(desk)
    assert evidence.kind is ConflictKind.FORK
    roots = {
        parse_checkpoint((evidence.place / name).read_bytes(), LOG.verifier).root
        for name in ("known", "offered")
    }
    assert len(roots) == 2
    assert desk.status()[0].checkpoint == parse_checkpoint(head(tiles, 100), LOG.verifier)


def test_a_longer_log_without_a_proof_is_refused_and_kept(desk: Witness, tiles: DirectoryTiles) -> None:
    desk.add_checkpoint(ask(tiles, 0, 100))
    good = AddCheckpoint.parse(ask(tiles, 100, 200))
    for proof in ((), good.proof[:-1], (*good.proof, bytes(32)), good.proof[::-1]):
        with pytest.raises(NotContinuedError) as caught:
            desk.add_checkpoint(AddCheckpoint(100, proof, good.note).raw())
        assert caught.value.status == 422
    assert [one.kind for one in kept(desk)] == [ConflictKind.UNPROVEN]
    assert desk.add_checkpoint(good.raw())


def test_each_refusal_has_the_specifications_status(desk: Witness, tiles: DirectoryTiles) -> None:
    stranger = SigningKey.generate("sealdock/stranger")
    namesake = SigningKey.generate(LOG.name)
    note = head(tiles, 9)
    false = note[:-5] + bytes([note[-5] ^ 1]) + note[-4:]
    cases = [
        (b"", 400, WitnessError), (b"old 1\n\n", 400, WitnessError), (b"old 01\n\n" + note, 400, WitnessError),
        (AddCheckpoint(10, (), note).raw(), 400, WitnessError),
        (AddCheckpoint(0, (), Checkpoint(stranger.name, 9, bytes(32)).signed(stranger)).raw(), 404, UnknownLogError),
        (AddCheckpoint(0, (), Checkpoint(LOG.name, 9, bytes(32)).signed(namesake)).raw(), 403, FalseSignatureError),
        (AddCheckpoint(0, (), Checkpoint(LOG.name, 0, bytes(32)).signed(LOG)).raw(), 422, NoProofError),
        (AddCheckpoint(0, (bytes(32),), note).raw(), 422, NoProofError),
    ]  # fmt: skip
    for raw, status, error in cases:
        with pytest.raises(error) as caught:
            desk.add_checkpoint(raw)
        assert caught.value.status == status, raw
    with pytest.raises(WitnessError):
        desk.add_checkpoint(AddCheckpoint(0, (), false).raw())
    assert desk.status()[0].checkpoint is None


def test_an_empty_log_may_be_cosigned(desk: Witness, tiles: DirectoryTiles) -> None:
    desk.add_checkpoint(AddCheckpoint(0, (), Checkpoint(LOG.name, 0, EMPTY_ROOT).signed(LOG)).raw())
    assert desk.add_checkpoint(ask(tiles, 0, 5))


def test_a_damaged_record_stops_the_witness_for_that_log(
    desk: Witness, tiles: DirectoryTiles, tmp_path: Path
) -> None:
    desk.add_checkpoint(ask(tiles, 0, 9))
    (record,) = (tmp_path / "witness").glob("*/checkpoint")
    record.chmod(0o600)
    record.write_bytes(record.read_bytes().replace(b"\n9\n", b"\n8\n"))
    with pytest.raises(WitnessStateError):
        desk.add_checkpoint(ask(tiles, 9, 10))


def test_evidence_cannot_fill_the_disk(
    desk: Witness, tiles: DirectoryTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflict, "KEPT", 3)
    desk.add_checkpoint(ask(tiles, 0, 9))
    for number in range(6):
        with pytest.raises(NotContinuedError):
            desk.add_checkpoint(
                AddCheckpoint(9, (), Checkpoint(LOG.name, 9, bytes([number] * 32)).signed(LOG)).raw()
            )
    assert len(kept(desk)) == 3


def test_strangers_with_old_checkpoints_leave_room_for_the_evidence_of_a_fork(
    desk: Witness, tiles: DirectoryTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflict, "KEPT", 3)
    desk.add_checkpoint(ask(tiles, 0, 100))
    for size in range(50, 60):  # anybody who has receipts has old checkpoints
        with pytest.raises(OtherSizeError):
            desk.add_checkpoint(ask(tiles, 40, size))
    with pytest.raises(NotContinuedError) as caught:
        desk.add_checkpoint(AddCheckpoint(100, (), Checkpoint(LOG.name, 100, bytes(32)).signed(LOG)).raw())
    assert caught.value.conflict.kind is ConflictKind.FORK
    assert [one.kind for one in kept(desk)].count(ConflictKind.FORK) == 1


def test_of_many_at_once_one_advances_the_log(desk: Witness, tiles: DirectoryTiles) -> None:
    desk.add_checkpoint(ask(tiles, 0, 10))
    sizes, cosigned = range(11, 31), list[int]()

    def offer(size: int) -> None:
        try:
            desk.add_checkpoint(ask(tiles, 10, size))
            cosigned.append(size)
        except OtherSizeError:
            return

    threads = [threading.Thread(target=offer, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cosigned) == 1
    checkpoint = desk.status()[0].checkpoint
    assert checkpoint is not None
    assert checkpoint.size == cosigned[0]


@given(st.binary(max_size=300))
def test_noise_is_refused_by_our_error(noise: bytes) -> None:
    for parse in (AddCheckpoint.parse, parse_size):
        try:
            parse(noise)
        except RequestError:
            continue


@given(
    old=st.integers(0, 10**17),
    proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    note=st.binary(),
)
def test_a_request_reads_back(old: int, proof: list[bytes], note: bytes) -> None:
    one = AddCheckpoint(old, tuple(proof), note)
    assert AddCheckpoint.parse(one.raw()) == one


# Over HTTP


@pytest.fixture
def server(desk: Witness) -> Iterator[WitnessServer]:
    with WitnessServer(desk, "127.0.0.1:0") as server:
        yield server


def post(server: WitnessServer, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read()
    finally:
        connection.close()


def get(server: WitnessServer, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_protocols_statuses_and_types(server: WitnessServer, tiles: DirectoryTiles) -> None:
    status, _, lines = post(server, ask(tiles, 0, 100))
    assert status == 200
    assert len(cosignatures(with_lines(head(tiles, 100), lines), [key.verifier for key in KEYS])) == 2
    assert post(server, ask(tiles, 0, 200)) == (409, "text/x.tlog.size", b"100\n")
    assert post(server, AddCheckpoint(100, (), head(tiles, 200)).raw())[0] == 422
    assert post(server, b"noise")[0] == 400
    assert post(server, b"", "/elsewhere")[0] == 404
    assert post(server, bytes(REQUEST_LIMIT + 1))[0] == 413
    origin_hash = sha256(LOG.name.encode()).hexdigest()
    assert get(server, f"/{origin_hash}/checkpoint") == (200, head(tiles, 100) + lines)
    for path in (f"/{'0' * 64}/checkpoint", f"/{origin_hash}/lock", "/../checkpoint", "/"):
        assert get(server, path)[0] == 404


@pytest.mark.parametrize("length", ["00000000009999999999", "9" * 5000, "-1", "1_0", "\u0661", "", "131073"])
def test_no_length_that_a_stranger_states_costs_memory(server: WitnessServer, length: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as stranger:
        stranger.sendall(f"POST /add-checkpoint HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        assert stranger.recv(100).split()[1] in {b"411", b"413"}


def test_a_witness_that_cannot_remember_answers_500(
    server: WitnessServer, tiles: DirectoryTiles, tmp_path: Path
) -> None:
    assert post(server, ask(tiles, 0, 9))[0] == 200
    (record,) = (tmp_path / "witness").glob("*/checkpoint")
    record.unlink()
    record.mkdir()
    assert post(server, ask(tiles, 9, 10))[0] == 500


def test_strangers_beyond_the_ceiling_are_let_go_and_one_that_waits_is_cut_off(
    desk: Witness, tiles: DirectoryTiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_server, "LIFE_S", 0.2)
    with WitnessServer(desk, "127.0.0.1:0") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(40)]
        for one in idle:
            assert one.recv(1) == b""
            one.close()
        assert post(server, ask(tiles, 0, 9))[0] == 200


def test_beyond_loopback_it_wants_a_certificate(desk: Witness, tmp_path: Path) -> None:
    for listen in ("0.0.0.0:0", "nonsense", "127.0.0.1:99999999", "127.0.0.1:x"):
        with pytest.raises(ListenError):
            WitnessServer(desk, listen)
    with pytest.raises(ListenError):
        WitnessServer(desk, "127.0.0.1:0", tmp_path / "none.pem", tmp_path / "none.key")


def test_it_speaks_tls(desk: Witness, tiles: DirectoryTiles, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with WitnessServer(desk, "127.0.0.1:0", certificate, key) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(4)]
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=10, context=context)
        connection.request("POST", "/add-checkpoint", ask(tiles, 0, 9))
        assert connection.getresponse().status == 200  # whoever never says hello holds up nobody
        connection.close()
        for one in idle:
            one.close()
