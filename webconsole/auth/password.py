"""Passwords: Argon2id (RFC 9106) in PHC strings, so that the cost can grow without a migration.

Cost: 64 MiB, 2 passes, 1 lane: about 110 ms on the reference station. Two derivations run at once, so that
a storm of sign-ins takes 128 MiB and not the machine. An unknown username costs the same as a known one.
"""

from __future__ import annotations

import os
import unicodedata
from functools import cache
from threading import BoundedSemaphore

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from core.errors import Exit, SealdockError

MEMORY_KIB = 64 * 1024  # RFC 9106 section 4, second recommended option, is 64 MiB
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32
MIN_LENGTH = 10  # characters; NIST SP 800-63B-4 asks for length, not for character classes
MAX_BYTES = 1024
AT_ONCE = 2

_turn = BoundedSemaphore(AT_ONCE)


class WeakPasswordError(SealdockError):
    """The password would not protect the evidence."""

    code = "webconsole.weak_password"
    sentence = (
        "This password is too easy to guess: use at least {length} characters, not the username and not one "
        "character repeated. A sentence of a few words is good."
    )
    exit_code = Exit.WRONG_USE


def check_strength(password: str, username: str) -> str:
    """The password, when it is fit to guard evidence. Raises WeakPasswordError."""
    plain = _normal(password)
    simple = len(set(plain)) < 4 or plain.casefold() == username.casefold()  # noqa: PLR2004
    if len(plain) < MIN_LENGTH or simple or len(plain.encode(errors="replace")) > MAX_BYTES:
        raise WeakPasswordError(length=MIN_LENGTH)
    return password


def hash_password(password: str) -> str:
    """A PHC string with a fresh salt."""
    with _turn:
        return _argon2id(MEMORY_KIB, PASSES).derive_phc_encoded(_bytes(password))


def matches(password: str, phc: str) -> bool:
    """Whether the password is right; an empty `phc` (nobody, or none set) costs the same and is wrong."""
    with _turn:
        try:
            Argon2id.verify_phc_encoded(_bytes(password), phc or _nobody(MEMORY_KIB, PASSES))
        except InvalidKey:
            return False
    return bool(phc)


def is_outdated(phc: str) -> bool:
    """Whether the hash was made with another cost than today's."""
    return f"$m={MEMORY_KIB},t={PASSES},p={LANES}$" not in phc


def _argon2id(memory_kib: int, passes: int) -> Argon2id:
    return Argon2id(
        salt=os.urandom(SALT_BYTES), length=HASH_BYTES, iterations=passes, lanes=LANES, memory_cost=memory_kib
    )


@cache
def _nobody(memory_kib: int, passes: int) -> str:
    return _argon2id(memory_kib, passes).derive_phc_encoded(os.urandom(HASH_BYTES))


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)  # NIST SP 800-63B-4 section 3.1.1.2


def _bytes(password: str) -> bytes:
    return _normal(password).encode(errors="surrogatepass")[:MAX_BYTES]
