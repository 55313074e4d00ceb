"""What the profile commands print: a profile in words, and what one makes of a device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from devices.capture import Capture
from devices.match import excludes
from devices.profile import Profile
from devices.replay import Reading, Replay

SHOWN = 12  # kinds of files in a report; the rest is counted


def described(profile: Profile) -> Iterator[str]:
    """A profile in words."""
    yield f"{profile.id}  {profile.title.zh_CN} · {profile.title.en}"
    yield f"status     {profile.status}: {profile.basis}"
    yield f"speaks     {_speaks(profile)}"
    for number, pattern in enumerate(profile.match.requires):
        yield f"{'requires' if number == 0 else '':<10} {pattern}"
    for number, pattern in enumerate(profile.match.excludes):
        yield f"{'excludes' if number == 0 else '':<10} {pattern}"
    if profile.match.instead_of:
        yield f"instead of {', '.join(profile.match.instead_of)}"
    if profile.match.general:
        yield "general    stands back for every other whose marks it excludes"
    for number, footage in enumerate(profile.footage):
        yield f"{'footage' if number == 0 else '':<10} {footage.files}"
    yield f"numbers    {profile.sequence.per.value}, from {profile.sequence.start}"
    for pattern in profile.priority.flagged:
        yield f"flagged    {pattern}"
    for medium in ("video", "audio", "image"):
        yield f"{medium:<10} {' '.join(getattr(profile.extensions, medium)) or '-'}"
    yield f"beside     {' '.join(profile.companions.extensions) or '-'}"


def told(result: Replay, seen: Capture, others: Iterable[Profile]) -> Iterator[str]:
    """What the profile makes of a capture: whether it recognises it and why, what it takes and leaves."""
    verdict = "recognises" if result.is_recognised else "does not recognise"
    yield f"{result.profile.id} {verdict} this device ({seen.source}, {len(seen.files)} files), because"
    yield from (f"  {reason}" for reason in result.reasons)
    for other in others:
        if other.id != result.profile.id:
            relation = "excluded" if excludes(other, result.profile) else "NOT EXCLUDED"
            yield f"  {other.id} recognises it too ({relation})"
    yield from _taken("taken as footage", result.footage)
    yield from _taken("taken as other", result.other)
    yield from _taken("left and counted, because [ignore] names it", result.ignored)
    yield f"first, because flagged: {len(result.flagged)}"
    reasons = Counter(reason for _, reason in result.refused)
    yield from (f"never opened, because {reason}: {count}" for reason, count in sorted(reasons.items()))
    if seen.left_out:
        yield f"not in the capture, because there were too many: {seen.left_out}"


def _taken(what: str, readings: list[Reading]) -> Iterator[str]:
    yield f"{what}: {len(readings)}"
    kinds: dict[tuple[str, ...], list[Reading]] = {}
    for reading in readings:
        kinds.setdefault(_facts(reading), []).append(reading)
    for number, (facts, alike) in enumerate(kinds.items()):
        if number == SHOWN:
            yield f"  ... and {len(kinds) - SHOWN} more kinds"
            return
        yield f"  {len(alike):>6}  {alike[0].path}  [{', '.join(facts)}]{_values(alike[0])}"


def _facts(reading: Reading) -> tuple[str, ...]:
    """Which facts a name gives, without their values."""
    facts = reading.facts
    given = (
        ("serial", facts.serial), ("officer", facts.officer_number), ("start", facts.started_at),
        ("part", facts.part), ("sequence", facts.sequence), ("channel", facts.channel),
        ("flagged", facts.flagged or None), ("companion", reading.companion_of),
    )  # fmt: skip
    return (facts.media.value, *(name for name, value in given if value is not None))


def _values(reading: Reading) -> str:
    facts = reading.facts
    given = {
        "serial": facts.serial, "officer": facts.officer_number, "start": facts.started_at,
        "number": facts.sequence if facts.sequence is not None else facts.part, "channel": facts.channel,
        "with": reading.companion_of,
    }  # fmt: skip
    said = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
    return f"  e.g. {said}" if said else ""


def _speaks(profile: Profile) -> str:
    if profile.serial is not None:
        return "a serial line first, then a disk"
    return "MTP" if profile.mtp is not None else "a disk or folder"
