"""The register of recorders as a list: what is overdue first, then by serial, narrowed as its address says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from flask import url_for
from flask_babel import gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.equipment.asset import RecorderAsset
from casework.equipment.event import RecorderState
from casework.equipment.issue import DOCK_WITHIN_HOURS, overdue
from casework.equipment.recorder import PAGE_SIZE, RecorderFilter, list_recorders
from casework.people.officer import Officer
from webconsole.display import equipment, wording
from webconsole.forms.field import Form

SERIAL_LIMIT = 64
FIRMWARE_LIMIT = 64
HOUR_S = 3600


@dataclass(frozen=True)
class RecorderLine:
    """A recorder on the list."""

    recorder: RecorderAsset
    mark: equipment.Mark
    holder: Officer | None
    late: str  # how long it is overdue, in words; empty when it is not


@dataclass(frozen=True)
class Listing:
    """One page of the register."""

    lines: list[RecorderLine]
    late: int  # how many are overdue, shown or not
    words: str
    state: str
    firmware: str
    choices: wording.Choices
    is_narrowed: bool
    is_later_page: bool
    first_url: str
    next_url: str | None


def recorder_list(session: Session, form: Form, now: datetime) -> Listing:
    """The page that the address asks for."""
    words, state = form.text("q", limit=200, required=False), form.typed("state")
    firmware = form.text("firmware", limit=FIRMWARE_LIMIT, required=False)
    after = form.text("after", limit=SERIAL_LIMIT, required=False)
    wanted = _wanted(words, state, firmware, now)
    late = {each.recorder.id: each.late for each in overdue(session, now)}
    found = list_recorders(session, wanted, after=after, limit=PAGE_SIZE + 1)
    first = [] if after else _overdue_first(session, wanted, late, now)
    given: dict[str, Any] = {
        name: value for name, value in (("q", words), ("state", state), ("firmware", firmware)) if value
    }
    last = found[PAGE_SIZE - 1].serial if len(found) > PAGE_SIZE else None
    return Listing(
        lines=_lines(session, [*first, *(one for one in found[:PAGE_SIZE] if one.id not in late)], late),
        late=len(late), words=words, state=state, firmware=firmware, choices=_choices(),
        is_narrowed=bool(given), is_later_page=bool(after), first_url=url_for("recorders.show", **given),
        next_url=url_for("recorders.show", **given, after=last) if last else None,
    )  # fmt: skip


def _wanted(words: str, state: str, firmware: str, now: datetime) -> RecorderFilter:
    return RecorderFilter(
        words=words,
        states=[RecorderState(state)] if state in set(RecorderState) else [],
        is_registered=False if state == "seen" else None,
        firmware=firmware,
        overdue_before=_overdue_since(now) if state == "overdue" else None,
    )


def _overdue_first(
    session: Session, wanted: RecorderFilter, late: dict[str, timedelta], now: datetime
) -> list[RecorderAsset]:
    """What is overdue and fits the filter, the longest first; later pages leave these out."""
    found = list_recorders(session, replace(wanted, overdue_before=_overdue_since(now)), limit=len(late))
    return sorted(found, key=lambda one: late.get(one.id, timedelta()), reverse=True)


def _overdue_since(now: datetime) -> datetime:
    return now - timedelta(hours=DOCK_WITHIN_HOURS)


def _choices() -> wording.Choices:
    return [
        ("overdue", gettext("Overdue")),
        ("seen", gettext("Seen, not registered")),
        *equipment.states(),
    ]


def _lines(
    session: Session, found: list[RecorderAsset], late: dict[str, timedelta]
) -> list[RecorderLine]:  # fmt: skip
    wanted = {one.holder_id for one in found if one.holder_id}
    holders = {one.id: one for one in session.scalars(select(Officer).where(Officer.id.in_(wanted)))}
    return [
        RecorderLine(
            one, equipment.state_mark(one.state), holders.get(one.holder_id or ""),
            _late_words(late[one.id]) if one.id in late else "",
        )
        for one in found
    ]  # fmt: skip


def _late_words(late: timedelta) -> str:
    """`Overdue by 3 hours`, or by days once it is more than two."""
    hours = max(1, round(late.total_seconds() / HOUR_S))
    if hours < 48:  # noqa: PLR2004  # two days are still said in hours
        return str(ngettext("Overdue by %(num)s hour", "Overdue by %(num)s hours", hours))
    return str(ngettext("Overdue by %(num)s day", "Overdue by %(num)s days", hours // 24))
