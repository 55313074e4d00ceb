"""The list of recordings: narrow it, page through it, link what is selected to a case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request, url_for
from flask_babel import ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.asset import RecorderAsset
from casework.evidence.exhibit import link_many
from casework.evidence.recording import RecordingFilter, RecordingPage, list_recordings
from casework.people.officer import Officer
from core.errors import SealdockError
from webconsole import playback
from webconsole.context import console
from webconsole.display import wording
from webconsole.display.case_number import case_by_number
from webconsole.display.footage import FootageLine, footage_lines
from webconsole.forms.field import Form
from webconsole.gate import current_account, may, permits
from webconsole.i18n import sentence
from webconsole.page import go, leave_notice, own_path, render
from webconsole.reach import own_number

blueprint = Blueprint("recordings", __name__)
OFFERED = 200  # officers and recorders that a field offers; any other number can still be typed


class Narrowed(NamedTuple):
    """What the filter bar holds, as it was typed."""

    q: str
    officer: str
    recorder: str
    linked: str
    media: str
    since: str
    until: str


class OfficerChoice(NamedTuple):
    """An officer that the filter offers."""

    number: str
    name: str


@dataclass(frozen=True)
class Listing:
    """One page of the list."""

    lines: list[FootageLine]
    filter: Narrowed
    mistakes: list[str]
    sees_all: bool
    may_link: bool
    is_narrowed: bool
    is_all_linked: bool  # nothing without a case is left: good news, not a search that failed
    is_later_page: bool
    first_url: str
    next_url: str | None
    media_choices: wording.Choices
    officers: list[OfficerChoice]
    recorders: list[str]


@blueprint.get("/recordings")
@permits(Permission.RECORDING_LIST, Permission.RECORDING_LIST_OWN)
def show() -> Response:
    """A page of the list, the newest first; an officer sees what that officer recorded."""
    form = Form(request.args)
    typed = Narrowed(*(form.typed(name) for name in Narrowed._fields))
    with console().db.reading() as session:
        wanted = _wanted(form, session)
        page = _page(session, wanted)
        access = playback.grant_posters([recording.id for recording in page.recordings])
        lines = footage_lines(session, page.recordings, posters=access.ready)
        officers, recorders = _offered(session)
    given = {name: value for name, value in typed._asdict().items() if value}
    listing = Listing(
        lines=lines,
        filter=typed,
        mistakes=[*form.mistakes.values(), *([] if access.ready else [access.sentence])],
        sees_all=may(Permission.RECORDING_LIST),
        may_link=may(Permission.RECORDING_LINK),
        is_narrowed=bool(given),
        is_all_linked=given == {"linked": "no"},
        is_later_page="cursor" in request.args,
        first_url=url_for(".show", **given),
        next_url=url_for(".show", **given, cursor=page.next_cursor) if page.next_cursor else None,
        media_choices=wording.media(),
        officers=officers,
        recorders=recorders,
    )
    return render("recordings/list.html", listing=listing)


@blueprint.post("/recordings/link")
@permits(Permission.RECORDING_LINK)
def link() -> Response:
    """Link the selected recordings to a case, all of them or none."""
    form = Form(request.form)
    chosen, note = form.identifiers("recording"), form.text("note", limit=500, required=False)
    number = form.text("case_number", limit=64)
    try:
        form.check()
        with console().db.writing() as session:
            case = case_by_number(session, number)
            made = link_many(session, console().submitter, current_account().id, chosen, case.id, note=note)
    except SealdockError as error:
        leave_notice("fault", sentence(error))
    else:
        console().submitter.ring()
        leave_notice("safe", _said(len(made), len(chosen), case.number))
    return go(own_path(form.typed("next"), url_for(".show")))


def _said(made: int, chosen: int, number: str) -> str:
    linked = ngettext(
        "%(num)s recording was linked to case %(number)s.",
        "%(num)s recordings were linked to case %(number)s.",
        made,
        number=number,
    )
    if made == chosen:
        return str(linked)
    kept = ngettext("%(num)s belonged to it already.", "%(num)s belonged to it already.", chosen - made)
    return f"{linked} {kept}"


def _page(session: Session, wanted: RecordingFilter | None) -> RecordingPage:
    if wanted is None:
        return RecordingPage([], None)
    return list_recordings(session, wanted, cursor=request.args.get("cursor"))


def _wanted(form: Form, session: Session) -> RecordingFilter | None:
    """What to list; None for an account that may see its own recordings and is no officer."""
    since, until = form.day("since", required=False), form.day("until", required=False)
    account = current_account()
    officer = form.text("officer", limit=32, required=False) or None
    if not may(Permission.RECORDING_LIST):
        officer = own_number(session, account)
        if not officer:
            return None
    return RecordingFilter(
        officer_number=officer,
        recorder_serial=form.text("recorder", limit=32, required=False) or None,
        is_linked={"yes": True, "no": False}.get(form.typed("linked")),
        words=form.text("q", limit=200, required=False),
        since=_midnight(since) if since else None,
        until=_midnight(until + timedelta(days=1)) if until else None,
        media=form.typed("media") if form.typed("media") in dict(wording.media()) else None,
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(console().settings.station.timezone))


def _offered(session: Session) -> tuple[list[OfficerChoice], list[str]]:
    if not may(Permission.RECORDING_LIST):
        return [], []
    officers = session.execute(select(Officer.number, Officer.name).order_by(Officer.number).limit(OFFERED))
    recorders = session.scalars(select(RecorderAsset.serial).order_by(RecorderAsset.serial).limit(OFFERED))
    return [OfficerChoice(number, name) for number, name in officers], list(recorders)
