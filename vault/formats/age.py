"""age v1 (c2sp.org/age): X25519 keys, headers, and small whole files.

A header wraps one 16-byte file key for one or more recipients and authenticates itself. The vault keeps
the header and the payload nonce apart from the payload: `cat slot object` is an ordinary age file, and
rewrapping or destroying the key never touches the object. Parsing is strict: one header has one spelling,
everything else is refused with an AgeError. Passphrases are vault.formats.passphrase; armor and other recipient types
are left to the stock programs.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from secrets import token_bytes
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vault.error import AgeError
from vault.formats import bech32
from vault.formats.payload import (
    CHUNK_SIZE,
    NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    ChunkOpener,
    ChunkSealer,
    PayloadError,
    PayloadReader,
    open_payload,
    payload_key,
    plain_size,
    seal_payload,
    sealed_size,
)

__all__ = [
    "CHUNK_SIZE", "FILE_KEY_SIZE", "HEADER_SIZE", "KEY_SLOT_SIZE", "NONCE_SIZE", "SEALED_CHUNK_SIZE",
    "TAG_SIZE", "ChunkOpener", "ChunkSealer", "HeaderError", "HeaderMacError", "Identity", "KeyTextError",
    "NoMatchError",
    "PayloadError", "PayloadReader", "Recipient", "decrypt_file", "encrypt_file", "header_for",
    "new_file_key", "new_nonce", "open_header", "open_payload", "payload_key", "plain_size", "seal_payload",
    "sealed_size", "split_header",
]  # fmt: skip

FILE_KEY_SIZE = 16
HEADER_SIZE = 168  # a header with one X25519 stanza
KEY_SLOT_SIZE = HEADER_SIZE + NONCE_SIZE  # what a key slot holds of one object: header || payload nonce
HEADER_LIMIT = 64 * 1024  # ours have one or two stanzas; keeps hostile input cheap

_VERSION = b"age-encryption.org/v1\n"
_X25519_INFO = b"age-encryption.org/v1/X25519"
_ZERO_NONCE = bytes(12)
_KEY_SIZE = 32
_COLUMNS = 64  # stanza bodies are wrapped here
_ARGUMENTS = re.compile(rb"-> ([\x21-\x7e]+(?: [\x21-\x7e]+)*)\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*\Z")


class KeyTextError(AgeError):
    """Text that is not an X25519 identity or recipient."""

    code = "vault.age_key"
    sentence = (
        "This is not an age X25519 {kind}. Nothing was opened; use the {kind} that belongs to this vault."
    )


class HeaderError(AgeError):
    """A header that breaks the specification."""

    code = "vault.age_header"
    sentence = (
        "The age header is malformed ({why}). The object it belongs to cannot be opened with it; "
        "restore the key slot from a backup."
    )


class HeaderMacError(HeaderError):
    """A well-formed header whose MAC does not fit its file key."""

    code = "vault.age_mac"
    sentence = (
        "The age header was altered after it was written ({why}). Nothing was opened; restore the key slot "
        "from a backup."
    )


class NoMatchError(AgeError):
    """None of the stanzas is addressed to this identity."""

    code = "vault.age_no_match"
    sentence = "This key does not open the object: it was sealed to another one. The evidence is unharmed."


class Wrapper(Protocol):
    """What a file key can be wrapped for: a recipient, or a passphrase."""

    def wrap(self, file_key: bytes) -> bytes:
        """One stanza."""


class Opener(Protocol):
    """What opens a stanza: an identity, or a passphrase."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key, or None when the stanza is not addressed to us. Raises HeaderError."""


class Recipient:
    """The public half: what a dock seals to. Text form `age1...`."""

    def __init__(self, public: bytes) -> None:
        self.public = public
        self._key = X25519PublicKey.from_public_bytes(public)

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read `age1...`. Raises KeyTextError or Bech32Error."""
        return _recipient(text)

    @property
    def text(self) -> str:
        """The form to hand out, `age1...`."""
        return bech32.encode("age", self.public)

    def wrap(self, file_key: bytes) -> bytes:
        """One X25519 stanza with a fresh ephemeral key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        wrap_key = _wrap_key(ephemeral.exchange(self._key), share, self.public)
        body = ChaCha20Poly1305(wrap_key).encrypt(_ZERO_NONCE, file_key, None)
        return b"-> X25519 %s\n%s\n" % (encode_base64(share), encode_base64(body))


@lru_cache(64)
def _recipient(text: str) -> Recipient:
    """Each body of a batch goes to the same bucket or two; a recipient is public and never changes."""
    return Recipient(_key_bytes(text, "age", "recipient"))


