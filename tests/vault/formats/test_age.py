from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.error import AgeError
from vault.formats.age import (
    HEADER_SIZE,
    KEY_SLOT_SIZE,
    HeaderError,
    HeaderMacError,
    Identity,
    KeyTextError,
    NoMatchError,
    PayloadError,
    Recipient,
    decrypt_file,
    encrypt_file,
    header_for,
    new_file_key,
    new_nonce,
    open_header,
    split_header,
)

ALICE, BOB = Identity.generate(), Identity.generate()
SPECIFIED_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPECIFIED_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"


def test_the_specifications_identity_has_its_recipient() -> None:
    identity = Identity.parse(SPECIFIED_IDENTITY)
    assert identity.recipient.text == SPECIFIED_RECIPIENT
    assert identity.text == SPECIFIED_IDENTITY
    assert Recipient.parse(f"{SPECIFIED_RECIPIENT}\n").public == identity.recipient.public


def test_secrets_do_not_show_in_a_repr() -> None:
    assert ALICE.text not in repr(ALICE)


def test_a_key_of_the_other_kind_is_refused() -> None:
    with pytest.raises(KeyTextError):
        Identity.parse(SPECIFIED_RECIPIENT)
    with pytest.raises(KeyTextError):
        Recipient.parse(SPECIFIED_IDENTITY)


def test_one_stanza_fills_a_key_slot_exactly() -> None:
    header = header_for([ALICE.recipient], new_file_key())
    assert len(header) == HEADER_SIZE
    assert len(header + new_nonce()) == KEY_SLOT_SIZE


def test_every_recipient_opens_the_header_and_nobody_else() -> None:
    file_key = new_file_key()
    header = header_for([ALICE.recipient, BOB.recipient], file_key)
    assert open_header(header, ALICE) == open_header(header, BOB) == file_key
    with pytest.raises(NoMatchError):
        open_header(header, Identity.generate())


@given(st.binary(max_size=300))
def test_a_small_file_reads_back(plaintext: bytes) -> None:
    assert decrypt_file(BOB, encrypt_file([ALICE.recipient, BOB.recipient], plaintext)) == plaintext


def test_rewrapping_needs_a_new_header_only() -> None:
    blob = encrypt_file([ALICE.recipient], b"footage")
    header, rest = split_header(blob)
    rewrapped = header_for([BOB.recipient], open_header(header, ALICE)) + rest
    assert decrypt_file(BOB, rewrapped) == b"footage"
    with pytest.raises(NoMatchError):
        decrypt_file(ALICE, rewrapped)


@given(st.integers(0, HEADER_SIZE - 1), st.integers(1, 255))
def test_no_byte_of_a_header_can_change(place: int, change: int) -> None:
    header = bytearray(header_for([ALICE.recipient], new_file_key()))
    header[place] ^= change
    with pytest.raises(AgeError):
        open_header(bytes(header), ALICE)


def test_an_added_stanza_is_caught_by_the_mac() -> None:
    file_key = new_file_key()
    header = header_for([ALICE.recipient], file_key)
    start, end = header[:-48], header[-48:]
    with pytest.raises(HeaderMacError):
        open_header(start + BOB.recipient.wrap(file_key) + end, ALICE)


def test_bytes_after_a_header_are_refused() -> None:
    with pytest.raises(HeaderError, match="follow"):
        open_header(header_for([ALICE.recipient], new_file_key()) + b"\0", ALICE)


def test_a_header_without_end_is_refused_cheaply() -> None:
    with pytest.raises(HeaderError):
        open_header(b"age-encryption.org/v1\n-> X25519 " + b"A" * 1_000_000, ALICE)


def test_a_file_without_nonce_or_payload_is_refused() -> None:
    blob = encrypt_file([ALICE.recipient], b"")
    with pytest.raises(HeaderError):
        decrypt_file(ALICE, blob[: HEADER_SIZE + 15])
    with pytest.raises(PayloadError):
        decrypt_file(ALICE, blob[: HEADER_SIZE + 16])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(blob: bytes) -> None:
    with pytest.raises(AgeError):
        decrypt_file(ALICE, blob)
    with pytest.raises(AgeError):
        decrypt_file(ALICE, b"age-encryption.org/v1\n" + blob)


LINES = st.lists(
    st.sampled_from(
        [b"-> X25519 AAAA", b"-> ", b"->", b"--- ", b"---", b"A" * 64, b"A" * 43, b"", b"\r", b"-> scrypt x"]
    ),
    max_size=8,
)


@given(LINES)
def test_any_lines_are_read_or_refused(lines: list[bytes]) -> None:
    with pytest.raises(AgeError):
        decrypt_file(ALICE, b"age-encryption.org/v1\n" + b"\n".join(lines))


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    with pytest.raises(AgeError):
        Identity.parse(text)
