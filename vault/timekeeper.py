"""The timekeeper: notices that the station's clock was set, and puts it into words for the log.

An entry's time is a statement of the station's clock. When that clock moves otherwise than time does (CLOCK_BOOTTIME,
which nobody sets and which runs on through a suspend), or stands before the newest entry at a start, whoever reads the
log later must know from which entry on. Order never depends on it: an entry's place is its index. Periods do: time that
only a set clock vouches for makes no recording older (vault.retention.chronicle).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import new_id, stamp, utc_now
from vault.formats.entry import Leaf

CLOCK = "clock"
ALLOWANCE = timedelta(
    seconds=60
)  # far above what time synchronisation slews, far below what anybody could abuse


@dataclass(frozen=True)
class Jump:
    """The clock showed `after` where `before` was to be expected."""

    before: datetime
    after: datetime

    def statement(self, by: str, vault: str) -> Leaf:
        """The entry that says so, about the vault; its facts are two times."""
        facts = {"before": stamp(self.before), "after": stamp(self.after)}
        return Leaf(id=new_id(), type=CLOCK, time=stamp(self.after), by=by, about=(vault,), facts=facts)


class Timekeeper:
    """Compares the clock with time itself, look by look. Two readings of a clock each; no I/O."""

    def __init__(
        self, wall: Callable[[], datetime] = utc_now, steady: Callable[[], float] | None = None
    ) -> None:
        self._wall = wall
        self._steady = steady or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._expected_from = self._wall(), self._steady()

    def start(self, newest: datetime) -> Jump | None:
        """At a start: whether the clock stands before the newest entry of the log.

        One that was set forward while the station was off looks like a station that was off: nothing tells them apart.
        """
        now = self._wall()
        return Jump(newest, now) if newest - now > ALLOWANCE else None

    def look(self) -> Jump | None:
        """Whether the clock was set since the last look; each jump is told once."""
        wall, steady = self._expected_from
        now, passed = self._wall(), self._steady()
        self._expected_from = now, passed
        expected = wall + timedelta(seconds=passed - steady)
        return Jump(expected, now) if abs(now - expected) > ALLOWANCE else None
