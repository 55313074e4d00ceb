"""The shape of names on a card: which pieces are times, numbers, words, and which names are built alike.

A guess for drafting a profile and for taking people's numbers out of a capture; nothing here is evidence. Names of
one shape have the same pieces in the same places, so a place can be looked at over all of them: what never changes is
somebody's number, what goes up is a counter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What a piece of a name is."""

    MOMENT = "moment"
    NUMBER = "number"
    WORD = "word"
    LETTERS = "letters"  # one or two at the very end: a lens, a mode
    MIXED = "mixed"  # letters and digits in turn, as serial numbers are
    MARK = "mark"


@dataclass(frozen=True)
class Piece:
    """A part of a path; `form` is how a moment is written (strptime)."""

    kind: Kind
    text: str
    form: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What two names must share here to be built alike."""
        if self.kind is Kind.MOMENT:
            return self.kind, self.form
        if self.kind in {Kind.WORD, Kind.MARK}:
            return self.kind, self.text.casefold()
        return self.kind, str(len(self.text))


@dataclass(frozen=True)
class Named:
    """One path in pieces, without its extension."""

    path: str
    pieces: tuple[Piece, ...]
    extension: str

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """The shape."""
        return tuple(piece.key for piece in self.pieces)


@dataclass(frozen=True)
class Family:
    """All paths of one shape, in the order in which they were listed."""

    members: tuple[Named, ...]

    @property
    def width(self) -> int:
        """How many pieces each has."""
        return len(self.members[0].pieces)

    def column(self, place: int) -> tuple[Piece, ...]:
        """The pieces in one place."""
        return tuple(member.pieces[place] for member in self.members)

    def texts(self, place: int) -> tuple[str, ...]:
        """Their texts."""
        return tuple(piece.text for piece in self.column(place))

    @property
    def name_at(self) -> int:
        """Where the file's own name begins: the place behind the last `/`."""
        slashes = [n for n, piece in enumerate(self.members[0].pieces) if piece.text == "/"]
        return slashes[-1] + 1 if slashes else 0

    @property
    def counter_at(self) -> int | None:
        """The place of the running number: the last number in the name that differs or begins with zeros."""
        for place in range(self.width - 1, self.name_at - 1, -1):
            if self.column(place)[0].kind is Kind.NUMBER and _counts(self.texts(place)):
                return place
        return None


# a day with a four-digit year, perhaps a time of day in six digits behind it; separators as recorders write them
_LONG = re.compile(
    r"(?P<Y>(?:19|20)[0-9]{2})(?P<a>[-_.]?)(?P<m>0[1-9]|1[0-2])(?P<b>[-_.]?)(?P<d>0[1-9]|[12][0-9]|3[01])"
    r"(?:(?P<c>[-_ .T]?)(?P<H>[01][0-9]|2[0-3])(?P<e>[-_.]?)(?P<M>[0-5][0-9])(?P<f>[-_.]?)(?P<S>[0-5][0-9]))?(?![0-9])"
)
# a day with a two-digit year and a time of day: believed only beside a file time that agrees
_SHORT = re.compile(
    r"(?P<y>[0-9]{2})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12][0-9]|3[01])"
    r"(?P<c>[-_])(?P<H>[01][0-9]|2[0-3])(?P<M>[0-5][0-9])(?P<S>[0-5][0-9])?(?![0-9])"
)
_RUN = re.compile(r"[0-9A-Za-z]+|[^\W_0-9A-Za-z]+|.", re.DOTALL)
_SPLIT = re.compile(r"([A-Za-z]+)([0-9]+)|([0-9]+)([A-Za-z]+)")
_AGREES = timedelta(
    hours=40
)  # a zone (14 h), a long shift and a recorder that was never set to the right zone
_COUNTER_DIGITS = 6


def families(paths: Iterable[tuple[str, datetime | None]]) -> list[Family]:
    """Files (path, file time) by shape, the largest family first, then by path."""
    found: dict[tuple[tuple[str, str], ...], list[Named]] = {}
    for path, modified_at in paths:
        named = cut(path, modified_at)
        found.setdefault(named.key, []).append(named)
    grouped = [Family(tuple(members)) for members in found.values()]
    return sorted(grouped, key=lambda family: (-len(family.members), family.members[0].path))


def cut(path: str, modified_at: datetime | None = None) -> Named:
    """A path in pieces; folders too, `/` being a piece of its own."""
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        stem, extension = name, ""
    pieces = list(_pieces(folder + slash + stem, modified_at))
    if pieces and pieces[-1].kind is Kind.WORD and len(pieces[-1].text) <= 2 and len(pieces) > 1:  # noqa: PLR2004
        pieces[-1] = Piece(Kind.LETTERS, pieces[-1].text)
    return Named(path, tuple(pieces), extension)


def _pieces(text: str, modified_at: datetime | None) -> Iterator[Piece]:
    place = 0
    while place < len(text):
        moment = _moment_at(text, place, modified_at)
        if moment is not None:
            yield moment
            place += len(moment.text)
            continue
        found = _RUN.match(text, place)
        run = found.group() if found else text[place]
        inside = _moment_inside(text, place, run, modified_at)
        run = run[:inside] if inside else run
        yield from _run(run)
        place += len(run)


def _moment_inside(text: str, place: int, run: str, modified_at: datetime | None) -> int:
    """Where in a run a moment begins behind letters alone, as in VID20261123; 0 when none does."""
    letters = len(run) - len(run.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
    if letters == 0 or letters == len(run):
        return 0
    return letters if _moment_at(text, place + letters, modified_at) else 0


def _moment_at(text: str, place: int, modified_at: datetime | None) -> Piece | None:
    for pattern, year in ((_LONG, "%Y"), (_SHORT, "%y")):
        found = pattern.match(text, place)
        if found is None:
            continue
        piece = Piece(Kind.MOMENT, found.group(), _form(found, year))
        if _is_believed(piece, modified_at, short=year == "%y"):
            return piece
    return None


def _form(found: re.Match[str], year: str) -> str:
    part = found.groupdict()
    form = f"{year}{part.get('a') or ''}%m{part.get('b') or ''}%d"
    if part.get("H"):
        form += f"{part.get('c') or ''}%H{part.get('e') or ''}%M{part.get('f') or ''}"
        form += "%S" if part.get("S") else ""
    return form


def _is_believed(piece: Piece, modified_at: datetime | None, *, short: bool) -> bool:
    try:
        moment = datetime.strptime(piece.text, piece.form).replace(tzinfo=UTC)
    except ValueError:
        return False
    return not short or (modified_at is not None and abs(moment - modified_at) <= _AGREES)


def _run(run: str) -> Iterator[Piece]:
    if run.isascii() and run.isdigit():
        yield Piece(Kind.NUMBER, run)
    elif run.isalpha():
        yield Piece(Kind.WORD, run)
    elif not run.isascii() or not run.isalnum():
        yield Piece(Kind.MARK, run)
    elif found := _SPLIT.fullmatch(run):
        for part in found.groups():
            if part:
                yield Piece(Kind.NUMBER if part.isdigit() else Kind.WORD, part)
    else:
        yield Piece(Kind.MIXED, run)


def _counts(texts: tuple[str, ...]) -> bool:
    if len(texts[0]) > _COUNTER_DIGITS:
        return False
    numbers = {int(text) for text in texts}
    if len(numbers) == 1:
        return len(texts) == 1 and len(texts[0]) <= 5 and texts[0].startswith("0")  # noqa: PLR2004  # officers: 6
    return len(numbers) * 2 > len(texts) or max(numbers) - min(numbers) < 4 * len(texts)
