"""The tables of a profile file, one class each; docs/operations/profiles.md explains them to whoever writes one.

Invariant: data only. A table can say what a name or a device looks like and nothing else, so a profile from a
stranger can at worst leave a recorder unrecognised or a fact unread; it can never leave a file of footage behind
unnamed, because what a profile ignores is counted and everything else is taken.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator, model_validator

from devices.recorder import Medium
from devices.table import Extension, Pattern, ProfileId, Table, UsbId


def _reads_back(form: str) -> str:
    try:
        back = datetime.strptime(PROBE.strftime(form), form)  # noqa: DTZ007  # a recorder's own clock has no zone
    except ValueError as cause:
        raise ValueError(f"is not a form of strptime: {cause}") from cause
    if back.date() != PROBE.date():
        raise ValueError("says no date; allowed: strptime's letters, such as %Y%m%d%H%M%S")
    return form


PROBE = datetime(2026, 11, 23, 18, 15, 42)  # noqa: DTZ001  # every part of it differs from every other
StartForm = Annotated[str, Field(max_length=60), AfterValidator(_reads_back)]
FIELDS = frozenset({"serial", "officer", "start", "part", "sequence", "channel"})


class Title(Table):
    """The family's name for people."""

    en: Annotated[str, Field(min_length=1, max_length=80)]
    zh_CN: Annotated[str, Field(min_length=1, max_length=80)]  # noqa: N815  # a language tag


class UsbMatch(Table):
    """A USB vendor id and, where it tells more, a product id: four lower-case hexadecimal digits."""

    vendor: UsbId
    product: UsbId | None = None


class Match(Table):
    """When a device is of this family; every rule that is given must hold.

    `requires`: each pattern fits the whole of at least one path; `excludes`: no pattern fits any path.
    Paths are relative, with `/`; a directory ends in `/`. `instead_of`: ids of profiles that stand back where this
    one fits, so that a station can name its own recorders more closely than a general profile does. `general`: this
    profile stands back without a word for every other whose marks it excludes.
    """

    usb: tuple[UsbMatch, ...] = ()
    labels: tuple[Pattern, ...] = ()
    requires: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    excludes: tuple[Pattern, ...] = ()
    instead_of: tuple[ProfileId, ...] = ()
    general: bool = False


class Footage(Table):
    """Files that are footage: a pattern for the whole path, whose named groups are facts in the name.

    `media` and `start` stand in for what the extension and `[names]` say, where this form of name differs.
    """

    files: Pattern
    media: Medium | None = None
    start: StartForm | None = None

    @field_validator("files")
    @classmethod
    def _known_groups(cls, value: str) -> str:
        unknown = set(re.compile(value).groupindex) - FIELDS
        if unknown:
            raise ValueError(f"names the groups {sorted(unknown)}; allowed: {sorted(FIELDS)}")
        return value


class NameFields(Table):
    """How the facts in a name are written."""

    start: StartForm = "%Y%m%d%H%M%S"
    zone: str = "station"
    unset_officers: tuple[str, ...] = ()
    unset_serials: tuple[str, ...] = ()

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value != "station":
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError) as cause:
                raise ValueError("allowed: 'station' or an IANA zone such as 'Asia/Shanghai'") from cause
        return value


class Extensions(Table):
    """Which extensions (lower case, no dot) are which kind; anything else is `other`."""

    video: tuple[Extension, ...] = ()
    audio: tuple[Extension, ...] = ()
    image: tuple[Extension, ...] = ()


class Ignore(Table):
    """What is left out and only counted: the rubbish that computers leave on cards. Patterns fit the whole path.

    `small_files` are left out up to 4096 bytes, as AppleDouble files are; a larger one of such a name is taken.
    Folders into which people or repairs move footage (recycle bins, LOST.DIR) are never named here.
    """

    files: tuple[Pattern, ...] = ()
    small_files: tuple[Pattern, ...] = ()
    directories: tuple[Pattern, ...] = ()


class Priority(Table):
    """What goes first. `flagged`: patterns of paths that the recorder marks as important or locked."""

    flagged: tuple[Pattern, ...] = ()


class Per(StrEnum):
    """What a running number counts within; it begins again with the next one."""

    DAY = "day"
    RECORDER = "recorder"
    OFFICER_DAY = "officer-day"
    NONE = "none"


class Sequence(Table):
    """How the running number of a name counts: the group `sequence`, or `part` where a name has only that.

    It begins at `start` in each `per`; after `wrap` comes `start` again, without `wrap` it never does. `none`: the
    numbers tell nothing, and no gap is looked for.
    """

    per: Per = Per.NONE
    start: Annotated[int, Field(ge=0)] = 1
    wrap: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _wraps_after_its_start(self) -> Self:
        if self.wrap is not None and self.wrap <= self.start:
            raise ValueError(f"wrap: allowed: a number above start ({self.start})")
        return self


class Companions(Table):
    """Files that go with a recording of the same folder and stem: GPS tracks, thumbnails, the JPEG of a RAW picture.

    A companion is sealed as a recording of its own; the pair is only told (`devices/companion.py`).
    """

    extensions: tuple[Extension, ...] = ()
