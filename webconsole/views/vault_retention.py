"""Retention for the custodian: the schedule, what is due, the holds, and what became of disposals.

A hold is placed here, because keeping harms nobody. Letting go is not done here: releases and disposals are signed
by two people with their own keys, at the machine, and vaultd checks those signatures without the console.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.evidence.recording import Recording, get_recording
from casework.keeping.preview import DueRecording, Preview
from casework.keeping.projection import OWNER_LIMIT, REASON_LIMIT, holds, place_hold
from casework.keeping.standing import Disposal, disposals, due_now, schedule_in_force
from casework.people.actor import actor_name
from core.clock import utc_now
from core.errors import SealdockError
from ingest.media_facts import MediaFacts
from vault.retention.schedule import Schedule
from webconsole.context import console
from webconsole.display import wording
from webconsole.forms.field import Form
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.page import go, leave_notice, own_path, render

blueprint = Blueprint("retention", __name__, url_prefix="/vault/retention")


@dataclass(frozen=True)
class HoldLine:
    """A hold on the list."""

    id: str
    reason: str
    owner: str
    placed_at: datetime
    placed_by: str
    review_on: date
    is_due: bool  # for review
    recordings: list[str]


@dataclass(frozen=True)
class RetentionPage:
    """Everything on the page; `due` is None on a station that has no schedule yet."""

    schedule: Schedule | None
    due: Preview | None
    first: list[DueRecording]  # never viewed, or nobody's: to be looked at before anything goes
    rest: list[DueRecording]
    holds: list[HoldLine]
    disposals: list[Disposal]


@blueprint.get("")
@permits(Permission.HOLD_PLACE)
def show() -> Response:
    """The page."""
    with console().db.reading() as session:
        return render("vault/retention.html", page=_page(session), classes=wording.retention_classes())


@blueprint.post("/holds")
@permits(Permission.HOLD_PLACE)
def hold() -> Response:
    """Keep recordings whatever the schedule says, with the reason, who asked for it and the day of review."""
    form = Form(request.form)
    recordings = form.identifiers("recording")
    reason, owner = form.text("reason", limit=REASON_LIMIT), form.text("owner", limit=OWNER_LIMIT)
    review_on = form.day("review_on")
    if review_on is not None and review_on <= _today():
        form.wrong("review_on", gettext("Please name a day to come."))
    try:
        form.check()
        with console().db.writing() as session:
            for recording_id in recordings:
                get_recording(session, recording_id)
            place_hold(
                session,
                console().submitter,
                current_account().id,
                tuple(recordings),
                reason=reason,
                owner=owner,
                review_on=review_on or _today(),
            )
    except SealdockError as error:
        leave_notice("fault", sentence(error))
    else:
        console().submitter.ring()
        leave_notice(
            "safe",
            gettext("The legal hold is placed. It outlives every schedule until somebody else releases it."),
        )
    back = form.text("back", limit=200, required=False)
    return go(own_path(back, url_for(".show")))


def _page(session: Session) -> RetentionPage:
    now = utc_now()
    schedule = schedule_in_force(session, console().reader, now)
    due = due_now(session, console().reader, schedule, now, _durations(session, now)) if schedule else None
    first = list(due.apart) if due else []
    return RetentionPage(
        schedule, due, first, [one for one in due.recordings if one not in first] if due else [],
        _holds(session), disposals(session, console().reader),
    )  # fmt: skip


def _durations(session: Session, before: datetime) -> dict[str, int]:
    """Milliseconds of the recordings that the page may be about."""
    found = session.execute(
        select(MediaFacts.recording_id, MediaFacts.duration_ms)
        .join(Recording, Recording.id == MediaFacts.recording_id)
        .where(
            MediaFacts.duration_ms.is_not(None),
            Recording.sealed_at < before,
            Recording.is_disposed.is_(False),
        )
        .order_by(Recording.sealed_at)
        .limit(1000)
    )
    return {recording_id: duration for recording_id, duration in found if duration is not None}


def _holds(session: Session) -> list[HoldLine]:
    lines = []
    for one, recordings in holds(session):
        named = actor_name(session, one.actor, one.placed_at) if one.actor else None
        lines.append(
            HoldLine(
                one.entry_id,
                one.reason,
                one.owner,
                one.placed_at,
                named.name if named else "",
                one.review_on,
                one.review_on <= _today(),
                recordings,
            )
        )
    return lines


def _today() -> date:
    return utc_now().astimezone(ZoneInfo(console().settings.station.timezone)).date()
