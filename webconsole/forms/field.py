"""Reading what came in: each field by its kind, bounded, with a sentence for each that is wrong.

    form = Form(request.form)
    number = form.text("number", limit=64)
    stage = form.choice("stage", Stage)
    form.check()                      # raises FormError(mistakes) -> 422, or look at form.mistakes

The template shows `form.typed("number")` and `form.mistake("number")`, so nothing typed is lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import TypeVar

from flask_babel import gettext
from werkzeug.datastructures import MultiDict

from casework.field import EARLIEST, LATEST
from core.errors import Exit, SealdockError

E = TypeVar("E", bound=StrEnum)
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
MOST_IDS = 200  # a page of a list
KEEP_TYPED = 10_000  # characters of a wrong field that are shown again
LINE_BREAKS = "\n\t"


class FormError(SealdockError):
    """Something typed cannot be used."""

    code = "webconsole.form"
    sentence = "Some fields need another look; nothing was changed. {mistakes}"
    exit_code = Exit.WRONG_USE


class Form:
    """Values of a form or of a query, with the mistakes found on the way."""

    def __init__(self, values: MultiDict[str, str]) -> None:
        self._values = values
        self.mistakes: dict[str, str] = {}

    def typed(self, name: str, otherwise: str = "") -> str:
        """What was typed, to show it again."""
        return self._values.get(name, otherwise)[:KEEP_TYPED]

    def mistake(self, name: str) -> str:
        """The sentence about the field, empty when it is right."""
        return self.mistakes.get(name, "")

    def wrong(self, name: str, sentence: str) -> None:
        """Say what is wrong with a field; the first thing said about it stays."""
        self.mistakes.setdefault(name, sentence)

    def text(self, name: str, *, limit: int = 200, required: bool = True, lines: bool = False) -> str:
        """One line of text (or several), normalised (NFC), without control characters."""
        value = unicodedata.normalize("NFC", self._values.get(name, "").replace("\r\n", "\n")).strip()
        allowed = LINE_BREAKS if lines else ""
        if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in allowed for c in value):
            self.wrong(name, gettext("This field holds characters that cannot be shown."))
            return ""
        if required and not value:
            self.wrong(name, gettext("This field is needed."))
        if len(value) > limit:
            self.wrong(name, gettext("This field may have %(limit)s characters at most.", limit=limit))
        return value[:limit]

    def choice(self, name: str, choices: type[E], otherwise: E | None = None) -> E:
        """A member of `choices`; without `otherwise` it is needed."""
        raw = self._values.get(name, "")
        try:
            return choices(raw)
        except ValueError:
            if otherwise is None or raw:
                self.wrong(name, gettext("Please choose one of the list."))
            return otherwise or next(iter(choices))

    def is_ticked(self, name: str) -> bool:
        """Whether a box is ticked; browsers leave out those that are not."""
        return bool(self._values.get(name, ""))

    def integer(self, name: str, low: int, high: int, otherwise: int) -> int:
        """A whole number from `low` to `high`, `otherwise` when the field is empty."""
        raw = self._values.get(name, "").strip()
        if not raw:
            return otherwise
        number = int(raw) if re.fullmatch(r"-?[0-9]{1,18}", raw) else None
        if number is None or not low <= number <= high:
            self.wrong(
                name, gettext("Please enter a whole number from %(low)s to %(high)s.", low=low, high=high)
            )
            return otherwise
        return number

    def day(self, name: str, *, required: bool = True) -> date | None:
        """A date as the browser's date field writes it, `2026-11-23`; one that a recording can have."""
        raw = self._values.get(name, "").strip()
        if not raw:
            if required:
                self.wrong(name, gettext("This field is needed."))
            return None
        try:
            typed = date.fromisoformat(raw)
        except ValueError:
            typed = date.max
        if not EARLIEST <= typed <= LATEST:
            self.wrong(name, gettext("Please enter a date such as 2026-11-23."))
            return None
        return typed

    def identifier(self, name: str, *, required: bool = True) -> str:
        """One id of this system."""
        raw = self._values.get(name, "").strip()
        if (required or raw) and not ULID.fullmatch(raw):
            self.wrong(name, gettext("Please choose one of the list."))
            return ""
        return raw

    def identifiers(self, name: str, *, most: int = MOST_IDS, required: bool = True) -> list[str]:
        """Several ids, in order, each once."""
        raw = list(dict.fromkeys(self._values.getlist(name)))
        if len(raw) > most:
            self.wrong(name, gettext("Please choose %(most)s at most at once.", most=most))
        if (required and not raw) or any(not ULID.fullmatch(one) for one in raw):
            self.wrong(name, gettext("Please choose at least one of the list."))
            return []
        return raw[:most]

    def check(self) -> None:
        """Raise FormError when anything is wrong."""
        if self.mistakes:
            raise FormError(mistakes=" ".join(_say(self.mistakes)))


def _say(mistakes: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(mistakes.values()))
