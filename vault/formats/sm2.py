"""SM2/SM3 lines under a checkpoint (GB/T 32918.2, GB/T 32905), made and checked by the stock `openssl`.

A profile for China, and never the only line: signed notes know no SM2, so the line has type 0xff and an identifier of
its own (c2sp.org/signed-note), and every other verifier passes it over. What is signed is the note's text and nothing
else; the distinguishing id is the standard's default, so `openssl pkeyutl -verify` takes it as it is.

Key text: `<name>+<key id>+base64(0xff || "sealdock/sm2-sm3/v1" || SubjectPublicKeyInfo in DER)`; the key id is the
first four bytes of SHA-256(name || 0x0a || those same bytes). The signature is the DER pair that openssl writes.
Invariant: the private key stays in its file; only openssl reads it.
"""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from core.durable import create_once
from vault.error import VaultError
from vault.formats.note import Signature

if TYPE_CHECKING:
    from collections.abc import Iterator

IDENTIFIER = b"sealdock/sm2-sm3/v1"
DISTINGUISHING_ID = "1234567812345678"  # GM/T 0009-2012 section 10: the default id of a signer
_TYPE = b"\xff" + IDENTIFIER
_SPKI_HEAD = bytes.fromhex(
    "3059301306072a8648ce3d020106082a811ccf5501822d03420004"
)  # id-ecPublicKey, sm2p256v1
_SPKI_SIZE = 91
_KEY_ID_SIZE = 4
_SECRET_MODE = 0o400
_OPENSSL_S = 20.0  # one signature takes some 10 ms
_OPTIONS = ("-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{DISTINGUISHING_ID}")


class Sm2Error(VaultError):
    """An SM2 key or line that cannot be used, or no openssl that can."""

    code = "vault.sm2"
    sentence = (
        "The SM2 signature cannot be made or checked ({why}). The Ed25519 signature stands by itself and the evidence "
        "is unharmed; check that `openssl` knows SM2, and the key."
    )


class Sm2SignatureError(Sm2Error):
    """A line in a known SM2 key's name that is not its signature."""

    code = "vault.sm2_signature"
    sentence = (
        "The SM2 signature of {name} is false. The text was changed after signing, or somebody else made the line; do "
        "not rely on it."
    )


@dataclass(frozen=True)
class Sm2Key:
    """A public SM2 key and the name it signs under."""

    name: str
    spki: bytes

    @classmethod
    def parse(cls, vkey: str) -> Sm2Key:
        """Read a key's text. Raises Sm2Error."""
        name, _, rest = vkey.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            raw = b64decode(encoded, validate=True)
        except ValueError as cause:
            raise Sm2Error(why="the key is not base64") from cause
        if not raw.startswith(_TYPE):
            raise Sm2Error(why="the key is of another type")
        key = cls(name, _checked(raw.removeprefix(_TYPE)))
        if not name or key.key_id.hex() != key_id or key.vkey != vkey.strip():
            raise Sm2Error(why="the key's identifier does not fit")
        return key

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + _TYPE + self.spki).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The form to hand out."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_TYPE + self.spki).decode()}"

    @property
    def pem(self) -> str:
        """The form that openssl reads."""
        text = b64encode(self.spki).decode()
        lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
        return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"

    def made(self, signature: Signature) -> bool:
        """Whether `signature` claims to be this key's; says nothing of its truth."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def check(self, text: str, signature: Signature) -> None:
        """Raises Sm2SignatureError unless `signature` is this key's over `text`, Sm2Error without an openssl."""
        with _memory(signature.raw) as raw, _memory(self.pem.encode()) as key:
            argv = ["pkeyutl", "-verify", "-pubin", "-inkey", _path(key), *_OPTIONS, "-sigfile", _path(raw)]
            done = _openssl(argv, text.encode(), (raw, key))
        if done.returncode:
            raise Sm2SignatureError(name=self.name)


class Sm2SigningKey:
    """A private key in a PEM file, as a Cosigner (vault.formats.cosignature); the key is never read by us."""

    def __init__(self, name: str, path: Path) -> None:
        self._path, self.name = path, name

    @classmethod
    def generate(cls, name: str, path: Path) -> Sm2SigningKey:
        """A fresh key in the new file `path`. Raises Sm2Error, AlreadyExistsError or OSError."""
        create_once(path, _said(["genpkey", "-algorithm", "SM2"]), _SECRET_MODE)
        return cls(name, path)

    @cached_property
    def verifier(self) -> Sm2Key:
        """The public half. Raises Sm2Error."""
        spki = _said(["pkey", "-in", str(self._path), "-pubout", "-outform", "DER"])
        return Sm2Key(self.name, _checked(spki))

    @property
    def vkey(self) -> str:
        """The verifier key's text, to hand out."""
        return self.verifier.vkey

    def line(self, text: str, at: datetime) -> bytes:  # noqa: ARG002  a note's line has no time; the anchors have
        """The signature line over `text`, with its newline. Raises Sm2Error."""
        raw = _said(["pkeyutl", "-sign", "-inkey", str(self._path), *_OPTIONS], text.encode())
        return Signature(self.name, self.verifier.key_id, raw).line


def _checked(spki: bytes) -> bytes:
    if len(spki) != _SPKI_SIZE or not spki.startswith(_SPKI_HEAD):
        raise Sm2Error(why="the key is not an uncompressed point of the SM2 curve")
    return spki


def _said(argv: Sequence[str], given: bytes = b"") -> bytes:
    done = _openssl(argv, given)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise Sm2Error(why=lines[0] if lines else f"openssl ended with {done.returncode}")
    return done.stdout


def _openssl(
    argv: Sequence[str], given: bytes, descriptors: Sequence[int] = ()
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["openssl", *argv],
            input=given,
            capture_output=True,
            check=False,
            timeout=_OPENSSL_S,
            pass_fds=descriptors,
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise Sm2Error(why=str(cause)) from cause


@contextmanager
def _memory(content: bytes) -> Iterator[int]:
    """A file that has no name on any disk."""
    descriptor = os.memfd_create("sm2", 0)
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _path(descriptor: int) -> str:
    return f"/dev/fd/{descriptor}"
