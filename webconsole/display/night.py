"""Night at the dock: when the board is dim and makes no sound.

The hours are the station's own, by its clock and zone, so that a kiosk with a wrong clock is not loud at three.
A night that crosses midnight is the usual one; equal hours mean that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time

DARK_FROM, DARK_UNTIL = time(22), time(6)  # the quiet hours of GB 22337, environmental noise in communities


@dataclass(frozen=True)
class Night:
    """From when until when, by the station's wall clock; `begins` belongs to it, `ends` does not."""

    begins: time = DARK_FROM
    ends: time = DARK_UNTIL

    @classmethod
    def of(cls, settings: object) -> Night:
        """The hours of the dock's settings (`night_from`, `night_until`), or the usual ones."""
        begins, ends = (getattr(settings, name, None) for name in ("night_from", "night_until"))
        return cls(
            begins if isinstance(begins, time) else DARK_FROM, ends if isinstance(ends, time) else DARK_UNTIL
        )

    def holds(self, here: datetime) -> bool:
        """Whether it is night at that local moment."""
        now = here.time()
        if self.begins <= self.ends:
            return self.begins <= now < self.ends
        return now >= self.begins or now < self.ends
