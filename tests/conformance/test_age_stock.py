"""Debian's `age` and `pyrage` open what we seal, and we open what they seal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from vault.formats.age import (
    HEADER_SIZE,
    ChunkSealer,
    Identity,
    PayloadReader,
    decrypt_file,
    encrypt_file,
    header_for,
    new_file_key,
    new_nonce,
    open_header,
    sealed_size,
)

pytestmark = pytest.mark.stock
SIZES = [0, 1, 65535, 65536, 65537, 131071, 131072, 131073, 4_194_304, 5_000_001]
Program = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, Path]:
    identity = Identity.generate()
    path = tmp_path_factory.mktemp("key") / "identity.txt"
    path.write_text(f"{identity.text}\n")
    return identity, path


@pytest.mark.parametrize("size", SIZES)
def test_age_opens_slot_and_object_put_together(
    size: int, keys: tuple[Identity, Path], run: Program, tmp_path: Path
) -> None:
    identity, key_file = keys
    plaintext, file_key, nonce = os.urandom(size), new_file_key(), new_nonce()
    slot = header_for([identity.recipient], file_key) + nonce
    sealed = bytearray(sealed_size(size))
    ChunkSealer(file_key, nonce).seal(plaintext, sealed, final=True)
    (tmp_path / "x.age").write_bytes(slot + sealed)
    done = run("age", "-d", "-i", key_file, tmp_path / "x.age")
    assert done.returncode == 0, done.stderr
    assert done.stdout == plaintext
    assert pyrage.decrypt(slot + bytes(sealed), [pyrage.x25519.Identity.from_str(identity.text)]) == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_seals(size: int, keys: tuple[Identity, Path], run: Program, tmp_path: Path) -> None:
    identity, _ = keys
    plaintext = os.urandom(size)
    done = run("age", "-r", identity.recipient.text, input=plaintext)
    assert done.returncode == 0, done.stderr
    assert decrypt_file(identity, done.stdout) == plaintext
    path = tmp_path / "x.age"
    path.write_bytes(done.stdout)
    file_key = open_header(done.stdout[:HEADER_SIZE], identity)
    nonce = done.stdout[HEADER_SIZE : HEADER_SIZE + 16]
    with PayloadReader.open(path, file_key, nonce, start=HEADER_SIZE + 16) as reader:
        assert reader.read() == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_pyrage_seals(size: int, keys: tuple[Identity, Path]) -> None:
    """rage adds a stanza of a random type, which has to be passed over."""
    identity, _ = keys
    plaintext = os.urandom(size)
    blob = pyrage.encrypt(plaintext, [pyrage.x25519.Recipient.from_str(identity.recipient.text)])
    assert decrypt_file(identity, blob) == plaintext


def test_a_file_for_two_readers_opens_for_each(run: Program, tmp_path: Path) -> None:
    readers = [Identity.generate(), Identity.generate()]
    (tmp_path / "x.age").write_bytes(encrypt_file([one.recipient for one in readers], b"bucket"))
    for reader in readers:
        (tmp_path / "key").write_text(f"{reader.text}\n")
        assert run("age", "-d", "-i", tmp_path / "key", tmp_path / "x.age").stdout == b"bucket"


def test_our_text_forms_are_those_of_age_keygen(run: Program, tmp_path: Path) -> None:
    made = run("age-keygen").stdout.decode().splitlines()
    identity = Identity.parse(made[-1])
    assert made[-2] == f"# public key: {identity.recipient.text}"
    (tmp_path / "key").write_text(f"{identity.text}\n")
    assert run("age-keygen", "-y", tmp_path / "key").stdout.decode().strip() == identity.recipient.text


def test_age_refuses_what_we_refuse(keys: tuple[Identity, Path], run: Program, tmp_path: Path) -> None:
    identity, key_file = keys
    blob = bytearray(encrypt_file([identity.recipient], os.urandom(200_000)))
    for place in (30, 100, 167, 184, 70_000, len(blob) - 1):
        damaged = blob.copy()
        damaged[place] ^= 1
        (tmp_path / "x.age").write_bytes(damaged)
        assert run("age", "-d", "-i", key_file, tmp_path / "x.age").returncode != 0