class Identity:
    """The private half. Text form `AGE-SECRET-KEY-1...`; its repr never shows it."""

    def __init__(self, private: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(private)
        self.recipient = Recipient(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Identity:
        """A fresh identity from the system's random source."""
        return cls(token_bytes(_KEY_SIZE))

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read `AGE-SECRET-KEY-1...`. Raises KeyTextError or Bech32Error."""
        return cls(_key_bytes(text, "age-secret-key-", "identity"))

    @property
    def text(self) -> str:
        """The secret form, `AGE-SECRET-KEY-1...`; keep it off screens and out of logs."""
        return bech32.encode("age-secret-key-", self._key.private_bytes_raw()).upper()

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key in `stanza`, or None when it is not addressed to us. Raises HeaderError."""
        if stanza.arguments[0] != b"X25519":
            return None
        if len(stanza.arguments) != 2:  # noqa: PLR2004  # the type and the ephemeral share
            raise HeaderError(why="an X25519 stanza needs exactly one argument")
        share = decode_base64(stanza.arguments[1])
        if len(share) != _KEY_SIZE or len(stanza.body) != FILE_KEY_SIZE + TAG_SIZE:
            raise HeaderError(why="an X25519 stanza has the wrong length")
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as cause:  # an all-zero shared secret
            raise HeaderError(why="an X25519 share of low order") from cause
        try:
            key = _wrap_key(shared, share, self.recipient.public)
            return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True)
class Stanza:
    """One recipient stanza: its type and arguments, and its decoded body."""

    arguments: tuple[bytes, ...]
    body: bytes


def new_file_key() -> bytes:
    """16 fresh bytes; never used for a second payload."""
    return token_bytes(FILE_KEY_SIZE)


def new_nonce() -> bytes:
    """A fresh payload nonce."""
    return token_bytes(NONCE_SIZE)


def header_for(recipients: Sequence[Wrapper], file_key: bytes) -> bytes:
    """The header that gives `file_key` to each of `recipients`; 168 bytes for one."""
    unsigned = _VERSION + b"".join(recipient.wrap(file_key) for recipient in recipients) + b"---"
    return b"%s %s\n" % (unsigned, encode_base64(_mac(file_key, unsigned)))


def open_header(header: bytes, identity: Opener) -> bytes:
    """The file key that `header` holds for `identity`. Raises HeaderError or NoMatchError.

    `header` is the header alone, to its last newline; `split_header` cuts it off a whole file.
    """
    stanzas, mac, end = _parse(header)
    if end != len(header):
        raise HeaderError(why="bytes follow the header")
    keys = [key for stanza in stanzas if (key := identity.unwrap(stanza)) is not None]
    if not keys:
        raise NoMatchError
    unsigned = header[: header.rindex(b"--- ") + 3]
    if not hmac.compare_digest(_mac(keys[0], unsigned), mac):
        raise HeaderMacError(why="its MAC does not fit")
    return keys[0]


def split_header(blob: bytes) -> tuple[bytes, bytes]:
    """Cut an age file, or the start of one, into header and rest (nonce, chunks). Raises HeaderError."""
    _, _, end = _parse(blob)
    return blob[:end], blob[end:]


def encrypt_file(recipients: Sequence[Wrapper], plaintext: bytes) -> bytes:
    """A complete age file in memory: for keys and other small things."""
    file_key, nonce = new_file_key(), new_nonce()
    return header_for(recipients, file_key) + nonce + seal_payload(file_key, nonce, plaintext)


def decrypt_file(identity: Opener, blob: bytes) -> bytes:
    """The plaintext of a complete age file in memory. Raises AgeError."""
    header, rest = split_header(blob)
    file_key = open_header(header, identity)
    if len(rest) < NONCE_SIZE:
        raise HeaderError(why="the payload nonce is missing")
    return open_payload(file_key, rest[:NONCE_SIZE], memoryview(rest)[NONCE_SIZE:])


def _parse(blob: bytes) -> tuple[list[Stanza], bytes, int]:
    """Stanzas, MAC and length of the header that `blob` starts with."""
    if not blob.startswith(_VERSION):
        raise HeaderError(why="it does not start with age-encryption.org/v1")
    place, stanzas = len(_VERSION), list[Stanza]()
    while blob.startswith(b"-> ", place):
        stanza, place = _parse_stanza(blob, place)
        stanzas.append(stanza)
    line, place = _line(blob, place)
    if not line.startswith(b"--- ") or not stanzas:
        raise HeaderError(why="a stanza or the MAC line is missing")
    if len(stanzas) > 1 and any(stanza.arguments[0] == b"scrypt" for stanza in stanzas):
        raise HeaderError(why="a passphrase stanza stands beside others")
    mac = decode_base64(line[4:])
    if len(mac) != _KEY_SIZE:
        raise HeaderError(why="the MAC has the wrong length")
    return stanzas, mac, place


def _parse_stanza(blob: bytes, place: int) -> tuple[Stanza, int]:
    line, place = _line(blob, place)
    arguments = _ARGUMENTS.match(line)
    if not arguments:
        raise HeaderError(why="a stanza's first line is malformed")
    body = bytearray()
    while True:
        line, place = _line(blob, place)
        if len(line) > _COLUMNS:
            raise HeaderError(why="a stanza line is too long")
        body += line
        if len(line) < _COLUMNS:
            return Stanza(tuple(arguments[1].split(b" ")), decode_base64(bytes(body))), place


def _line(blob: bytes, place: int) -> tuple[bytes, int]:
    end = blob.find(b"\n", place, HEADER_LIMIT)
    if end < 0:
        raise HeaderError(why="it ends early or is too long")
    return blob[place:end], end + 1


def _mac(file_key: bytes, unsigned: bytes) -> bytes:
    key = HKDF(SHA256(), 32, salt=None, info=b"header").derive(file_key)
    return hmac.digest(key, unsigned, "sha256")


def _wrap_key(shared: bytes, share: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=share + public, info=_X25519_INFO).derive(shared)


def encode_base64(raw: bytes) -> bytes:
    return b64encode(raw).rstrip(b"=")


def decode_base64(text: bytes) -> bytes:
    """Canonical, unpadded base64 and nothing looser."""
    if not _BASE64.match(text) or len(text) % 4 == 1:
        raise HeaderError(why="base64 that is not base64")
    raw = b64decode(text + b"=" * (-len(text) % 4))
    if encode_base64(raw) != text:
        raise HeaderError(why="base64 that is not canonical")
    return raw


def _key_bytes(text: str, prefix: str, kind: str) -> bytes:
    found, raw = bech32.decode(text.strip())
    if found != prefix or len(raw) != _KEY_SIZE:
        raise KeyTextError(kind=kind)
    return raw
