from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Exit
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf
from vault.formats.merkle import Frontier, ProofError, inclusion_proof
from vault.formats.note import NoteError, NoteSignatureError, SigningKey, sign_note
from vault.formats.proof import Proof, ProofFormatError, Receipt, Trust

KEY, STRANGER = SigningKey.generate("sealdock/x"), SigningKey.generate("sealdock/x")
TIME = "2026-11-23T06:05:04.000123Z"
LEAVES = [
    Leaf(id=f"01ARZ3NDEKTSV4RRFFQ69G5F{n:02d}", type="ingest", time=TIME, by="dockd", facts={"n": n})
    for n in range(11)
]


class OneTile:
    def hashes(self, level: int, number: int, width: int) -> tuple[bytes, ...]:
        assert (level, number) == (0, 0)
        return tuple(leaf.hash() for leaf in LEAVES[:width])


def receipt(index: int = 7, size: int = 11, key: SigningKey = KEY) -> Receipt:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf.hash())
    note = Checkpoint("sealdock/x", size, frontier.root()).signed(key)
    return Receipt.build(LEAVES[index], index, inclusion_proof(OneTile(), index, size), note)


RAW = receipt().raw()


@pytest.mark.parametrize("size", [1, 2, 7, 8, 11])
def test_every_receipt_holds_from_its_bytes_alone(size: int) -> None:
    for index in range(size):
        raw = receipt(index, size).raw()
        assert Receipt.parse(raw).raw() == raw
        assert Receipt.parse(raw).verify(KEY.verifier) == LEAVES[index]


def test_the_file_has_the_specified_form() -> None:
    lines = RAW.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == f"extra {b64encode(LEAVES[7].canonical()).decode()}"
    assert lines[2] == "index 7"
    assert lines[7:10] == ["", "sealdock/x", "11"]


def test_under_a_key_of_the_readers_own_the_answer_is_yes() -> None:
    verdict = Receipt.parse(RAW).examine(KEY.verifier)
    assert (verdict.trust, verdict.exit_code, verdict.index) == (Trust.CONFIRMED, Exit.YES, 7)
    assert "Entry 7" in verdict.sentence.format(**verdict.parameters)


def test_under_a_key_that_came_along_it_cannot_be_said() -> None:
    verdict = Receipt.parse(RAW).examine(claimed=KEY.verifier)
    assert (verdict.trust, verdict.exit_code) == (Trust.CLAIMED, Exit.CANNOT)
    text = verdict.sentence.format(**verdict.parameters)
    assert KEY.vkey in text
    assert "nothing here confirms" in text


def test_without_any_key_it_cannot_be_said_but_lies_are_still_caught() -> None:
    verdict = Receipt.parse(RAW).examine()
    assert (verdict.trust, verdict.exit_code) == (Trust.UNCHECKED, Exit.CANNOT)
    assert "not checked" in verdict.sentence.format(**verdict.parameters)
    with pytest.raises(ProofError):
        Receipt.parse(RAW.replace(b"index 7", b"index 6")).examine()


@pytest.mark.parametrize(
    "origin", ["sealdock/\x9b2J", "sealdock/\u202egol", "sealdock/\u2028all is well", "x" * 5000]
)
def test_a_strangers_origin_cannot_paint_on_the_readers_screen(origin: str) -> None:
    note = sign_note(Checkpoint(origin, 1, LEAVES[0].hash()).text(), KEY)
    verdict = Receipt.build(LEAVES[0], 0, [], note).examine()
    assert verdict.parameters["origin"] != origin
    assert str(verdict.parameters["origin"]).isprintable()
    assert len(str(verdict.parameters["origin"])) < 300


@pytest.mark.parametrize("origin", ["sealdock/\u0445", "sealdock/x ", "Sealdock/x", "sealdock/x/"])
def test_an_origin_that_looks_like_the_logs_is_another(origin: str) -> None:
    note = sign_note(Checkpoint(origin, 1, LEAVES[0].hash()).text(), KEY)
    with pytest.raises(NoteSignatureError):
        Receipt.build(LEAVES[0], 0, [], note).examine(KEY.verifier)


def test_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(NoteSignatureError):
        Receipt.parse(RAW).verify(STRANGER.verifier)
    with pytest.raises(NoteSignatureError):
        Receipt.parse(RAW).examine(STRANGER.verifier, claimed=KEY.verifier)


def test_another_entry_is_refused() -> None:
    mine, other = (b64encode(LEAVES[n].canonical()) for n in (7, 6))
    with pytest.raises(ProofError):
        Receipt.parse(RAW.replace(mine, other)).verify(KEY.verifier)


@given(st.integers(0, len(RAW) - 1), st.integers(1, 255))
def test_no_byte_of_a_receipt_can_change(place: int, change: int) -> None:
    raw = bytearray(RAW)
    raw[place] ^= change
    with pytest.raises(VaultError):
        Receipt.parse(bytes(raw)).verify(KEY.verifier)


HASH = b64encode(bytes(32)) + b"\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"c2sp.org/tlog-proof@v1\n\n",
        RAW.replace(b"@v1", b"@v2"),
        RAW.replace(b"\n\n", b"\n"),
        RAW.replace(b"index 7", b"index 07"),
        RAW.replace(b"index 7", b"index -7"),
        RAW.replace(b"index 7", b"index " + b"7" * 40),
        RAW.replace(b"index 7", b"index 7 "),
        RAW.replace(b"index 7\n", b""),
        RAW.replace(b"index 7\n", b"index 7\n" + HASH * 64),
        RAW.replace(b"index 7\n", b"index 7\nAAAA\n"),
        RAW.replace(b"index 7\n", b"index 7\n" + HASH[:-2] + b"\n"),
        RAW.replace(b"extra ", b"extra  "),
        RAW.replace(b"extra ", b"Extra "),
        b"c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n",
        b"\xff" + RAW,
        b"c2sp.org/tlog-proof@v1\nextra " + b"A" * 400_000 + b"\nindex 0\n\nnote",
    ],
)
def test_malformed_receipts_are_refused(raw: bytes) -> None:
    with pytest.raises(ProofFormatError):
        Receipt.parse(raw)


def test_a_proof_without_the_entry_is_no_receipt_but_still_a_proof() -> None:
    whole = receipt()
    bare = Proof(7, whole.proof.hashes, whole.proof.checkpoint_note).raw()
    assert Proof.parse(bare).verify(LEAVES[7].hash(), KEY.verifier).size == 11
    with pytest.raises(ProofFormatError, match="carry"):
        Receipt.parse(bare)


def test_a_checkpoint_that_is_no_note_is_refused_without_a_key_too() -> None:
    head = RAW.partition(b"\n\n")[0]
    with pytest.raises(NoteError):
        Receipt.parse(head + b"\n\nno note\n").examine()


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(raw: bytes) -> None:
    for candidate in (raw, b"c2sp.org/tlog-proof@v1\n" + raw, RAW.partition(b"\n\n")[0] + b"\n\n" + raw):
        with pytest.raises(VaultError):
            Receipt.parse(candidate).verify(KEY.verifier)
        with pytest.raises(VaultError):
            Receipt.parse(candidate).examine()
