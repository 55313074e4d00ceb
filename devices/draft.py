"""A first profile for a device that nobody described: guessed from a capture, each guess with its reason.

What the names prove is written down; what they only suggest is marked with LOOK for the person who knows the
device. The draft excludes what every other profile requires, so that no device can fit both; a card with the marks
of both is refused (`devices/match.py`). A draft that does not read back or does not recognise its own capture is never
handed out.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from devices.capture import Capture
from devices.error import DeviceError
from devices.guess import Guess, counter_at, extension_of, guesses_of, media_of, start_at
from devices.match import matches, may_concern
from devices.profile import Profile
from devices.profile_table import PROBE, Match
from devices.recorder import Medium
from devices.shape import Family
from devices.table import MAX_PATTERN

LOOK = "# LOOK:"
MARKS = re.compile(
    r"(?i)IMP|IMPORTANT|LOCK|LOCKED|SOS|EVENT|EMR|EMERGENCY|RO|CRASH|重点.*|重要.*|加锁.*|紧急.*"
)
BESIDE = frozenset({"gpx", "nmea", "srt", "gps", "3gf", "thm", "xmp", "log"})
_IGNORE = r"""
# What computers leave on cards. Recycle bins, LOST.DIR and lost+found are no rubbish: footage lies in them.
[ignore]
directories = ['(?i)System Volume Information', '\.Spotlight-V100', '\.fseventsd']
files = ['(?:.*/)?\.DS_Store', '(?i)(?:.*/)?Thumbs\.db', '(?i)(?:.*/)?desktop\.ini']
small_files = ['(?:.*/)?\._[^/]*']
"""


class NothingToDraftError(DeviceError):
    """The device shows nothing that a profile could be made of."""

    code = "devices.nothing_to_draft"
    sentence = (
        "No profile can be drafted from {device}: {why}. Nothing was changed; record something with the device "
        "and try again."
    )


def draft(seen: Capture, profile_id: str, others: Sequence[Profile], instead_of: Sequence[str] = ()) -> str:
    """The text of a profile file. Raises NothingToDraftError."""
    media = media_of(seen.files)
    footage = [e for e in seen.files if extension_of(e.path) in media and extension_of(e.path) not in BESIDE]
    if not footage:
        raise NothingToDraftError(device=_device(seen), why="it holds no film, sound or picture")
    guesses = guesses_of(footage, seen.serial)
    text = "\n".join(_lines(seen, profile_id, guesses, media, others, instead_of))
    try:
        profile = Profile.model_validate(tomllib.loads(text))
    except ValidationError as cause:
        why = f"its names make no profile ({cause.errors()[0]['msg']})"
        raise NothingToDraftError(device=_device(seen), why=why) from cause
    if not matches(profile.match, seen.layout):
        why = "another profile requires what it shows; see `sealdock profile check --capture`"
        raise NothingToDraftError(device=_device(seen), why=why)
    return text


def _lines(
    seen: Capture, profile_id: str, guesses: Sequence[Guess], media: dict[str, Medium],
    others: Sequence[Profile], instead_of: Sequence[str],
) -> Iterable[str]:  # fmt: skip
    yield f"# A draft from a capture of {_device(seen)}: look at every line marked LOOK, then"
    yield f"# `sealdock profile check {profile_id}.toml --capture {profile_id}.capture.json`."
    yield ""
    yield "schema = 1"
    yield f"id = {_text(profile_id)}"
    yield 'status = "experimental"'
    source = "a physical device" if seen.source == "physical" else "an emulated device"
    yield f"basis = {_text(f'Drafted on {seen.made_at:%Y-%m-%d} from one capture of {source}.')}"
    yield ""
    yield f"{LOOK} what do people call it, in both languages?"
    yield "[title]"
    yield f"en = {_text(_device(seen))}"
    yield f"zh_CN = {_text(_device(seen))}"
    yield ""
    yield from _match_lines(seen, guesses, others, instead_of)
    yield from _footage_lines(guesses, media)
    yield from _counting_lines(guesses)
    yield from _mark_lines(seen)
    yield from _extension_lines(seen, media)
    yield from _IGNORE.split("\n")


def _match_lines(
    seen: Capture, guesses: Sequence[Guess], others: Sequence[Profile], instead_of: Sequence[str]
) -> Iterable[str]:
    mark = _mark(guesses)
    yield "# because every recording of the largest group has such a name, in these folders"
    if not re.search(r"\[0-9|\[A-Z", mark):
        yield f"{LOOK} this is one fixed name; will the next card of this device show it too?"
    yield "[match]"
    yield f"requires = [{_pattern(mark)}]"
    if instead_of:
        yield f"instead_of = [{', '.join(map(_text, instead_of))}]"
    yield "# what the other profiles require: no device can fit this one and one of them"
    yield "excludes = ["
    for pattern in _foreign(seen, others, instead_of):
        yield f"  {_pattern(pattern)},"
    yield "]"


def _mark(guesses: Sequence[Guess]) -> str:
    """The commonest form of name, in every folder it was seen in: a card may hold marked recordings and no others."""
    name = guesses[0].plain.rpartition("/")[2]
    alike = [one.plain.removeprefix("(?i)") for one in guesses if one.plain.rpartition("/")[2] == name]
    while len(mark := f"(?i)(?:{'|'.join(alike)})") > MAX_PATTERN and len(alike) > 1:
        alike.pop()
    return mark if len(alike) > 1 else guesses[0].plain


def _foreign(seen: Capture, others: Sequence[Profile], instead_of: Sequence[str]) -> list[str]:
    """One required pattern of each other profile that this device does not fit, each once."""
    found: dict[str, None] = {}
    for other in others:
        if other.id in instead_of or not may_concern(other, seen.layout):
            continue
        absent = [p for p in other.match.requires if not matches(Match(requires=(p,)), seen.layout)]
        found |= dict.fromkeys(absent[:1])
    return list(found)


def _footage_lines(guesses: Sequence[Guess], media: dict[str, Medium]) -> Iterable[str]:
    for guess in guesses:
        yield ""
        yield from (f"# because {reason}" for reason in guess.because)
        yield from (f"{LOOK} {question}" for question in guess.look)
        yield "[[footage]]"
        yield f"files = {_pattern(guess.grouped)}"
        if guess.form:
            yield f"start = {_text(guess.form)}"
    yield ""
    yield "# because a recording with any other name is footage too"
    yield "[[footage]]"
    yield f"files = {_pattern('(?i)(?:.*/)?[^/]+' + chr(92) + '.(?:' + '|'.join(sorted(media)) + ')')}"
    yield ""


def _counting_lines(guesses: Sequence[Guess]) -> Iterable[str]:
    numbered = next((guess.numbered for guess in guesses if guess.numbered), None)
    if numbered is None:
        return
    per, reason = _per(numbered)
    yield f"# because {reason}"
    if per == "none":
        yield f'{LOOK} say per = "day" or "recorder" once you know it; gaps are found only then.'
    yield "[sequence]"
    yield f"per = {_text(per)}"
    yield ""


def _per(family: Family) -> tuple[str, str]:
    """What the numbers count within, by where they begin again."""
    start, place = start_at(family), counter_at(family)
    if start is None or place is None:
        return "none", "the names say no day, so it cannot be seen where the numbers begin again"
    width = len(PROBE.strftime(family.column(start)[0].form.partition("%H")[0].rstrip("_-T .")))
    days: dict[str, list[int]] = {}
    for member in family.members:
        days.setdefault(member.pieces[start].text[:width], []).append(int(member.pieces[place].text))
    firsts = [min(numbers) for _, numbers in sorted(days.items())]
    if len(firsts) < 2:  # noqa: PLR2004  # one day shows no beginning
        return "none", "all recordings are of one day, so it cannot be seen where the numbers begin again"
    if len(set(firsts)) == 1:
        return "day", f"on each of {len(firsts)} days the numbers begin with {firsts[0]}"
    if firsts == sorted(firsts):
        return "recorder", f"the numbers go on from day to day ({firsts[0]} to {firsts[-1]})"
    return "none", "the numbers neither begin again each day nor go on"


def _mark_lines(seen: Capture) -> Iterable[str]:
    folders = {part for entry in seen.files for part in entry.path.split("/")[:-1] if MARKS.fullmatch(part)}
    if folders:
        named = "|".join(re.escape(folder) for folder in sorted(folders))
        yield f"# because the folders {', '.join(sorted(folders))} are named as recorders name marked files"
        yield f"{LOOK} are these the files that an officer marked?"
        yield "[priority]"
        yield f"flagged = [{_pattern(f'(?i)(?:.*/)?(?:{named})/.+')}]"
        yield ""


def _extension_lines(seen: Capture, media: dict[str, Medium]) -> Iterable[str]:
    beside = sorted({extension_of(entry.path) for entry in seen.files} & BESIDE)
    if beside:
        yield "# because files of these kinds go with a recording of the same name"
        yield "[companions]"
        yield f"extensions = [{', '.join(map(_text, beside))}]"
        yield ""
    yield "[extensions]"
    for medium in (Medium.VIDEO, Medium.AUDIO, Medium.IMAGE):
        named = sorted(name for name, kind in media.items() if kind is medium and name not in BESIDE)
        if named:
            yield f"{medium.value} = [{', '.join(map(_text, named))}]"


def _device(seen: Capture) -> str:
    """What it calls itself, for a title: printable, short, never empty."""
    said = " ".join(part for part in (seen.manufacturer, seen.model) if part) or seen.label
    return re.sub(r"[^\w .()+-]", "", said)[:60].strip() or "an unnamed device"


def _text(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pattern(pattern: str) -> str:
    """A TOML literal string where it can be one, else a basic one."""
    return f"'{pattern}'" if "'" not in pattern and pattern.isprintable() else _text(pattern)
