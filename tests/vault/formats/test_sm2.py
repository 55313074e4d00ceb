"""SM2/SM3 lines: openssl is the witness, and hostile text is one error."""

from __future__ import annotations

import subprocess
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import utc_now
from core.durable import AlreadyExistsError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.note import Note, SigningKey
from vault.formats.sm2 import DISTINGUISHING_ID, Sm2Error, Sm2Key, Sm2SignatureError, Sm2SigningKey

pytestmark = pytest.mark.stock
NAME = "sealdock/01jzzzzzzzzzzzzzzzzzzzzzzz"
CHECKPOINT = Checkpoint(NAME, 7, bytes(range(32)))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Sm2SigningKey:
    return Sm2SigningKey.generate(NAME, tmp_path_factory.mktemp("sm2") / "log.sm2.pem")


@pytest.fixture(scope="module")
def note(key: Sm2SigningKey) -> bytes:
    """A checkpoint as it is anchored: Ed25519 first, SM2 below."""
    text = CHECKPOINT.text()
    return CHECKPOINT.signed(SigningKey(NAME, bytes(32))) + key.line(text, utc_now())


def test_the_key_reads_its_own_line(key: Sm2SigningKey, note: bytes) -> None:
    parsed = Note.parse(note)
    verifier = Sm2Key.parse(key.vkey)
    assert verifier == key.verifier
    [line] = [signature for signature in parsed.signatures if verifier.made(signature)]
    verifier.check(parsed.text, line)
    with pytest.raises(Sm2SignatureError, match="is false"):
        verifier.check(parsed.text.replace("7", "8"), line)


def test_who_knows_no_sm2_reads_the_checkpoint_all_the_same(note: bytes) -> None:
    assert parse_checkpoint(note, SigningKey(NAME, bytes(32)).verifier) == CHECKPOINT


def test_a_line_by_another_key_is_not_this_keys(note: bytes, tmp_path: Path) -> None:
    other = Sm2SigningKey.generate(NAME, tmp_path / "other.pem")
    line = Note.parse(note).signatures[1]
    assert not other.verifier.made(line)
    with pytest.raises(Sm2SignatureError):
        other.verifier.check(CHECKPOINT.text(), line)


def test_openssl_verifies_the_line_as_documented(key: Sm2SigningKey, note: bytes, tmp_path: Path) -> None:
    parsed = Note.parse(note)
    (tmp_path / "text").write_bytes(parsed.text.encode())
    (tmp_path / "signature").write_bytes(parsed.signatures[1].raw)
    (tmp_path / "key.pem").write_text(key.verifier.pem)
    argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-rawin", "-in",
            tmp_path / "text", "-digest", "sm3", "-pkeyopt", f"distid:{DISTINGUISHING_ID}", "-sigfile",
            tmp_path / "signature"]  # fmt: skip
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_bytes(parsed.text.encode() + b" ")
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 1


def test_the_keys_text_is_type_identifier_and_spki(key: Sm2SigningKey) -> None:
    raw = b64decode(key.vkey.split("+", 2)[2])
    assert raw.startswith(b"\xffsealdock/sm2-sm3/v1")
    der = raw.removeprefix(b"\xffsealdock/sm2-sm3/v1")
    told = subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-noout", "-text"],
        input=der,
        capture_output=True,
        check=True,
    )
    assert b"SM2" in told.stdout


def test_a_key_is_never_made_over_another(key: Sm2SigningKey, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    Sm2SigningKey.generate(NAME, path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o400
    with pytest.raises(AlreadyExistsError):
        Sm2SigningKey.generate(NAME, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "noise", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_file_that_is_none_is_one_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.pem"
    path.write_text(content)
    key = Sm2SigningKey(NAME, path)
    with pytest.raises(Sm2Error):
        key.line(CHECKPOINT.text(), utc_now())
    with pytest.raises(Sm2Error):
        _ = key.vkey


def test_another_curves_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        capture_output=True,
        check=True,
    )
    path.write_bytes(made.stdout)
    with pytest.raises(Sm2Error, match="not an uncompressed point of the SM2 curve"):
        _ = Sm2SigningKey(NAME, path).vkey


def test_without_openssl_there_is_one_error(
    key: Sm2SigningKey, note: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, line = key.verifier, Note.parse(note).signatures[1]
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Sm2Error, match="Ed25519 signature stands by itself"):
        key.line(CHECKPOINT.text(), utc_now())
    with pytest.raises(Sm2Error):
        verifier.check(CHECKPOINT.text(), line)


@given(st.text(max_size=200))
def test_hostile_key_text_is_one_error(text: str) -> None:
    with pytest.raises(Sm2Error):
        Sm2Key.parse(text)


@given(data=st.data())
def test_a_changed_key_text_is_another_key_or_none(key: Sm2SigningKey, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key.vkey) - 1))
    changed = key.vkey[:place] + data.draw(st.characters(codec="ascii")) + key.vkey[place + 1 :]
    if changed.strip() == key.vkey:
        return
    with pytest.raises(Sm2Error):
        Sm2Key.parse(changed)


@pytest.mark.parametrize("raw", [b"", b"0", b"0" * 71, b"0" * 4096])
def test_hostile_signatures_are_false(key: Sm2SigningKey, note: bytes, raw: bytes) -> None:
    line = Note.parse(note).signatures[1]
    with pytest.raises(Sm2SignatureError):
        key.verifier.check(CHECKPOINT.text(), replace(line, raw=raw))
