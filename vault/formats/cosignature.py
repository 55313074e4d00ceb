"""Cosignatures (c2sp.org/tlog-cosignature): a cosigner's timestamped line under somebody's checkpoint.

A cosignature says: at this time, this was the largest consistent tree that the cosigner had seen of this log. Ed25519
(type 0x04) signs two lines and the checkpoint's text; ML-DSA-44 (type 0x06) signs names, size and root. Invariant: a
time is given out only after the signature over it was checked, and a false line in a known key's name is an error,
never a line to be skipped. Lines of unknown keys are nobody's, as in every signed note.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import sha256
from secrets import token_bytes
from struct import pack
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from core.errors import Exit
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.note import Note, NoteError, Signature

_KEY_ID_SIZE = 4
_SEED_SIZE = 32  # of both kinds (RFC 8032 section 5.1.5; FIPS 204 section 3.6.3)
_TIME_SIZE = 8  # u64, big-endian
_LATEST = int(
    datetime(9999, 12, 31, tzinfo=UTC).timestamp()
)  # what a calendar can name; the format has 2**63 - 1
_OPAQUE_LIMIT = 255  # bytes of a name or an origin in a cosigned_message
_LABEL = b"subtree/v1\n\0"
_PRIVATE = "PRIVATE+KEY+"
_DASH = "\N{EM DASH} ".encode()


class Kind(IntEnum):
    """The signature types of cosignatures; the number is the byte in a key's text."""

    ED25519 = 0x04
    ML_DSA_44 = 0x06


_PUBLIC_SIZE = {Kind.ED25519: 32, Kind.ML_DSA_44: 1312}
_SIGNATURE_SIZE = {Kind.ED25519: 64, Kind.ML_DSA_44: 2420}


class CosignatureError(VaultError):
    """A line that claims to be a known cosigner's and is not its signature over this checkpoint."""

    code = "vault.cosignature"
    sentence = (
        "The cosignature of {name} does not hold ({why}). It says nothing about this checkpoint; ask the witness for "
        "it again, and keep both files if that one does not hold either."
    )
    exit_code = Exit.NO


class CosignerKeyError(VaultError):
    """Text that is not a cosigner's key."""

    code = "vault.cosigner_key"
    sentence = (
        "This is not a cosigner's key ({why}). Nothing was checked or signed; use the line that "
        "`sealdock witness key` printed at the witness."
    )


class Cosigner(Protocol):
    """Whoever adds a line to a checkpoint: our witness, an ML-DSA-44 key, an SM2 key."""

    @property
    def vkey(self) -> str:
        """The text of the key to check the line with."""

    def line(self, text: str, at: datetime) -> bytes:
        """The signature line over a checkpoint's text, with its newline."""


@dataclass(frozen=True)
class Cosignature:
    """A line that was checked: whose it is, and when the cosigner says it was made."""

    key: CosignerKey
    at: datetime
    line: bytes


@dataclass(frozen=True)
class CosignerKey:
    """A cosigner's public key and the name it signs under."""

    name: str
    kind: Kind
    public: bytes

    @classmethod
    def parse(cls, vkey: str) -> CosignerKey:
        """Read `<name>+<key id>+<base64>` of type 0x04 or 0x06. Raises CosignerKeyError."""
        name, key_id, kind, public = _split(vkey.strip())
        if len(public) != _PUBLIC_SIZE[kind]:
            raise CosignerKeyError(why="its length is not that of its type")
        key = cls(name, kind, public)
        if key.key_id.hex() != key_id:
            raise CosignerKeyError(why="its identifier does not fit")
        return key

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The form to hand out."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    def made(self, signature: Signature) -> bool:
        """Whether `signature` claims to be this key's; says nothing of its truth."""
        return (signature.name, signature.key_id) == (self.name, self.key_id)

    def check(self, text: str, signature: Signature) -> datetime:
        """When this key cosigned `text`. Raises CosignatureError, or CheckpointError for text that is none."""
        if len(signature.raw) != _TIME_SIZE + _SIGNATURE_SIZE[self.kind]:
            raise CosignatureError(name=self.name, why="it has the wrong length")
        seconds = int.from_bytes(signature.raw[:_TIME_SIZE])
        if not 0 < seconds <= _LATEST:
            raise CosignatureError(name=self.name, why="its time is not one")
        message, raw = cosigned_message(self.kind, self.name, text, seconds), signature.raw[_TIME_SIZE:]
        try:
            if self.kind is Kind.ED25519:
                Ed25519PublicKey.from_public_bytes(self.public).verify(raw, message)
            else:
                MLDSA44PublicKey.from_public_bytes(self.public).verify(raw, message)
        except (InvalidSignature, ValueError) as cause:
            raise CosignatureError(name=self.name, why="the signature is false") from cause
        return datetime.fromtimestamp(seconds, UTC)


