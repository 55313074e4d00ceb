from __future__ import annotations

import hashlib
import struct
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.cosignature import (
    CosignatureError,
    CosignerKey,
    CosignerKeyError,
    CosignerSigningKey,
    Kind,
    claimed_at,
    cosignatures,
    cosigned_message,
    with_lines,
)
from vault.formats.note import Note, NoteError, SigningKey

LOG = SigningKey.generate("sealdock/x")
HEAD = Checkpoint("sealdock/x", 7, bytes(range(32)))
NOTE = HEAD.signed(LOG)
AT = datetime(2026, 11, 23, 6, 5, 4, tzinfo=UTC)
KEYS = {kind: CosignerSigningKey.generate("witness.example/w1", kind) for kind in Kind}


def test_the_message_of_the_specifications_example() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert (
        cosigned_message(Kind.ED25519, "w", text, 1679315147)
        == f"cosignature/v1\ntime 1679315147\n{text}".encode()
    )


def test_the_ml_dsa_message_is_the_specifications_structure() -> None:
    name, origin = b"witness.example/w1", b"sealdock/x"
    expected = (
        b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", 1700000000)
        + bytes([len(origin)]) + origin + struct.pack(">QQ", 0, 7) + bytes(range(32))
    )  # fmt: skip
    assert cosigned_message(Kind.ML_DSA_44, name.decode(), HEAD.text(), 1700000000) == expected


@pytest.mark.parametrize("kind", list(Kind))
def test_a_line_is_found_and_gives_its_time(kind: Kind) -> None:
    key = KEYS[kind]
    note = with_lines(NOTE, key.line(HEAD.text(), AT))
    (found,) = cosignatures(note, [key.verifier])
    assert (found.at, found.key) == (AT, key.verifier)
    assert claimed_at(found.line) == AT
    assert parse_checkpoint(note, LOG.verifier) == HEAD  # the log's own verifier passes the line over


@pytest.mark.parametrize("kind", list(Kind))
def test_key_texts_read_back_and_carry_the_specifications_identifier(kind: Kind) -> None:
    key = KEYS[kind]
    assert CosignerSigningKey.parse(key.private_text).vkey == key.vkey
    assert CosignerKey.parse(key.vkey) == key.verifier
    name, key_id, encoded = key.vkey.split("+", 2)
    raw = b64decode(encoded)
    assert raw[0] == int(kind)
    assert hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key_id


@pytest.mark.parametrize("kind", list(Kind))
def test_any_changed_byte_of_a_known_keys_line_refuses_the_whole_note(kind: Kind) -> None:
    key = KEYS[kind]
    signature = Note.parse(with_lines(NOTE, key.line(HEAD.text(), AT))).signatures[-1]
    for place in (0, 7, 8, 40, len(signature.raw) - 1):
        raw = bytearray(signature.raw)
        raw[place] ^= 1
        line = f"— {signature.name} {b64encode(signature.key_id + raw).decode()}\n".encode()
        with pytest.raises(CosignatureError):
            cosignatures(with_lines(NOTE, line), [key.verifier])


@pytest.mark.parametrize("kind", list(Kind))
def test_a_line_holds_for_its_own_checkpoint_only(kind: Kind) -> None:
    line = KEYS[kind].line(HEAD.text(), AT)
    for other in (Checkpoint("sealdock/x", 8, HEAD.root), Checkpoint("sealdock/x", 7, bytes(32))):
        with pytest.raises(CosignatureError):
            cosignatures(with_lines(other.signed(LOG), line), [KEYS[kind].verifier])


def test_lines_of_unknown_keys_are_nobodys() -> None:
    note = with_lines(NOTE, *(key.line(HEAD.text(), AT) for key in KEYS.values()))
    assert [one.key.kind for one in cosignatures(note, [KEYS[Kind.ML_DSA_44].verifier])] == [Kind.ML_DSA_44]
    assert cosignatures(note, []) == []


@pytest.mark.parametrize("text", ["not a checkpoint", "", "a\n1\n"])
def test_nothing_but_a_checkpoint_is_cosigned(text: str) -> None:
    with pytest.raises(VaultError):
        KEYS[Kind.ED25519].line(text, AT)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "a+00000000+AAAA", "a+00000000+BA==", LOG.vkey, KEYS[Kind.ED25519].vkey[:-4],
     KEYS[Kind.ED25519].vkey.replace("witness", "another"), "a b+" + KEYS[Kind.ED25519].vkey.split("+", 1)[1]],
    ids=["nothing", "no key", "short", "no bytes", "a log's", "cut off", "another name", "a blank in the name"],
)  # fmt: skip
def test_what_is_no_cosigners_key_is_refused(vkey: str) -> None:
    with pytest.raises(CosignerKeyError):
        CosignerKey.parse(vkey)
    with pytest.raises(CosignerKeyError):
        CosignerSigningKey.parse(f"PRIVATE+KEY+{vkey}")


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"\xe2\x80\x94 a b\n", b"x\n", NOTE, b"\xe2\x80\x94 a AAAAAAA=\n\n"]
)
def test_what_is_no_line_is_not_put_under_a_note(line: bytes) -> None:
    with pytest.raises(NoteError):
        with_lines(NOTE, line)


@given(st.binary(max_size=200))
def test_noise_under_a_checkpoint_raises_nothing_but_our_errors(noise: bytes) -> None:
    for attempt in (lambda: with_lines(NOTE, noise), lambda: claimed_at(noise)):
        try:
            attempt()
        except VaultError:
            continue


@given(st.binary(min_size=1, max_size=2500))
def test_noise_in_a_known_keys_name_raises_our_error(noise: bytes) -> None:
    key = KEYS[Kind.ED25519].verifier
    line = f"— {key.name} {b64encode(key.key_id + noise).decode()}\n".encode()
    with pytest.raises(CosignatureError):
        cosignatures(with_lines(NOTE, line), [key])
