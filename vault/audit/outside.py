"""The uncovered window: from when on the machine's owner alone vouches for the log, in the words of every report.

Invariant: only evidence that was proven counts, and of that what binds the owner most: the longest log, and of several
statements over it the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SINCE = (
    "The machine's owner could have rewritten entries since {at}: that is the last outside evidence ({name}, over the "
    "first {size} entries), {age} before this was written."
)
NEVER = (
    "The machine's owner could have rewritten entries since the vault was made: there is no outside evidence."
)


@dataclass(frozen=True)
class OutsideEvidence:
    """One stored statement of somebody outside that the log of `size` entries had this root at a time.

    `at` is the authority's or the witness's own clock; only where `trusted` was anything about it proven.
    """

    size: int
    root: bytes
    at: datetime
    kind: str  # "timestamp" or "cosignature"
    name: str
    file: str  # relative to the vault
    trusted: bool
    why: str = ""  # why it is not trusted


def last_evidence(evidence: Iterable[OutsideEvidence]) -> OutsideEvidence | None:
    """The trusted statement over the longest log; of several over one size the earliest, which binds most."""
    trusted = [one for one in evidence if one.trusted]
    return max(trusted, key=lambda one: (one.size, -one.at.timestamp()), default=None)


def uncovered(evidence: Iterable[OutsideEvidence], now: datetime) -> str:
    """The sentence that every report and receipt carries: from when on the owner's word alone stands (English)."""
    template, parameters = uncovered_parts(evidence, now)
    return template.format(**parameters)


def uncovered_parts(evidence: Iterable[OutsideEvidence], now: datetime) -> tuple[str, dict[str, object]]:
    """The sentence's template and what to fill in, for whoever translates it."""
    last = last_evidence(evidence)
    if last is None:
        return NEVER, {}
    at = last.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return SINCE, {"at": at, "name": last.name, "size": last.size, "age": _age(now - last.at)}


def _age(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds()) // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"
