"""What a name on the card says: serial, officer, start, number, mark, read by the profile's patterns.

A name is a claim of the recorder's firmware. What does not parse is left out rather than guessed; the file is
sealed all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from devices.profile import SMALL, Profile
from devices.profile_table import Footage, Per
from devices.recorder import Medium

MAX_DIGITS = 9  # a longer number is no counter of a recorder, and would not fit the database's integers


@dataclass(frozen=True)
class NameFacts:
    """The facts in one name; `started_at` is the recorder's local time without a zone."""

    media: Medium = Medium.OTHER
    is_footage: bool = False
    serial: str | None = None
    officer_number: str | None = None
    started_at: datetime | None = None
    part: int | None = None
    sequence: int | None = None  # the running number, as `[sequence]` says that it counts
    channel: str | None = None  # which lens of several, in the recorder's own letter
    flagged: bool = False  # marked as important on the recorder


def read_name(profile: Profile, shown_path: str) -> NameFacts:
    """What the profile reads from this path; facts of `other` kind when no footage pattern fits."""
    media = profile.medium_of(shown_path.rpartition(".")[2])
    flagged = is_flagged(profile, shown_path)
    for footage in profile.footage:
        found = re.fullmatch(footage.files, shown_path)
        if found:
            return replace(_facts(profile, footage, found.groupdict(), media), flagged=flagged)
    return NameFacts(media=media, flagged=flagged)


def is_flagged(profile: Profile, shown_path: str) -> bool:
    """Whether the recorder marks this file as important, by its name or its folder."""
    return any(re.fullmatch(pattern, shown_path) for pattern in profile.priority.flagged)


def is_ignored(profile: Profile, shown_path: str, size: int = 0) -> bool:
    """Whether the profile leaves this path out altogether; a directory's path ends in `/`."""
    ignore = profile.ignore
    if shown_path.endswith("/"):
        patterns = ignore.directories
    else:
        patterns = ignore.files + (ignore.small_files if size <= SMALL else ())
    return any(re.fullmatch(pattern, shown_path.rstrip("/")) for pattern in patterns)


def _facts(profile: Profile, footage: Footage, groups: dict[str, str | None], media: Medium) -> NameFacts:
    names = profile.names
    serial, officer = groups.get("serial"), groups.get("officer")
    return NameFacts(
        media=footage.media or media,
        is_footage=True,
        serial=None if serial in names.unset_serials else serial,
        officer_number=None if officer in names.unset_officers else officer,
        started_at=_moment(groups.get("start"), footage.start or names.start),
        part=_number(groups.get("part")),
        sequence=_running_number(profile, groups),
        channel=groups.get("channel"),
    )


def _running_number(profile: Profile, groups: dict[str, str | None]) -> int | None:
    """The group `sequence`; else `part`, where the profile says that numbers run on."""
    if "sequence" in groups or profile.sequence.per is Per.NONE:
        return _number(groups.get("sequence"))
    return _number(groups.get("part"))


def _moment(text: str | None, pattern: str) -> datetime | None:
    """The local time in a name; None for one that no calendar has."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007  # the recorder's own clock has no zone
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> int | None:
    """A decimal number of up to MAX_DIGITS; None for anything else."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
        return None
    return int(text)
