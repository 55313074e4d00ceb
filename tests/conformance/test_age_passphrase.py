"""Passphrase files: the published vectors, and both ways with `pyrage` and Debian's `age`."""

from __future__ import annotations

import json
import os
import pty
from base64 import b64decode
from pathlib import Path
from typing import Any

import pyrage
import pytest

from core.digest import sha256_hex
from vault.formats import passphrase
from vault.formats.age import HeaderError, NoMatchError

VECTORS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "cctv_age_passphrase.json").read_text()
)
EXPECTED = {"no match": NoMatchError, "header failure": HeaderError}
SECRET = "九层之台，起于累土"
PLAIN = b"AGE-SECRET-KEY-1 and so on\n"
pytestmark = pytest.mark.stock


def test_all_of_them_are_here() -> None:
    assert len(VECTORS) == 25


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_a_vector(name: str) -> None:
    vector = VECTORS[name]
    secret, blob = vector["passphrase"].encode(), b64decode(vector["file"])
    if vector["expect"] == "success":
        assert sha256_hex(passphrase.unseal(secret, blob)) == vector["payload"]
        return
    with pytest.raises(EXPECTED[vector["expect"]]):
        passphrase.unseal(secret, blob)


def test_pyrage_opens_what_we_seal() -> None:
    assert pyrage.passphrase.decrypt(passphrase.seal(SECRET.encode(), PLAIN), SECRET) == PLAIN


def test_we_open_what_pyrage_seals() -> None:
    assert passphrase.unseal(SECRET.encode(), pyrage.passphrase.encrypt(PLAIN, SECRET)) == PLAIN


def typed(*command: str | Path, secret: str) -> None:
    """Run a program that asks for a passphrase at its terminal, as often as it asks."""
    pid, terminal = pty.fork()
    if not pid:
        os.execvp(command[0], [str(word) for word in command])  # noqa: S606
    said = b""
    try:
        while piece := os.read(terminal, 1024):
            said += piece
            if piece.rstrip().endswith(b":"):
                os.write(terminal, secret.encode() + b"\n")
    except OSError:
        pass  # the program has ended, and the terminal with it
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said


def test_age_opens_what_we_seal_and_we_what_age_seals(tmp_path: Path) -> None:
    ours, plain, theirs = tmp_path / "ours.age", tmp_path / "plain", tmp_path / "theirs.age"
    ours.write_bytes(passphrase.seal(b"a secret", PLAIN))
    typed("age", "-d", "-o", plain, ours, secret="a secret")
    assert plain.read_bytes() == PLAIN
    typed("age", "-p", "-o", theirs, plain, secret="a secret")
    assert passphrase.unseal(b"a secret", theirs.read_bytes()) == PLAIN