class CosignerSigningKey:
    """A private key of either type, as a Cosigner; its repr never shows it."""

    def __init__(self, name: str, kind: Kind, seed: bytes) -> None:
        """Raises CosignerKeyError for a name that no line can carry or a seed of another length."""
        if not _is_name(name) or len(seed) != _SEED_SIZE:
            raise CosignerKeyError(why="its name or its length is wrong")
        self._seed = seed
        self._key: Ed25519PrivateKey | MLDSA44PrivateKey = (
            Ed25519PrivateKey.from_private_bytes(seed)
            if kind is Kind.ED25519
            else MLDSA44PrivateKey.from_seed_bytes(seed)
        )
        self.verifier = CosignerKey(name, kind, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str, kind: Kind) -> CosignerSigningKey:
        """A fresh key. Raises CosignerKeyError for a name with spaces, `+` or nothing in it."""
        return cls(name, kind, token_bytes(_SEED_SIZE))

    @classmethod
    def parse(cls, text: str) -> CosignerSigningKey:
        """Read `PRIVATE+KEY+<name>+<key id>+<base64>`. Raises CosignerKeyError."""
        if not text.startswith(_PRIVATE):
            raise CosignerKeyError(why="it does not start with PRIVATE+KEY+")
        name, key_id, kind, seed = _split(text.removeprefix(_PRIVATE))
        key = cls(name, kind, seed)
        if key.verifier.key_id.hex() != key_id:
            raise CosignerKeyError(why="its identifier does not fit")
        return key

    @property
    def private_text(self) -> str:
        """What `parse` reads; keep it in a file of mode 0400."""
        verifier, keyed = self.verifier, b64encode(bytes([self.verifier.kind]) + self._seed).decode()
        return f"{_PRIVATE}{verifier.name}+{verifier.key_id.hex()}+{keyed}"

    @property
    def vkey(self) -> str:
        """The verifier key's text, to hand out."""
        return self.verifier.vkey

    def line(self, text: str, at: datetime) -> bytes:
        """As Cosigner. Raises CheckpointError for a text that is no checkpoint: nothing else is ever cosigned."""
        seconds, own = int(at.timestamp()), self.verifier
        raw = self._key.sign(cosigned_message(own.kind, own.name, text, seconds))
        return Signature(own.name, own.key_id, seconds.to_bytes(_TIME_SIZE) + raw).line


def cosigned_message(kind: Kind, name: str, text: str, seconds: int) -> bytes:
    """The bytes that a cosigner signs for a checkpoint's text at a POSIX time."""
    checkpoint = Checkpoint.parse(text)
    if kind is Kind.ED25519:
        return f"cosignature/v1\ntime {seconds}\n{text}".encode()
    names = [_opaque(one.encode()) for one in (name, checkpoint.origin)]
    return (
        _LABEL + names[0] + pack(">Q", seconds) + names[1] + pack(">QQ", 0, checkpoint.size) + checkpoint.root
    )


def cosignatures(note: bytes, keys: Collection[CosignerKey]) -> list[Cosignature]:
    """The cosignatures of `keys` under the checkpoint `note`, in their order there; others are not looked at.

    Raises CosignatureError for a false line in the name of one of `keys`, NoteError or CheckpointError.
    """
    parsed, found = Note.parse(note), list[Cosignature]()
    for signature in parsed.signatures:
        for key in keys:
            if key.made(signature):
                found.append(Cosignature(key, key.check(parsed.text, signature), signature.line))
    return found


def claimed_at(line: bytes) -> datetime | None:
    """The time in a cosignature line, believed by nobody yet; None for a line that carries none.

    Raises NoteError for bytes that are no signature lines.
    """
    raw = Note.parse(b"\n\n" + line).signatures[0].raw
    seconds = int.from_bytes(raw[:_TIME_SIZE])
    if len(raw) - _TIME_SIZE not in _SIGNATURE_SIZE.values() or not 0 < seconds <= _LATEST:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def with_lines(note: bytes, *lines: bytes) -> bytes:
    """`note` with more signature lines under it. Raises NoteError for bytes that are no lines."""
    whole = note + b"".join(lines)
    if not all(one.startswith(_DASH) and one.endswith(b"\n") for one in lines):
        raise NoteError(why="a signature line is malformed")
    if Note.parse(whole).text != Note.parse(note).text:
        raise NoteError(why="a line would change the text")
    return whole


def _opaque(raw: bytes) -> bytes:
    if not 0 < len(raw) <= _OPAQUE_LIMIT:
        raise CosignerKeyError(why="a name is longer than 255 bytes")
    return bytes([len(raw)]) + raw


def _split(text: str) -> tuple[str, str, Kind, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        raw = b64decode(encoded, validate=True)
        kind = Kind(raw[0]) if raw else None
    except ValueError as cause:
        raise CosignerKeyError(why="it is malformed or of another type") from cause
    if kind is None or b64encode(raw).decode() != encoded or not _is_name(name):
        raise CosignerKeyError(why="it is malformed")
    return name, key_id, kind, raw[1:]


def _is_name(name: str) -> bool:
    printable = name.isprintable() and not any(map(str.isspace, name))
    return bool(name) and "+" not in name and printable and len(name.encode()) <= _OPAQUE_LIMIT
