"""Recorders for the custodian: which there are, where each is, what is overdue, and the ledger of each (D35, D64)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request
from flask_babel import gettext
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.asset import RecorderAsset
from casework.equipment.event import CARE
from casework.equipment.issue import PURPOSE_LIMIT, hand_back, hand_out
from casework.equipment.recorder import (
    MODEL_LIMIT,
    NOTE_LIMIT,
    RecorderFacts,
    care,
    change_recorder,
    register_recorder,
)
from casework.evidence.quarantine import count_undecided
from casework.people.at_dock import Means, named
from casework.people.certificate import refusal
from casework.people.officer import officers
from casework.subject import find
from core.clock import utc_now
from core.errors import SealdockError
from webconsole.context import console
from webconsole.display.recorder_list import SERIAL_LIMIT, recorder_list
from webconsole.display.recorder_page import recorder_page
from webconsole.forms.field import Form
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.page import leave_notice, redirect_to, render

blueprint = Blueprint("recorders", __name__, url_prefix="/recorders")


@blueprint.get("")
@permits(Permission.RECORDER_VIEW)
def show() -> Response:
    """The register, what is overdue first."""
    with console().db.reading() as session:
        listing = recorder_list(session, Form(request.args), utc_now())
        waiting = count_undecided(session)
    return render("recorders/list.html", listing=listing, waiting=waiting)


@blueprint.get("/register")
@permits(Permission.RECORDER_MANAGE)
def register_form() -> Response:
    """The form for a new recorder."""
    return _form(Form(request.args))


@blueprint.post("/register")
@permits(Permission.RECORDER_MANAGE)
def register() -> Response:
    """Enter a recorder in the register."""
    form = Form(request.form)
    try:
        with console().db.writing() as session:
            facts = _typed(session, form)
            if form.mistakes:
                return _form(form, status=422)
            recorder_id = register_recorder(
                session, console().submitter, current_account().id, facts.serial, facts.model, facts.officer_id,
                facts.card_serial, facts.battery_serial,
            )  # fmt: skip
    except SealdockError as error:
        return _form(form, refusal_words=sentence(error), status=422)
    console().submitter.ring()
    leave_notice("safe", gettext("Recorder %(serial)s is in the register.", serial=facts.serial))
    return redirect_to(".recorder", recorder_id=recorder_id)


@blueprint.get("/<ulid:recorder_id>")
@permits(Permission.RECORDER_VIEW)
def recorder(recorder_id: str) -> Response:
    """One recorder: where it is, its ledger and sessions, and what may be done with it."""
    return _page(recorder_id, Form(request.args))


@blueprint.get("/<ulid:recorder_id>/change")
@permits(Permission.RECORDER_MANAGE)
def change_form(recorder_id: str) -> Response:
    """The form with what the register says now; it registers a recorder that was only seen."""
    with console().db.reading() as session:
        return _form(Form(request.args), find(session, RecorderAsset, recorder_id))


@blueprint.post("/<ulid:recorder_id>/change")
@permits(Permission.RECORDER_MANAGE)
def change(recorder_id: str) -> Response:
    """Correct what the register says."""
    form = Form(request.form)
    with console().db.reading() as session:
        before = find(session, RecorderAsset, recorder_id)
    try:
        with console().db.writing() as session:
            facts = _typed(session, form)
            if form.mistakes:
                return _form(form, before, status=422)
            version = form.identifier("version")
            change_recorder(session, console().submitter, current_account().id, recorder_id, facts, version)
    except SealdockError as error:
        return _form(form, before, sentence(error), 422)
    console().submitter.ring()
    leave_notice(
        "safe", gettext("What the register says of recorder %(serial)s was changed.", serial=facts.serial)
    )
    return redirect_to(".recorder", recorder_id=recorder_id)


@blueprint.post("/<ulid:recorder_id>/hand-out")
@permits(Permission.RECORDER_ISSUE)
def give(recorder_id: str) -> Response:
    """Hand the recorder to an officer; refused without a valid certificate (D15)."""
    form = Form(request.form)
    number, purpose = form.text("officer", limit=32), form.text("purpose", limit=PURPOSE_LIMIT)
    ends_at = _moment(form, "shift_ends_at")
    if form.mistakes:
        return _page(recorder_id, form, status=422)
    try:
        with console().db.writing() as session:
            holder, asset = named(session, number), find(session, RecorderAsset, recorder_id)
            hand_out(
                session, console().submitter, holder, asset.serial, purpose, utc_now(),
                actor=current_account().id, means=Means.CUSTODIAN, shift_ends_at=ends_at,
            )  # fmt: skip
    except SealdockError as error:
        return _page(recorder_id, form, sentence(error), 422)
    console().submitter.ring()
    leave_notice(
        "safe",
        gettext("Recorder %(serial)s was handed to %(name)s.", serial=asset.serial, name=holder.name),
    )
    return redirect_to(".recorder", recorder_id=recorder_id)


@blueprint.post("/<ulid:recorder_id>/take-back")
@permits(Permission.RECORDER_ISSUE)
def take_back(recorder_id: str) -> Response:
    """Take the recorder back by hand."""
    form = Form(request.form)
    note = form.text("note", limit=PURPOSE_LIMIT, required=False)
    if form.mistakes:
        return _page(recorder_id, form, status=422)
    try:
        with console().db.writing() as session:
            asset = find(session, RecorderAsset, recorder_id)
            hand_back(
                session, console().submitter, asset.serial, utc_now(), actor=current_account().id, note=note
            )
    except SealdockError as error:
        return _page(recorder_id, form, sentence(error), 422)
    console().submitter.ring()
    leave_notice("safe", gettext("Recorder %(serial)s is back.", serial=asset.serial))
    return redirect_to(".recorder", recorder_id=recorder_id)


@blueprint.post("/<ulid:recorder_id>/say")
@permits(Permission.RECORDER_MANAGE)
def say(recorder_id: str) -> Response:
    """Say what befell the recorder: repair, loss, retirement and the way back."""
    form = Form(request.form)
    event, note = form.typed("event"), form.text("note", limit=NOTE_LIMIT, required=False)
    if event not in CARE:
        form.wrong("event", gettext("Please choose one of the list."))
    if form.mistakes:
        return _page(recorder_id, form, status=422)
    try:
        with console().db.writing() as session:
            asset = find(session, RecorderAsset, recorder_id)
            care(session, console().submitter, current_account().id, recorder_id, event, note)
    except SealdockError as error:
        return _page(recorder_id, form, sentence(error), 422)
    console().submitter.ring()
    leave_notice("safe", gettext("This was entered for recorder %(serial)s.", serial=asset.serial))
    return redirect_to(".recorder", recorder_id=recorder_id)


def _page(recorder_id: str, form: Form, refusal_words: str = "", status: int = 200) -> Response:
    now = utc_now()
    with console().db.reading() as session:
        page = recorder_page(session, find(session, RecorderAsset, recorder_id), now)
        able = [one for one in officers(session) if refusal(one, now) is None]
    return render("recorders/show.html", status, page=page, form=form, refusal=refusal_words, able=able)


def _form(
    form: Form, before: RecorderAsset | None = None, refusal_words: str = "", status: int = 200
) -> Response:
    with console().db.reading() as session:
        known = officers(session)
        assigned = next((one.number for one in known if before and one.id == before.officer_id), "")
    return render(
        "recorders/form.html", status, form=form, before=before, assigned=assigned, known=known,
        refusal=refusal_words,
    )  # fmt: skip


def _typed(session: Session, form: Form) -> RecorderFacts:
    number = form.text("officer", limit=32, required=False)
    return RecorderFacts(
        serial=form.text("serial", limit=SERIAL_LIMIT),
        model=form.text("model", limit=MODEL_LIMIT, required=False),
        officer_id=named(session, number).id if number else None,
        card_serial=form.text("card_serial", limit=SERIAL_LIMIT, required=False),
        battery_serial=form.text("battery_serial", limit=SERIAL_LIMIT, required=False),
    )


def _moment(form: Form, name: str) -> datetime | None:
    """A local date and time as the browser's field writes it; nothing stays nothing."""
    raw = form.text(name, limit=32, required=False)
    if not raw:
        return None
    try:
        typed = datetime.fromisoformat(raw)
    except ValueError:
        form.wrong(name, gettext("Please enter a day and a time."))
        return None
    return typed.replace(tzinfo=ZoneInfo(console().settings.station.timezone))
