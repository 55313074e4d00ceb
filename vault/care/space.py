"""Room: how much there is, what is promised to copies under way, and for how many days it will do.

The days come from what the log says was sealed over the last weeks, and are None while that is too little to tell.
Lack of room is answered with a larger disk, or by carrying recorders elsewhere, and never by an earlier disposal.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import utc_now
from vault.care.fixity import FixityRow

LOOK_BACK = timedelta(days=28)  # whole weeks, because weekends differ
LEAST_HISTORY = timedelta(days=7)  # below this the days until full would be a guess
SOON_DAYS = 30.0  # a disk has to be ordered, approved and put in


@dataclass(frozen=True)
class Space:
    """The vault's file system at one moment, in bytes. `free` is what a process may still use.

    `sealed_per_day` and `days_until_full` are None while there is less than a week of history, and
    `days_until_full` also when nothing was sealed in four weeks.
    """

    total: int
    free: int
    reserve: int
    promised: int
    history_days: float
    sealed_per_day: float | None
    days_until_full: float | None

    @property
    def room(self) -> int:
        """Bytes that new footage may take: what is free, without the reserve and what copies under way will need."""
        return max(0, self.free - self.reserve - self.promised)

    @property
    def is_short(self) -> bool:
        """Whether somebody should see to more storage now."""
        return self.room == 0 or (self.days_until_full is not None and self.days_until_full < SOON_DAYS)


def measure(
    vault: Path, session: Session, *, reserve: int, promised: int = 0, now: datetime | None = None
) -> Space:
    """Look at the vault's file system and at the history; `promised` is what copies under way still need.

    Raises OSError when the file system cannot be asked.
    """
    facts = os.statvfs(vault)
    free = facts.f_bavail * facts.f_frsize
    history, per_day = _history(session, now or utc_now())
    room = max(0, free - reserve - promised)
    days = room / per_day if per_day else None
    return Space(facts.f_blocks * facts.f_frsize, free, reserve, promised, history, per_day, days)


def _history(session: Session, now: datetime) -> tuple[float, float | None]:
    """Days that the average is taken over, and bytes sealed on each of them."""
    first = session.scalar(select(func.min(FixityRow.sealed_at)))
    if first is None:
        return 0.0, None
    age = max(timedelta(), now - first)
    if age < LEAST_HISTORY:
        return age / timedelta(days=1), None
    stretch = min(age, LOOK_BACK)
    recent = FixityRow.sealed_at >= now - stretch, FixityRow.sealed_at <= now
    sealed = session.scalar(select(func.coalesce(func.sum(FixityRow.bytes), 0)).where(*recent)) or 0
    days = stretch / timedelta(days=1)
    return days, float(sealed) / days
