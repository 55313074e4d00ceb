"""Names on a card are bytes somebody else chose; this module makes them safe to show.

Invariants: showing never raises, never loses a difference between two names within one spelling, and never
lets a name act (newlines, terminal controls, right-to-left overrides are escaped). The raw bytes stay the
identity of a file.
"""

from __future__ import annotations

import unicodedata

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode general categories that draw nothing or deceive


def show(raw: bytes) -> str:
    """A spelling for people: UTF-8, else GBK as Chinese firmware writes it, else escapes for odd bytes."""
    for encoding in ("utf-8", "gbk"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _is_plain_chinese(text):
            return "".join(_visible(character) for character in text)
    return "".join(_visible(c) for c in raw.decode("utf-8", "backslashreplace"))


def show_bytes(raw: bytes) -> str:
    """Another spelling, with an escape for every byte beyond ASCII: of a name that `show` spells like another one."""
    return "".join(_visible(c) for c in raw.decode("ascii", "backslashreplace"))


def _is_plain_chinese(text: str) -> bool:
    """GBK decodes nearly any pair of bytes: believed only when all it gives are CJK letters and ASCII."""
    return all(
        c.isascii() or "一" <= c <= "鿿" or "\u3000" <= c <= "\u303f" or "\uff01" <= c <= "\uff5e"
        for c in text
    )


def _visible(character: str) -> str:
    if unicodedata.category(character) in HIDDEN:
        return character.encode("unicode_escape").decode("ascii")
    return character


def is_safe_part(raw: bytes) -> bool:
    """Whether a directory entry's name is a single step down: not empty, `.`, `..`, nor with `/` or NUL."""
    return raw not in {b"", b".", b".."} and b"/" not in raw and b"\0" not in raw
