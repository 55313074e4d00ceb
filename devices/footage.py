"""What a name on the card says: serial, officer, start and part, read by the profile's patterns.

A name is a claim of the recorder's firmware. What does not parse is left out rather than guessed; the file is
sealed all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from devices.profile import SMALL, Footage, Profile
from devices.recorder import Medium


@dataclass(frozen=True)
class NameFacts:
    """The facts in one name; `started_at` is the recorder's local time without a zone."""

    media: Medium = Medium.OTHER
    is_footage: bool = False
    serial: str | None = None
    officer_number: str | None = None
    started_at: datetime | None = None
    part: int | None = None


def read_name(profile: Profile, shown_path: str) -> NameFacts:
    """What the profile reads from this path; facts of `other` kind when no footage pattern fits."""
    media = profile.medium_of(shown_path.rpartition(".")[2])
    for footage in profile.footage:
        found = re.fullmatch(footage.files, shown_path)
        if found:
            return _facts(profile, footage, found.groupdict(), media)
    return NameFacts(media=media)


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
        started_at=_moment(groups.get("start"), names.start),
        part=_number(groups.get("part")),
    )


def _moment(text: str | None, pattern: str) -> datetime | None:
    """The local time in a name; None for one that no calendar has."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, pattern)  # noqa: DTZ007  # the recorder's own clock has no zone
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
