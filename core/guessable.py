"""Secrets that a person types, kept so that a stolen database gives none away: Argon2id (RFC 9106) in PHC strings.

Cost: 64 MiB, 2 passes, 1 lane: about 110 ms on the reference station; it stands in each string, so that it can grow
without a migration. Two derivations run at once in a process: a storm of sign-ins takes 128 MiB and not the machine.
"""

from __future__ import annotations

import os
from functools import cache
from threading import BoundedSemaphore

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MEMORY_KIB = 64 * 1024  # RFC 9106 section 4, second recommended option, is 64 MiB
PASSES = 2
LANES = 1
SALT_BYTES = 16
HASH_BYTES = 32
AT_ONCE = 2

_turn = BoundedSemaphore(AT_ONCE)


def phc(secret: bytes) -> str:
    """A PHC string with a fresh salt."""
    with _turn:
        return _argon2id(new_salt(), MEMORY_KIB, PASSES).derive_phc_encoded(secret)


def is_it(secret: bytes, kept: str) -> bool:
    """Whether the secret is the one in `kept`; an empty `kept` (nobody, or none set) costs the same and is wrong."""
    with _turn:
        try:
            Argon2id.verify_phc_encoded(secret, kept or _nobody(MEMORY_KIB, PASSES))
        except InvalidKey:
            return False
    return bool(kept)


def is_outdated(kept: str) -> bool:
    """Whether a PHC string was made with another cost than today's."""
    return f"$m={MEMORY_KIB},t={PASSES},p={LANES}$" not in kept


def new_salt() -> bytes:
    """16 fresh bytes."""
    return os.urandom(SALT_BYTES)


def digest(secret: bytes, salt: bytes) -> str:
    """Lower-case hex under a salt of the caller's, for a secret that has to be found by itself."""
    with _turn:
        return _argon2id(salt, MEMORY_KIB, PASSES).derive(secret).hex()


def _argon2id(salt: bytes, memory_kib: int, passes: int) -> Argon2id:
    return Argon2id(salt=salt, length=HASH_BYTES, iterations=passes, lanes=LANES, memory_cost=memory_kib)


@cache
def _nobody(memory_kib: int, passes: int) -> str:
    return _argon2id(new_salt(), memory_kib, passes).derive_phc_encoded(os.urandom(HASH_BYTES))
