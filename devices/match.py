"""Which profile a device belongs to: exactly one, or none, or an error that names those that claim it.

Invariants: a device is never read under a guess, and what decides is written in the profiles alone, in no order.
A profile whose rules all hold matches. Two that match make the device ambiguous. So does a mixture: a profile that
finds all its own marks and is ruled out only by the marks of another is refused aloud with that other's name, and
never passed over. That is how a station's own profile, which excludes the shipped ones' marks, meets a shipped one
that has never heard of it. Two written words say otherwise: `instead_of`, in the profile that takes the place of the
ones it names, and `general`, in a profile that stands back without a word: `generic-dcim` beside
`enforcement-storage`.

A device that speaks MTP is only ever matched with profiles that have an `[mtp]` table, any other only with those that
have none; one that was unlocked over its serial port belongs to the profile that unlocked it, or to none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from devices.error import AmbiguousProfileError, MixedMarksError
from devices.profile import Profile
from devices.profile_table import Match
from devices.recorder import Identity


class Speaks(StrEnum):
    """How a device shows its files."""

    STORAGE = "storage"
    MTP = "mtp"


@dataclass(frozen=True)
class Layout:
    """What is known before a file is opened: claims, and shown paths (`/` ends a folder's).

    `unlocked_by` is the id of the profile whose serial exchange opened the device. MTP says `manufacturer` and
    `model`; its paths begin with the storage's name.
    """

    identity: Identity
    paths: Sequence[str]
    speaks: Speaks = Speaks.STORAGE
    manufacturer: str = ""
    model: str = ""
    unlocked_by: str | None = None


def matches(rule: Match, layout: Layout) -> bool:
    """Whether every part of the rule holds for this device."""
    return _requires_hold(rule, layout) and not any(
        _any_fits(pattern, layout.paths) for pattern in rule.excludes
    )


def recognises(profile: Profile, layout: Layout) -> bool:
    """Whether the profile, alone, would take this device."""
    return may_concern(profile, layout) and matches(profile.match, layout)


def match(profiles: Iterable[Profile], layout: Layout, device: str) -> Profile | None:
    """The one profile of this device; None when no profile fits. Raises AmbiguousProfileError or MixedMarksError."""
    concerned = [profile for profile in profiles if may_concern(profile, layout)]
    known = knowing(concerned, layout)
    fitting = [profile for profile in known if matches(profile.match, layout)]
    fitting = [one for one in fitting if not any(one.id in other.match.instead_of for other in fitting)]
    if len(fitting) > 1:
        raise AmbiguousProfileError(device=device, profiles=_names(fitting))
    claiming = [*fitting, *passed_over(known, fitting)] if fitting else rivals(known)
    if len(claiming) > 1:
        raise MixedMarksError(device=device, profiles=_names(claiming))
    return fitting[0] if fitting else None


def knowing(profiles: Iterable[Profile], layout: Layout) -> list[Profile]:
    """The profiles that find all their own marks on a device, whatever else is on it."""
    return [one for one in profiles if may_concern(one, layout) and _requires_hold(one.match, layout)]


def passed_over(known: Sequence[Profile], fitting: Sequence[Profile]) -> list[Profile]:
    """Profiles that know the device and are ruled out by the very marks of one that fits, without standing back."""
    return [
        one
        for one in known
        if one not in fitting and any(_marks_ruled_out(one, other) for other in fitting)
        and not any(_stands_back(one, other) for other in fitting)
    ]  # fmt: skip


def rivals(known: Sequence[Profile]) -> list[Profile]:
    """Of profiles whose requirements all hold, those that do not merely stand back for another."""
    return [one for one in known if not any(_stands_back(one, other) for other in known)]


def excludes(one: Profile, other: Profile) -> bool:
    """Whether `one` can be seen, from the two files alone, never to be taken for a device that `other` fits."""
    return one.id in other.match.instead_of or _marks_ruled_out(one, other)


def may_concern(profile: Profile, layout: Layout) -> bool:
    """Whether the profile is meant for a device that speaks as this one does."""
    if layout.unlocked_by is not None:
        return profile.id == layout.unlocked_by
    if profile.serial is not None:
        return False  # such a recorder shows no files before it was unlocked
    if profile.mtp is None:
        return layout.speaks is Speaks.STORAGE
    identity = layout.identity
    return layout.speaks is Speaks.MTP and profile.mtp.claims(
        vendor_id=identity.vendor_id, product_id=identity.product_id,
        manufacturer=layout.manufacturer, model=layout.model,
    )  # fmt: skip


def _stands_back(one: Profile, other: Profile) -> bool:
    is_named = one.id in other.match.instead_of
    return is_named or (one.match.general and _marks_ruled_out(one, other) and not excludes(other, one))


def _marks_ruled_out(one: Profile, other: Profile) -> bool:
    return bool(set(one.match.excludes) & set(other.match.requires))


def _names(profiles: Iterable[Profile]) -> str:
    return ", ".join(sorted(profile.id for profile in profiles))


def _requires_hold(rule: Match, layout: Layout) -> bool:
    return (
        _usb_fits(rule, layout.identity)
        and (not rule.labels or any(re.fullmatch(label, layout.identity.label) for label in rule.labels))
        and all(_any_fits(pattern, layout.paths) for pattern in rule.requires)
    )


def _usb_fits(rule: Match, identity: Identity) -> bool:
    return not rule.usb or any(
        usb.vendor == identity.vendor_id and usb.product in {None, identity.product_id} for usb in rule.usb
    )


def _any_fits(pattern: str, paths: Sequence[str]) -> bool:
    compiled = re.compile(pattern)
    return any(compiled.fullmatch(path) for path in paths)
