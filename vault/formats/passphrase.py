"""age files sealed by a passphrase (c2sp.org/age, the scrypt recipient): what `age -p` writes and `age -d` opens.

The cost is fixed by us and not measured on the machine, so that a busy station neither makes weak files nor takes a
right passphrase for a wrong one. Whoever has such a file can try passphrases, each at the cost that is written in it.
"""

from __future__ import annotations

import re
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from vault.formats.age import (
    FILE_KEY_SIZE,
    TAG_SIZE,
    HeaderError,
    Stanza,
    decode_base64,
    decrypt_file,
    encode_base64,
    encrypt_file,
)

WORK_FACTOR = 18  # log2 of scrypt's N, as `age -p` has it: 256 MiB of memory and about a second
MOST_WORK = 20  # of a file that is opened: 1 GiB; more would only keep the machine busy
_TYPE = b"scrypt"
_LABEL = b"age-encryption.org/v1/scrypt"
_SALT_SIZE = 16
_KEY_SIZE = 32
_NUMBER = re.compile(rb"[1-9][0-9]?\Z")
_ZERO_NONCE = bytes(12)


class Passphrase:
    """A passphrase in the place of a recipient or an identity; its repr never shows it."""

    def __init__(self, passphrase: bytes) -> None:
        self._passphrase = passphrase

    def wrap(self, file_key: bytes) -> bytes:
        """The one stanza of such a file."""
        salt = token_bytes(_SALT_SIZE)
        body = ChaCha20Poly1305(self._key(salt, WORK_FACTOR)).encrypt(_ZERO_NONCE, file_key, None)
        return b"-> scrypt %s %d\n%s\n" % (encode_base64(salt), WORK_FACTOR, encode_base64(body))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """The file key in `stanza`, or None when it is not a passphrase's or not this one's. Raises HeaderError."""
        if stanza.arguments[0] != _TYPE:
            return None
        if len(stanza.arguments) != 3:  # noqa: PLR2004  # the type, the salt and the cost
            raise HeaderError(why="a passphrase stanza needs exactly two arguments")
        salt, work = decode_base64(stanza.arguments[1]), stanza.arguments[2]
        if len(salt) != _SALT_SIZE or len(stanza.body) != FILE_KEY_SIZE + TAG_SIZE:
            raise HeaderError(why="a passphrase stanza has the wrong length")
        if not _NUMBER.match(work) or int(work) > MOST_WORK:
            raise HeaderError(why="a passphrase stanza asks for work that nobody should do")
        try:
            return ChaCha20Poly1305(self._key(salt, int(work))).decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None

    def _key(self, salt: bytes, work: int) -> bytes:
        return Scrypt(_LABEL + salt, _KEY_SIZE, n=1 << work, r=8, p=1).derive(self._passphrase)


def seal(passphrase: bytes, plaintext: bytes) -> bytes:
    """A complete age file; takes about a second by design."""
    return encrypt_file([Passphrase(passphrase)], plaintext)


def unseal(passphrase: bytes, blob: bytes) -> bytes:
    """The plaintext of such a file. Raises NoMatchError for another passphrase, AgeError for a file that is none."""
    return decrypt_file(Passphrase(passphrase), blob)
