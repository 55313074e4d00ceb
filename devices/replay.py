"""A device read under a profile without reading it: what would be taken, as what, and why.

The same matching and the same name reading as in a bay, over a capture. It also holds the rule that `tested`
is earned: by a capture of a physical device, in tests/captures, that replays as it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import Exit
from devices.capture import Capture, read_capture
from devices.companion import companions
from devices.error import DeviceError
from devices.footage import NameFacts, is_ignored, read_name
from devices.match import excludes, matches, may_concern, recognises
from devices.profile import Profile


class UnprovenProfileError(DeviceError):
    """A profile says `tested` and no capture of a physical device stands behind it."""

    code = "devices.unproven_profile"
    sentence = (
        "The profile '{profile}' says status = \"tested\", but no capture of a physical device in {captures} replays "
        "under it. Nothing was opened; add the capture, or say: {allowed}."
    )
    exit_code = Exit.WRONG_USE


@dataclass(frozen=True)
class Reading:
    """One file under a profile: `ignored`, or its facts; `companion_of` is the file that it goes with."""

    path: str
    size: int
    facts: NameFacts
    ignored: bool = False
    companion_of: str | None = None


@dataclass(frozen=True)
class Replay:
    """What a profile makes of a capture."""

    profile: Profile
    is_recognised: bool
    reasons: tuple[str, ...]
    readings: tuple[Reading, ...]
    refused: tuple[tuple[str, str], ...]

    @property
    def footage(self) -> list[Reading]:
        """What is taken as footage."""
        return [one for one in self.readings if not one.ignored and one.facts.is_footage]

    @property
    def other(self) -> list[Reading]:
        """What is taken, and is no footage by its name."""
        return [one for one in self.readings if not one.ignored and not one.facts.is_footage]

    @property
    def ignored(self) -> list[Reading]:
        """What is left on the device and only counted."""
        return [one for one in self.readings if one.ignored]

    @property
    def flagged(self) -> list[Reading]:
        """What goes first."""
        return [one for one in self.readings if one.facts.flagged and not one.ignored]


def replay(profile: Profile, seen: Capture) -> Replay:
    """Read the capture under the profile, whether or not the profile recognises it."""
    return Replay(
        profile,
        recognises(profile, seen.layout),
        tuple(_reasons(profile, seen)),
        tuple(_readings(profile, seen)),
        tuple((entry.path, entry.refused) for entry in seen.entries if entry.refused),
    )


def is_as_expected(result: Replay, seen: Capture) -> bool:
    """Whether a capture that says what it expects finds exactly that; one that expects nothing is as expected."""
    if seen.expect is None or seen.expect.profile != result.profile.id:
        return seen.expect is None
    counts = (len(result.footage), len(result.other), len(result.ignored), len(result.flagged))
    wanted = (seen.expect.footage, seen.expect.other, seen.expect.ignored, seen.expect.flagged)
    return result.is_recognised and counts == wanted


def may_meet(profile: Profile, others: Iterable[Profile]) -> list[Profile]:
    """Profiles that some device might fit together with this one: neither file rules the other out."""
    return [
        other
        for other in others
        if other.id != profile.id
        and (other.mtp is None, other.serial is None) == (profile.mtp is None, profile.serial is None)
        and not excludes(profile, other)
        and not excludes(other, profile)
    ]


def prove(profile: Profile, captures: Sequence[Capture], where: Path | str) -> None:
    """Raises UnprovenProfileError for a `tested` profile without a replaying capture of a physical device."""
    if profile.status != "tested":
        return
    behind = [
        one
        for one in captures
        if one.source == "physical" and one.expect and one.expect.profile == profile.id
    ]
    if not any(is_as_expected(replay(profile, one), one) for one in behind):
        raise UnprovenProfileError(profile=profile.id, captures=where, allowed="experimental, reported")


def captures_in(directory: Path) -> list[Capture]:
    """All captures of a directory, by name; none where there is no such directory. Raises CaptureError."""
    return [read_capture(path) for path in sorted(directory.glob("*.json"))]


def _readings(profile: Profile, seen: Capture) -> Iterable[Reading]:
    pairs = companions(profile, (entry.path for entry in seen.files))
    left_out = {e.path for e in seen.entries if e.path.endswith("/") and is_ignored(profile, e.path)}
    for entry in seen.files:
        folders = {entry.path[: n + 1] for n, letter in enumerate(entry.path) if letter == "/"}
        ignored = bool(folders & left_out) or is_ignored(profile, entry.path, entry.size)
        facts = read_name(profile, entry.path)
        yield Reading(entry.path, entry.size, facts, ignored, pairs.get(entry.path))


def _reasons(profile: Profile, seen: Capture) -> Iterable[str]:
    """Why the profile does or does not recognise it, in its own keys."""
    layout = seen.layout
    if not may_concern(profile, layout):
        yield f"it is not meant for a device that speaks {layout.speaks} and names itself so"
    for n, pattern in enumerate(profile.match.requires):
        holds = matches(profile.match.model_copy(update=_only(requires=(pattern,))), layout)
        yield f"match.requires[{n}] fits {'a path' if holds else 'no path'}: {pattern}"
    for n, pattern in enumerate(profile.match.excludes):
        if matches(profile.match.model_copy(update=_only(requires=(pattern,))), layout):
            yield f"match.excludes[{n}] fits a path, which rules the device out: {pattern}"
    for key in ("usb", "labels"):
        rule = getattr(profile.match, key)
        if rule and not matches(profile.match.model_copy(update=_only(**{key: rule})), layout):
            yield f"match.{key} does not fit this device"


def _only(**kept: object) -> dict[str, object]:
    """Match's fields with nothing in them but what is kept."""
    return {
        "usb": (),
        "labels": (),
        "requires": (),
        "excludes": (),
        "instead_of": (),
        "general": False,
    } | kept
