"""What names of one shape say, guessed: which piece is the start, the officer, the counter, and why.

Each guess carries its reason, and a question where only a person who knows the device can answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from devices.capture import CapturedEntry
from devices.profile import FOLDER
from devices.recorder import Medium
from devices.shape import Family, Kind, cut, families

OFFICER_DIGITS, SERIAL_CHARACTERS = 6, 7  # the owner record of an enforcement recorder
LENSES = frozenset("FRIABLfriabl")
_MAGIC_MEDIA = {
    "iso-media": Medium.VIDEO, "matroska": Medium.VIDEO, "mpeg-ts": Medium.VIDEO, "asf": Medium.VIDEO,
    "jpeg": Medium.IMAGE, "png": Medium.IMAGE, "tiff": Medium.IMAGE, "raf": Medium.IMAGE, "orf": Medium.IMAGE,
    "mpeg-audio": Medium.AUDIO, "ogg": Medium.AUDIO, "flac": Medium.AUDIO, "amr": Medium.AUDIO,
    "aac": Medium.AUDIO, "dss": Medium.AUDIO,
}  # fmt: skip


@dataclass
class Guess:
    """One form of names: its pattern with and without groups, how its start is written, and why."""

    plain: str
    grouped: str
    form: str
    because: list[str] = field(default_factory=list)
    look: list[str] = field(default_factory=list)
    numbered: Family | None = None


def media_of(files: Iterable[CapturedEntry]) -> dict[str, Medium]:
    """Which extensions are which kind: by the first bytes where they say it, else by the name."""
    found: dict[str, Medium] = {}
    for entry in files:
        extension = extension_of(entry.path)
        named = FOLDER.medium_of(extension)
        medium = named if named is not Medium.OTHER else _MAGIC_MEDIA.get(entry.magic, Medium.OTHER)
        if medium is not Medium.OTHER and re.fullmatch("[a-z0-9]{1,10}", extension):
            found.setdefault(extension, medium)
    return found


def guesses_of(footage: Sequence[CapturedEntry], serial: str) -> list[Guess]:
    """One guess for each form of names, the commonest first."""
    found = families((entry.path, entry.modified_at) for entry in footage)
    guesses: dict[str, Guess] = {}
    for family in found:
        guess = _guess(family, serial)
        guesses.setdefault(guess.plain, guess)
    return list(guesses.values())[:12]  # more forms than a maker has; the rest is taken by the catch-all


def _guess(family: Family, serial: str) -> Guess:
    start, counter = start_at(family), counter_at(family)
    extensions = "|".join(sorted({re.escape(member.extension.lower()) for member in family.members}))
    guess = Guess("", "", family.column(start)[0].form if start is not None else "")
    if start is not None:
        guess.because.append(f"start: '{family.texts(start)[0]}' is a time")
    for place in range(family.width):
        plain = _plain(family, place)
        name = "start" if place == start else _field(family, place, counter, serial, guess)
        guess.plain += plain
        guess.grouped += _groups(family, place, name, plain)
    ending = rf"\.(?:{extensions})" if extensions else ""
    guess.plain, guess.grouped = (f"(?i){_shorter(text)}{ending}" for text in (guess.plain, guess.grouped))
    return guess


def _shorter(pattern: str) -> str:
    """`[0-9]{4}[0-9]{2}` as `[0-9]{6}`: the same, and readable."""
    runs = re.compile(r"(?:\[0-9\]\{[0-9]+\}){2,}")
    return runs.sub(
        lambda found: f"[0-9]{{{sum(map(int, re.findall('{([0-9]+)}', found.group())))}}}", pattern
    )


def counter_at(family: Family) -> int | None:
    """The running number; also one that never changes here but begins with zeros, as a counter on a small card."""
    if family.counter_at is not None:
        return family.counter_at
    for place in range(family.width - 1, family.name_at - 1, -1):
        piece = family.column(place)[0]
        if piece.kind is Kind.NUMBER and len(piece.text) < OFFICER_DIGITS and piece.text.startswith("0"):
            return place
    return None


def start_at(family: Family) -> int | None:
    """The moment in the name: one with a time of day before one without, later before earlier."""
    moments = [n for n in range(family.width) if family.column(n)[0].kind is Kind.MOMENT]
    return max(moments, key=lambda n: ("%H" in family.column(n)[0].form, n), default=None)


def _plain(family: Family, place: int) -> str:
    piece = family.column(place)[0]
    if piece.kind is Kind.MOMENT:
        return _digits(piece.form)
    if piece.kind is Kind.NUMBER:
        return f"[0-9]{{{len(piece.text)}}}"
    if piece.kind is Kind.MIXED:
        return f"[0-9A-Z]{{{len(piece.text)}}}"
    if piece.kind is Kind.LETTERS:
        return f"[A-Z]{{{len(piece.text)}}}" if piece.text.isascii() else f"[^/]{{{len(piece.text)}}}"
    return re.sub(r"[^\w/.\\()\[\] +-]", ".", re.escape(piece.text).replace(r"\ ", " ").replace(r"\-", "-"))


def _digits(form: str) -> str:
    widths = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}
    done = ""
    for part in re.findall("%.|[^%]", form):
        done += f"[0-9]{{{widths[part]}}}" if part in widths else re.escape(part).replace(r"\ ", " ")
    return done


def _groups(family: Family, place: int, name: str, plain: str) -> str:
    if name == "serial+officer":
        characters = len(family.texts(place)[0]) - OFFICER_DIGITS
        return f"(?P<serial>[0-9A-Z]{{{characters}}})(?P<officer>[0-9]{{{OFFICER_DIGITS}}})"
    if name == "lens":
        return f"{plain[:-3]}(?P<channel>[A-Z])" if plain.endswith("{2}") else f"(?P<channel>{plain})"
    return f"(?P<{name}>{plain})" if name else plain


def _field(family: Family, place: int, counter: int | None, serial: str, guess: Guess) -> str:
    """Which fact stands in this place of the name; nothing for none."""
    kind, texts = family.column(place)[0].kind, family.texts(place)
    if place < family.name_at:
        return ""
    if place == counter:
        return _number_field(family, place, guess)
    if kind is Kind.LETTERS and {text[-1] for text in texts} <= LENSES and _is_new(guess, "channel"):
        guess.because.append(f"channel: the names end in {', '.join(sorted(set(texts)))}")
        guess.look.append("are these letters the lenses (front, rear)?")
        return "lens"
    if kind not in {Kind.NUMBER, Kind.MIXED} or len(texts[0]) < 4:  # noqa: PLR2004  # shorter ones name folders
        return ""
    return _somebody(kind, texts, serial, guess)


def _somebody(kind: Kind, texts: Sequence[str], serial: str, guess: Guess) -> str:
    text, length = texts[0], len(texts[0])
    if serial and set(texts) == {serial} and _is_new(guess, "serial"):
        guess.because.append("serial: it is the serial number that the device says over USB")
        return "serial"
    both = kind is Kind.MIXED and length == SERIAL_CHARACTERS + OFFICER_DIGITS
    if both and all(one[-OFFICER_DIGITS:].isdigit() for one in texts) and _is_new(guess, "serial", "officer"):
        guess.because.append(
            f"serial, officer: '{text}' is {SERIAL_CHARACTERS} and {OFFICER_DIGITS} characters"
        )
        guess.look.append(f"do the last {OFFICER_DIGITS} say the officer?")
        return "serial+officer"
    if kind is Kind.NUMBER and length <= 8 and _is_new(guess, "officer"):  # noqa: PLR2004  # no officer's is longer
        guess.because.append(f"officer: '{text}' is neither a time nor a counter")
        guess.look.append("is this the officer's number? Rename the group to serial if it is the recorder's.")
        return "officer"
    if _is_new(guess, "serial"):
        guess.because.append(f"serial: '{text}' is letters and digits in turn, or long")
        guess.look.append("is this the recorder's serial number?")
        return "serial"
    return ""


def _is_new(guess: Guess, *names: str) -> bool:
    return not any(f"(?P<{name}>" in guess.grouped for name in names)


def _number_field(family: Family, place: int, guess: Guess) -> str:
    """`part` where one start has several numbers, else `sequence`."""
    start = start_at(family)
    starts = family.texts(start) if start is not None else ()
    numbered = set(zip(starts, family.texts(place), strict=True)) if starts else set()
    if starts and "%H" in family.column(start or 0)[0].form and len(set(starts)) < len(numbered):
        guess.because.append("part: recordings of one start differ in it alone")
        return "part"
    guess.because.append(f"sequence: '{family.texts(place)[0]}' runs on from name to name")
    guess.numbered = family
    return "sequence"


def extension_of(path: str) -> str:
    """The extension in small letters; nothing for none."""
    return cut(path).extension.lower()
