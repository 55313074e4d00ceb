from __future__ import annotations

import hashlib
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.error import VaultError
from vault.formats.note import (
    SIGNATURE_LIMIT,
    Note,
    NoteError,
    NoteKeyError,
    NoteSignatureError,
    SigningKey,
    VerifierKey,
    open_note,
    sign_note,
)

# The example of c2sp.org/signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
""".encode()

# The keys of the Go package's documentation (golang.org/x/mod/sumdb/note).
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

LOG, OTHER = SigningKey.generate("sealdock/log"), SigningKey.generate("sealdock/log")


def test_opens_the_specifications_example() -> None:
    assert open_note(EXAMPLE, [VerifierKey.parse(VKEY)]) == "This is an example message.\n"


def test_a_fingerprint_is_the_digest_of_the_raw_key_in_groups_of_four() -> None:
    raw = b64decode(GO_VKEY.rpartition("+")[2])[1:]
    groups = VerifierKey.parse(GO_VKEY).fingerprint.split(" ")
    assert {len(group) for group in groups} == {4}
    assert "".join(groups) == hashlib.sha256(raw).hexdigest()


def test_reads_and_writes_gos_keys() -> None:
    signer = SigningKey.parse(GO_SIGNER)
    assert signer.vkey == GO_VKEY
    assert signer.private_text == GO_SIGNER


def test_a_key_file_reads_back(tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text(f"{LOG.private_text}\n")
    assert SigningKey.read(tmp_path / "log.key").vkey == LOG.vkey
    (tmp_path / "bad.key").write_bytes(b"\xff\xfe")
    with pytest.raises(NoteKeyError):
        SigningKey.read(tmp_path / "bad.key")


def test_secrets_do_not_show_in_a_repr() -> None:
    assert LOG.private_text[-20:] not in repr(LOG)


def test_several_keys_sign_one_note_and_each_is_found() -> None:
    raw = sign_note("text\n", LOG, OTHER)
    assert Note.parse(raw).signers([OTHER.verifier, LOG.verifier]) == (OTHER.verifier, LOG.verifier)
    assert open_note(raw, [LOG.verifier]) == "text\n"


def test_a_stranger_is_ignored_and_proves_nothing() -> None:
    raw = sign_note("text\n", LOG)
    with pytest.raises(NoteSignatureError, match="no trusted key"):
        open_note(raw, [OTHER.verifier])
    with pytest.raises(NoteSignatureError):
        open_note(raw, [])
    assert open_note(raw, [OTHER.verifier, LOG.verifier]) == "text\n"


def test_a_false_signature_in_a_known_name_refuses_the_note_even_beside_a_good_one() -> None:
    lines = sign_note("text\n", LOG).decode() + sign_note("other\n", OTHER).decode().split("\n\n")[1]
    with pytest.raises(NoteSignatureError, match="false"):
        open_note(lines.encode(), [LOG.verifier, OTHER.verifier])


def test_the_text_ends_at_the_last_empty_line() -> None:
    assert open_note(sign_note("a\n\nb\n\n", LOG), [LOG.verifier]) == "a\n\nb\n\n"


@pytest.mark.parametrize("text", ["no newline", "", "tab\there\n", "nul\0\n", "cr\r\n"])
def test_a_text_that_no_note_can_carry_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, LOG)


def test_nobody_is_not_enough() -> None:
    with pytest.raises(NoteError):
        sign_note("text\n")


GOOD = sign_note("text\n", LOG)
LINE = GOOD.split(b"\n\n")[1]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"text\n",
        b"text\n\n",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b"text", b"te\xffxt"),
        GOOD.replace(b"text\n", b"te\rxt\n"),
        GOOD.replace("— ".encode(), b"- "),
        GOOD.replace(b"sealdock/log ", b"sealdock+log "),
        GOOD.replace(b"sealdock/log ", b" "),
        GOOD.replace(b"sealdock/log ", "sealdock\u2003log ".encode()),
        GOOD.replace(b"=\n", b"\n"),
        b"text\n\n" + "— name AAAA\n".encode(),
        b"text\n\n" + LINE * (SIGNATURE_LIMIT + 1),
        b"x" * 1_000_001,
    ],
)
def test_malformed_notes_are_refused(raw: bytes) -> None:
    with pytest.raises(NoteError):
        open_note(raw, [LOG.verifier])


def test_a_hundred_signatures_are_accepted() -> None:
    strangers = "— stranger AAAAAAAA\n".encode() * (SIGNATURE_LIMIT - 1)
    assert open_note(b"text\n\n" + strangers + LINE, [LOG.verifier]) == "text\n"


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "++",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("example.com/foo", "example.com/bar"),
        VKEY.replace("example.com/foo", "example com"),
        VKEY + "=",
        VKEY[:-4],
        VKEY.replace("+Aek", "+Bek"),  # another signature type
    ],
)
def test_malformed_verifier_keys_are_refused(vkey: str) -> None:
    with pytest.raises(NoteKeyError):
        VerifierKey.parse(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "\u00a0"])
def test_a_name_that_no_key_can_have_is_refused(name: str) -> None:
    with pytest.raises(NoteKeyError):
        SigningKey.generate(name)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_byte_of_a_note_can_change(place: int, change: int) -> None:
    raw = bytearray(GOOD)
    raw[place] ^= change
    with pytest.raises(NoteError):
        open_note(bytes(raw), [LOG.verifier])


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
)
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for candidate in (raw, raw + b"\n\n" + LINE):
        try:
            open_note(candidate, [LOG.verifier])
        except VaultError:
            continue
        raise AssertionError("a note that the log never signed was opened")


@given(st.text(max_size=90))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for candidate in (text, f"{text}+530d903a+{text}", f"PRIVATE+KEY+{text}"):
        for parse in (VerifierKey.parse, SigningKey.parse):
            with pytest.raises(VaultError):
                parse(candidate)
