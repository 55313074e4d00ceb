"""Cases: find one, open one, see its stages with the exhibits under them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, jsonify, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.cases.case import CaseFacts, CaseFile, Stage, get_case, open_case
from casework.evidence.exhibit import CaseExhibit, Exhibit, exhibits
from casework.evidence.recording import Recording
from casework.people.unit import units
from core.clock import utc_now
from core.errors import SealdockError
from webconsole import playback
from webconsole.context import console
from webconsole.display import wording
from webconsole.display.case_page import case_page
from webconsole.display.chain import chain_view, prove, readable_line
from webconsole.forms.field import Form
from webconsole.gate import current_account, demand, may, permits, refuse
from webconsole.i18n import sentence
from webconsole.page import leave_notice, redirect_to, render
from webconsole.reach import own_number, reached_cases
from webconsole.unlinking import take_out

blueprint = Blueprint("cases", __name__)
SUGGESTED = 12  # cases that a field offers while one types


@dataclass(frozen=True)
class CaseLine:
    """A case on the list."""

    id: str
    number: str
    title: str
    party: str
    kind: str
    stage: str
    exhibits: int
    opened_on: date | None


@dataclass(frozen=True)
class Listing:
    """One page of cases."""

    lines: list[CaseLine]
    words: str
    stage: str
    stage_choices: wording.Choices
    is_narrowed: bool
    is_later_page: bool
    first_url: str
    next_url: str | None


@blueprint.get("/cases")
@permits(Permission.CASE_LIST)
def show() -> Response:
    """A page of cases, the last opened first."""
    form = Form(request.args)
    words, stage = form.text("q", limit=200, required=False), form.typed("stage")
    chosen = [Stage(stage)] if stage in set(Stage) else []
    cursor = form.identifier("cursor", required=False) or None
    with console().db.reading() as session:
        page = reached_cases(session, words=words, stages=chosen, cursor=cursor)
        lines = _lines(session, page.cases)
    given: dict[str, Any] = {name: value for name, value in (("q", words), ("stage", stage)) if value}
    listing = Listing(
        lines=lines,
        words=words,
        stage=stage,
        stage_choices=wording.stages(),
        is_narrowed=bool(given),
        is_later_page=cursor is not None,
        first_url=url_for(".show", **given),
        next_url=url_for(".show", **given, cursor=page.next_cursor) if page.next_cursor else None,
    )
    return render("cases/list.html", listing=listing)


@blueprint.get("/cases/suggest")
@permits(Permission.CASE_LIST)
def suggest() -> Response:
    """Cases for a field that names one: number and title."""
    words = Form(request.args).text("q", limit=200, required=False)
    with console().db.reading() as session:
        found = reached_cases(session, words=words, limit=SUGGESTED).cases
    return jsonify([{"number": case.number, "title": case.title} for case in found if not case.is_disposed])


@blueprint.get("/cases/open")
@permits(Permission.CASE_OPEN)
def open_form() -> Response:
    """The form for a new case."""
    return _form(Form(request.args))


@blueprint.post("/cases/open")
@permits(Permission.CASE_OPEN)
def open_new() -> Response:
    """Open a case; whatever is wrong is said beside the form as it was."""
    form = Form(request.form)
    facts = CaseFacts(
        number=form.text("number", limit=64),
        title=form.text("title"),
        kind=form.typed("kind"),
        opened_on=form.day("opened_on"),
        stage=form.typed("stage", Stage.FILING),
        unit_id=form.identifier("unit_id", required=False) or None,
        party=form.text("party", required=False),
    )
    if form.mistakes:
        return _form(form, status=422)
    try:
        with console().db.writing() as session:
            case_id = open_case(session, console().submitter, current_account().id, facts)
    except SealdockError as error:
        return _form(form, sentence(error), 422)
    console().submitter.ring()
    leave_notice(
        "safe",
        gettext("Case %(number)s is open. Link the recordings that belong to it.", number=facts.number),
    )
    return redirect_to(".case", case_id=case_id)


@blueprint.get("/cases/<ulid:case_id>")
@permits(Permission.CASE_VIEW)
def case(case_id: str) -> Response:
    """The case: stages, exhibits, facts, packages, history."""
    with console().db.reading() as session:
        found = get_case(session, case_id)
        shown = _reached(session, exhibits(session, case_id), case_id)
        access = playback.grant_posters([each.recording.id for each in shown])
        lines = (
            chain_view(session, case_id, ".case", case_id=case_id) if may(Permission.CUSTODY_VIEW) else None
        )
        page = case_page(session, found, shown, lines, posters=access.ready)
    return render("cases/show.html", case=page)


@blueprint.get("/cases/<ulid:case_id>/chain/<ulid:entry_id>")
@permits(Permission.CASE_VIEW)
def proof(case_id: str, entry_id: str) -> Response:
    """The proof of one line of the case's history, made and verified now."""
    context = console()
    demand(Permission.CUSTODY_VIEW, case_id)
    with context.db.reading() as session:
        line = readable_line(session, get_case(session, case_id).id, entry_id)
    proven = None if line.index is None else prove(context.reader, context.vault.verifier, line.index)
    return render("part/proof.html", proof=proven)


@blueprint.post("/cases/<ulid:case_id>/unlink")
@permits(Permission.RECORDING_LINK)
def unlink(case_id: str) -> Response:
    """Take a recording out of the case, with the reason."""
    form = Form(request.form)
    recording_id, note = form.identifier("recording"), form.text("note", limit=500)
    take_out(recording_id, case_id, note, form)
    return redirect_to(".case", case_id=case_id)


def _form(form: Form, refusal: str = "", status: int = 200) -> Response:
    with console().db.reading() as session:
        known = [(unit.id, unit.name) for unit in units(session)]
    here = ZoneInfo(console().settings.station.timezone)
    return render(
        "cases/open.html",
        status,
        form=form,
        refusal=refusal,
        kinds=wording.kinds(),
        stages=wording.stages(),
        units=known,
        today=utc_now().astimezone(here).date().isoformat(),
    )


def _lines(session: Session, cases: list[CaseFile]) -> list[CaseLine]:
    counted = select(Exhibit.case_id, func.count()).where(Exhibit.case_id.in_([c.id for c in cases]))
    if not may(Permission.RECORDING_LIST):
        own = select(Recording.id).where(Recording.officer_number == own_number(session, current_account()))
        counted = counted.where(Exhibit.recording_id.in_(own))
    counts = dict(session.execute(counted.group_by(Exhibit.case_id)).all())
    kinds, stages = wording.kinds(), wording.stages()
    return [
        CaseLine(
            c.id, c.number, c.title, c.party, wording.word(kinds, c.kind), wording.word(stages, c.stage),
            counts.get(c.id, 0), c.opened_on,
        )
        for c in cases
    ]  # fmt: skip


def _reached(session: Session, found: list[CaseExhibit], case_id: str) -> list[CaseExhibit]:
    """All exhibits for the desk roles; an officer's own for an officer, who knows no case without one.

    Raises DeniedError.
    """
    if may(Permission.RECORDING_LIST):
        return found
    number = own_number(session, current_account())
    own = [each for each in found if number and each.recording.officer_number == number]
    if not own:
        raise refuse(Permission.CASE_VIEW, case_id)
    return own
