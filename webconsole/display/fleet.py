"""What the last stays of each recorder in the dock say of its health: clock, battery, medium.

Invariants: only recorders that somebody may carry are judged (one in repair, lost or retired is seen to already);
each is judged by its last five stays within thirty days, so that a mended one falls silent by itself; an unread
clock and an unknown battery are no finding. Each limit is a judgement, and its reason stands beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import DockedSession
from casework.equipment.event import RecorderState
from casework.evidence.recording import Recording
from ingest.stated import SessionStatement

LOOK_BACK = timedelta(days=30)
STAYS = 5  # a working week
ADRIFT_S = 60.0  # beyond a minute two recordings of one scene no longer fit together
LOST_S = 86_400.0  # a whole day: no drift does that, the clock started anew
EMPTY_PERCENT = 10  # a recorder that comes home with less may have stopped on the way
EMPTY_OFTEN = 3  # of the last stays: once is a long shift
SEEN_TO = (RecorderState.REPAIR.value, RecorderState.LOST.value, RecorderState.RETIRED.value)


@dataclass(frozen=True)
class Stay:
    """One session in a bay as its statement tells of it; None where the recorder did not say."""

    at: datetime
    battery_percent: int | None
    clock_offset_s: float | None  # the recorder's clock minus the station's
    clock_uncertainty_s: float
    unreadable: int  # files that could not be read at all
    damaged: int  # files that could be read in part


@dataclass(frozen=True)
class Carried:
    """A recorder and its last stays, the last first; never none."""

    recorder: RecorderAsset
    stays: tuple[Stay, ...]

    @property
    def drift_s(self) -> float | None:
        """How far its clock was off at the last stay, when that is more than a minute for certain."""
        last = self.stays[0]
        if last.clock_offset_s is None or abs(last.clock_offset_s) - last.clock_uncertainty_s <= ADRIFT_S:
            return None
        return last.clock_offset_s

    @property
    def has_lost_time(self) -> bool:
        """Whether its clock must have started anew."""
        return self.drift_s is not None and abs(self.drift_s) > LOST_S

    @property
    def times_empty(self) -> int:
        """At how many of its stays the battery was nearly empty."""
        return sum(
            one.battery_percent is not None and one.battery_percent <= EMPTY_PERCENT for one in self.stays
        )

    @property
    def is_worn(self) -> bool:
        """Whether its battery does not last the shifts any more."""
        return self.times_empty >= EMPTY_OFTEN

    @property
    def lost_files(self) -> int:
        """Files of its last stays that could not be read, or only in part."""
        return sum(one.unreadable + one.damaged for one in self.stays)


@dataclass(frozen=True)
class FirmwareInUse:
    """A version, and how many recorders ran it when they were last docked."""

    profile: str
    version: str
    recorders: int


def carried(session: Session, now: datetime) -> list[Carried]:
    """Every recorder that docked within thirty days and may be carried, by serial."""
    newest = func.row_number().over(partition_by=DockedSession.recorder_id, order_by=DockedSession.at.desc())
    ranked = (
        select(DockedSession.id, newest.label("place"))
        .where(DockedSession.at >= now - LOOK_BACK, DockedSession.bay.is_not(None))
        .subquery()
    )
    docked = session.scalars(
        select(DockedSession)
        .join(ranked, ranked.c.id == DockedSession.id)
        .where(ranked.c.place <= STAYS)
        .order_by(DockedSession.at.desc())
    ).all()
    by_recorder = defaultdict[str, list[DockedSession]](list)
    for one in docked:
        by_recorder[one.recorder_id].append(one)
    said, damaged = _said(session, docked), _damaged(session, docked)
    recorders = session.scalars(
        select(RecorderAsset)
        .where(RecorderAsset.id.in_(by_recorder), RecorderAsset.state.not_in(SEEN_TO))
        .order_by(RecorderAsset.serial)
    )
    return [
        Carried(one, tuple(_stay(met, said, damaged) for met in by_recorder[one.id])) for one in recorders
    ]


def firmware_in_use(session: Session) -> list[FirmwareInUse]:
    """Every version that a recorder in use ran when it was last docked, by profile, the most common first."""
    count = func.count()
    rows = session.execute(
        select(RecorderAsset.profile, RecorderAsset.firmware, count)
        .where(RecorderAsset.firmware != "", RecorderAsset.state.not_in(SEEN_TO))
        .group_by(RecorderAsset.profile, RecorderAsset.firmware)
        .order_by(RecorderAsset.profile, count.desc(), RecorderAsset.firmware)
    )
    return [FirmwareInUse(*row) for row in rows]


def _said(session: Session, docked: Sequence[DockedSession]) -> dict[str, tuple[int | None, int, int]]:
    """Clock and unreadable files of each session, by its id; read where they lie, not with the whole statement."""
    head = SessionStatement.head
    rows = session.execute(
        select(
            SessionStatement.session_id,
            head[("condition", "clock", "offset_ms")].as_integer(),
            head[("condition", "clock", "uncertainty_ms")].as_integer(),
            head[("counts", "unreadable")].as_integer(),
        ).where(SessionStatement.session_id.in_([one.id for one in docked]))
    )
    return {row[0]: (row[1], row[2] or 0, row[3] or 0) for row in rows}


def _damaged(session: Session, docked: Sequence[DockedSession]) -> dict[str, int]:
    rows = session.execute(
        select(Recording.session_id, func.count())
        .where(Recording.session_id.in_([one.id for one in docked]), Recording.damaged.is_(True))
        .group_by(Recording.session_id)
    )
    return {str(session_id): count for session_id, count in rows}


def _stay(met: DockedSession, said: dict[str, tuple[int | None, int, int]], damaged: dict[str, int]) -> Stay:
    offset_ms, uncertainty_ms, unreadable = said.get(met.id, (None, 0, 0))
    offset_s = None if offset_ms is None else offset_ms / 1000
    return Stay(
        met.at, met.battery_percent, offset_s, uncertainty_ms / 1000, unreadable, damaged.get(met.id, 0)
    )
