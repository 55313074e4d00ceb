"""Which profile a device belongs to: exactly one, or none, or an error that names both.

Invariant: a device is never read under a guess. Two profiles that claim it make it ambiguous, and nothing is
opened; there is no order of preference that could hide a wrong profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from devices.error import AmbiguousProfileError
from devices.profile import Match, Profile
from devices.recorder import Identity


@dataclass(frozen=True)
class Layout:
    """What is known before a file is opened: claims, and shown paths (`/` ends a folder's)."""

    identity: Identity
    paths: Sequence[str]


def matches(rule: Match, layout: Layout) -> bool:
    """Whether every part of the rule holds for this device."""
    return (
        _usb_fits(rule, layout.identity)
        and (not rule.labels or any(re.fullmatch(label, layout.identity.label) for label in rule.labels))
        and all(_any_fits(pattern, layout.paths) for pattern in rule.requires)
        and not any(_any_fits(pattern, layout.paths) for pattern in rule.excludes)
    )


def match(profiles: Iterable[Profile], layout: Layout, device: str) -> Profile | None:
    """The one profile of this device; None when no profile fits. Raises AmbiguousProfileError."""
    fitting = [profile for profile in profiles if matches(profile.match, layout)]
    if len(fitting) > 1:
        names = ", ".join(profile.id for profile in fitting)
        raise AmbiguousProfileError(device=device, profiles=names)
    return fitting[0] if fitting else None


def _usb_fits(rule: Match, identity: Identity) -> bool:
    return not rule.usb or any(
        usb.vendor == identity.vendor_id and usb.product in {None, identity.product_id} for usb in rule.usb
    )


def _any_fits(pattern: str, paths: Sequence[str]) -> bool:
    compiled = re.compile(pattern)
    return any(compiled.fullmatch(path) for path in paths)
