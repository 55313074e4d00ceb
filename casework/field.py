"""What people type: checked once, at the edge, in words that say what to change.

Text is kept in Unicode NFC without surrounding space. Control characters and the invisible marks that turn
the reading direction are refused, because a name that shows one thing and says another has no place in
evidence.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from enum import StrEnum
from typing import TypeVar

from core.errors import Exit, SealdockError

_TURNS_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Zl", "Zp"})
_CODE = re.compile(r"[0-9A-Za-z]+")
E = TypeVar("E", bound=StrEnum)
EARLIEST = date(1990, 1, 1)  # no body camera is older; an earlier date is a slip of the hand
LATEST = date(2199, 12, 31)


class CaseworkError(SealdockError):
    """The family of everything that casework refuses."""

    code = "casework.refused"
    sentence = "This was refused. Nothing was changed."


class FieldError(CaseworkError):
    """Something typed cannot be taken; `field` names it. The family of the checks below."""

    code = "casework.field"
    sentence = "{field} cannot be used. Nothing was changed; correct it and send it again."
    exit_code = Exit.WRONG_USE


class EmptyFieldError(FieldError):
    """A field that is needed has nothing in it."""

    code = "casework.field_empty"
    sentence = "{field} is empty. Nothing was changed; fill it in and send it again."


class LongFieldError(FieldError):
    """A field holds more than its limit."""

    code = "casework.field_long"
    sentence = (
        "{field} has {length} characters and at most {limit} fit. "
        "Nothing was changed; shorten it and send it again."
    )


class CharacterError(FieldError):
    """A field holds characters that cannot be shown as what they are."""

    code = "casework.field_character"
    sentence = (
        "{field} contains a character that cannot be shown ({character}). "
        "Nothing was changed; remove it and send it again."
    )


class CodeError(FieldError):
    """A number on a card or a device has the wrong form."""

    code = "casework.field_code"
    sentence = (
        "{field} must be {length} letters or digits, and '{value}' is not. "
        "Nothing was changed; compare it with the card or the device."
    )


class DateError(FieldError):
    """A date that is none, or that cannot be meant."""

    code = "casework.field_date"
    sentence = (
        "{field} is not a date that can be meant ('{value}'). "
        "Nothing was changed; write it as year-month-day, for example 2026-11-23."
    )


class ChoiceError(FieldError):
    """A value outside its list."""

    code = "casework.field_choice"
    sentence = "{field} cannot be '{value}'. Nothing was changed; choose one of: {choices}."


def text(value: str | None, field: str, limit: int, *, required: bool = True, lines: bool = False) -> str:
    """`value` as it is kept: NFC, trimmed, at most `limit` characters; line feeds only where `lines` says so.

    Raises EmptyFieldError, LongFieldError, CharacterError.
    """
    kept = unicodedata.normalize("NFC", (value or "").replace("\r\n", "\n")).strip()
    if required and not kept:
        raise EmptyFieldError(field=field)
    if len(kept) > limit:
        raise LongFieldError(field=field, length=len(kept), limit=limit)
    for character in kept:
        if _is_refused(character) and not (lines and character in "\n\t"):
            raise CharacterError(field=field, character=f"U+{ord(character):04X}")
    return kept


def number_code(value: str | None, field: str, length: int) -> str:
    """A number printed on a card or a device: exactly `length` ASCII letters or digits. Raises CodeError."""
    kept = (value or "").strip()
    if not kept:
        raise EmptyFieldError(field=field)
    if len(kept) != length or _CODE.fullmatch(kept) is None:
        raise CodeError(field=field, length=length, value=kept[:40])
    return kept


def day(value: str | date | None, field: str) -> date:
    """A calendar day from `2026-11-23` or a date. Raises EmptyFieldError, DateError."""
    if value is None or value == "":
        raise EmptyFieldError(field=field)
    try:
        kept = value if isinstance(value, date) else date.fromisoformat(value.strip())
    except ValueError as cause:
        raise DateError(field=field, value=str(value)[:40]) from cause
    if not EARLIEST <= kept <= LATEST:
        raise DateError(field=field, value=kept.isoformat())
    return kept


def day_or_none(value: str | date | None, field: str) -> date | None:
    """Like `day`, and nothing stays nothing."""
    return None if value is None or value == "" else day(value, field)


def choice(value: str, field: str, options: type[E]) -> E:
    """`value` as a member of its list. Raises ChoiceError."""
    try:
        return options(value)
    except ValueError as cause:
        choices = ", ".join(option.value for option in options)
        raise ChoiceError(field=field, value=str(value)[:40], choices=choices) from cause


def _is_refused(character: str) -> bool:
    return character in _TURNS_DIRECTION or unicodedata.category(character) in _REFUSED_CATEGORIES
