"""Which profile a device belongs to: exactly one, or none, or an error that names those that claim it.

Invariants: a device is never read under a guess, and what decides is written in the profiles alone, in no order.
A profile whose rules all hold matches. Two that match make the device ambiguous. So does a mixture that two
profiles would know were it not for the other (each excludes what the other requires): it is refused with both
names rather than as unknown. A profile that only stands back (it excludes the other's marks, and the other does
not exclude its own) is no rival: `generic-dcim` beside `enforcement-storage`. The one preference there is,
`instead_of`, is written in the profile that takes the place and names the one that gives it up.

A device that speaks MTP is only ever matched with profiles that have an `[mtp]` table, any other only with those that
have none; one that was unlocked over its serial port belongs to the profile that unlocked it, or to none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from devices.error import AmbiguousProfileError
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
    """The one profile of this device; None when no profile fits. Raises AmbiguousProfileError."""
    concerned = [profile for profile in profiles if may_concern(profile, layout)]
    known = [profile for profile in concerned if _requires_hold(profile.match, layout)]
    fitting = [profile for profile in known if matches(profile.match, layout)]
    fitting = [one for one in fitting if not any(one.id in other.match.instead_of for other in fitting)]
    claiming = fitting or rivals(known)
    if len(claiming) > 1:
        names = ", ".join(sorted(profile.id for profile in claiming))
        raise AmbiguousProfileError(device=device, profiles=names)
    return fitting[0] if fitting else None


def rivals(known: Sequence[Profile]) -> list[Profile]:
    """Of profiles whose requirements all hold, those that do not merely stand back for another."""
    return [one for one in known if not any(_stands_back(one, other) for other in known)]


def excludes(one: Profile, other: Profile) -> bool:
    """Whether `one` can be seen, from the two files alone, never to be taken for a device that `other` fits."""
    return one.id in other.match.instead_of or bool(set(one.match.excludes) & set(other.match.requires))


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
    return excludes(one, other) and not excludes(other, one)


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
