"""A recorder's page: its facts, its ledger with the sessions in it, and where names and ledger disagree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.asset import RecorderAsset
from casework.equipment.docked import DockedSession, sessions
from casework.equipment.event import HAND_BACK, HAND_OUT, RECORDER, RecorderEvent, RecorderState, history
from casework.equipment.issue import DOCK_WITHIN_HOURS, Conflict, conflicts
from casework.equipment.recorder import possible
from casework.evidence.quarantine import among
from casework.people.actor import actor_name
from casework.people.officer import Officer, officer_names
from webconsole.display import equipment
from webconsole.display.quarantine import mark_of
from webconsole.gate import may

SHOWN = 100  # lines of a history; the log has all


@dataclass(frozen=True)
class HistoryLine:
    """One line: something that happened, with its session when it was one."""

    mark: equipment.Mark
    event: RecorderEvent
    officer_name: str
    means: str
    by: str  # the account that entered it
    session: DockedSession | None
    outcome: str
    quarantine: equipment.Mark | None  # of a session that was taken in quarantine


@dataclass(frozen=True)
class RecorderPage:
    """Everything on the page."""

    recorder: RecorderAsset
    mark: equipment.Mark
    holder: Officer | None
    assigned: Officer | None
    due_at: datetime | None
    is_overdue: bool
    may_hand_out: bool
    may_take_back: bool
    doings: list[tuple[str, str]]
    history: list[HistoryLine]
    by_hand: list[DockedSession]  # sessions without a bay
    conflicts: list[Conflict]


def recorder_page(session: Session, recorder: RecorderAsset, now: datetime) -> RecorderPage:
    """The page of one recorder."""
    state = RecorderState(recorder.state)
    grace = timedelta(hours=DOCK_WITHIN_HOURS)
    due_at = recorder.shift_ends_at + grace if recorder.shift_ends_at else None
    docked = sessions(session, recorder.id, SHOWN)
    words = equipment.doings()
    return RecorderPage(
        recorder=recorder,
        mark=equipment.state_mark(recorder.state),
        holder=_officer(session, recorder.holder_id),
        assigned=_officer(session, recorder.officer_id),
        due_at=due_at,
        is_overdue=due_at is not None and due_at < now,
        may_hand_out=recorder.is_registered and (state, HAND_OUT) in RECORDER.table,
        may_take_back=(state, HAND_BACK) in RECORDER.table,
        doings=[(event, words[event]) for event in possible(recorder)] if recorder.is_registered else [],
        history=_history(session, recorder, docked),
        by_hand=[one for one in docked if one.bay is None],
        conflicts=conflicts(session, recorder) if may(Permission.RECORDING_LIST) else [],
    )


def _history(session: Session, recorder: RecorderAsset, docked: list[DockedSession]) -> list[HistoryLine]:
    events = history(session, recorder.id, SHOWN)
    names = officer_names(session, {event.officer_number for event in events if event.officer_number})
    by_entry = {one.id: one for one in docked}
    kept = among(session, by_entry)
    words, means, outcomes = equipment.happenings(), equipment.means(), equipment.outcomes()
    return [
        HistoryLine(
            mark=words[event.event],
            event=event,
            officer_name=names.get(event.officer_number or "", ""),
            means=means.get(event.means, "") if event.event == HAND_OUT else "",
            by=_who(session, event),
            session=by_entry.get(event.entry_id),
            outcome=outcomes.get(by_entry[event.entry_id].outcome, "") if event.entry_id in by_entry else "",
            quarantine=mark_of(kept[event.entry_id].standing) if event.entry_id in kept else None,
        )
        for event in events
    ]


def _who(session: Session, event: RecorderEvent) -> str:
    named = actor_name(session, event.actor, event.at) if event.actor else None
    return named.name if named else ""


def _officer(session: Session, officer_id: str | None) -> Officer | None:
    return session.scalar(select(Officer).where(Officer.id == officer_id)) if officer_id else None
