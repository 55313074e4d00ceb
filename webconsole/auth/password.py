"""Passwords: which are fit to guard evidence, and how they are kept (core.guessable).

An unknown username costs the same as a known one.
"""

from __future__ import annotations

import unicodedata

from core import guessable
from core.errors import Exit, SealdockError

MIN_LENGTH = 10  # characters; NIST SP 800-63B-4 asks for length, not for character classes
MAX_BYTES = 1024


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
    return guessable.phc(_bytes(password))


def matches(password: str, phc: str) -> bool:
    """Whether the password is right; an empty `phc` (nobody, or none set) costs the same and is wrong."""
    return guessable.is_it(_bytes(password), phc)


def is_outdated(phc: str) -> bool:
    """Whether the hash was made with another cost than today's."""
    return guessable.is_outdated(phc)


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)  # NIST SP 800-63B-4 section 3.1.1.2


def _bytes(password: str) -> bytes:
    return _normal(password).encode(errors="surrogatepass")[:MAX_BYTES]
