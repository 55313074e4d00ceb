"""Errors that another process wrote down, told again in the reader's language.

What is kept of an error is what its table has room for: the code alone (media facts), the code and a path
(a session's failures) or the English sentence (a job). All three lead back to the class and so to its
translation; a text that no class says is shown as it stands.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import cache

from core.errors import SealdockError
from webconsole.i18n import reported_errors, sentence_of

MARKS = re.compile(r"\\\{(\w+)\\\}")  # a parameter in a template that went through re.escape


@dataclass(frozen=True)
class Relayed:
    """An error class and what filled its sentence."""

    code: str
    parameters: dict[str, str]


def by_code(code: str) -> str:
    """The sentence of an error of which only the code was kept; its family's where it names particulars."""
    for kind in _family(code):
        if not _names(kind.sentence):
            return sentence_of(kind.code, {})
    return sentence_of(code, {})


def by_path(code: str, path: str) -> str:
    """Why one file was not taken; the sentence names the file, or the file's name goes before it."""
    words = sentence_of(code, {"path": path})
    return words if path in words else f"{path} · {words}"


def by_text(text: str) -> str:
    """The English sentence of an error, in the reader's language; anything else as it stands."""
    found = recognise(text)
    return sentence_of(found.code, found.parameters) if found else text


def recognise(text: str) -> Relayed | None:
    """The error whose sentence this is; the one with the most words of its own where several fit."""
    for code, pattern in _patterns(len(reported_errors())):
        if found := pattern.fullmatch(text):
            return Relayed(code, found.groupdict())
    return None


def _family(code: str) -> list[type[SealdockError]]:
    kind = reported_errors().get(code)
    return [each for each in (kind.__mro__ if kind else ()) if issubclass(each, SealdockError)]


def _names(sentence: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(sentence) if name]


@cache
def _patterns(_known: int) -> list[tuple[str, re.Pattern[str]]]:
    """Code and pattern of every sentence, the longest first; made anew when classes were added."""
    errors = reported_errors().values()
    longest_first = sorted(
        errors, key=lambda error: len(MARKS.sub("", re.escape(error.sentence))), reverse=True
    )
    return [(error.code, _pattern(error.sentence)) for error in longest_first]


def _pattern(sentence: str) -> re.Pattern[str]:
    seen = set[str]()

    def group(mark: re.Match[str]) -> str:
        name = mark[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>.*?)"

    return re.compile(MARKS.sub(group, re.escape(sentence)), re.DOTALL)
