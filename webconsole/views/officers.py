"""Officers for the custodian: who they are, what their certificates are worth (D15), and their badges and PINs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.equipment.issue import held_by
from casework.people.at_dock import give_badge, give_pin, take_badge, take_pin
from casework.people.badge import OfficerCredential
from casework.people.certificate import Standing, has_standing, standing
from casework.people.officer import CERTIFICATE_LIMIT, Officer, OfficerFacts, change_officer, register_officer
from casework.people.unit import NAME_LIMIT, Unit, units
from casework.subject import find
from core.clock import utc_now
from core.errors import SealdockError
from webconsole.context import console
from webconsole.display import equipment, wording
from webconsole.forms.field import Form
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.page import leave_notice, redirect_to, render

blueprint = Blueprint("officers", __name__, url_prefix="/officers")
PAGE_SIZE = 100
FIRST = (Standing.EXPIRED, Standing.MISSING, Standing.EXPIRING, Standing.NOT_YET, Standing.VALID)
GIVEN = {"badge": (give_badge, take_badge), "pin": (give_pin, take_pin)}


@dataclass(frozen=True)
class OfficerLine:
    """An officer on the list."""

    officer: Officer
    mark: equipment.Mark
    unit: str


@dataclass(frozen=True)
class Listing:
    """One page of the register."""

    lines: list[OfficerLine]
    alarms: list[tuple[str, str, int]]  # standing, words, how many
    words: str
    standing: str
    choices: wording.Choices
    is_narrowed: bool
    is_later_page: bool
    first_url: str
    next_url: str | None


@blueprint.get("")
@permits(Permission.PEOPLE_VIEW)
def show() -> Response:
    """The register by number, with how many certificates need something."""
    form, now = Form(request.args), utc_now()
    words, chosen = form.text("q", limit=200, required=False), form.typed("certificate")
    after = form.text("after", limit=32, required=False)
    with console().db.reading() as session:
        found = _found(session, words, chosen, after, now)
        names = {unit.id: unit.name for unit in units(session)}
        alarms = _alarms(session, now)
    given: dict[str, Any] = {name: value for name, value in (("q", words), ("certificate", chosen)) if value}
    last = found[PAGE_SIZE - 1].number if len(found) > PAGE_SIZE else None
    listing = Listing(
        lines=[
            OfficerLine(one, equipment.standing_mark(standing(one, now)), names.get(one.unit_id or "", ""))
            for one in found[:PAGE_SIZE]
        ],
        alarms=alarms, words=words, standing=chosen, choices=equipment.standings(), is_narrowed=bool(given),
        is_later_page=bool(after), first_url=url_for(".show", **given),
        next_url=url_for(".show", **given, after=last) if last else None,
    )  # fmt: skip
    return render("officers/list.html", listing=listing)


@blueprint.get("/register")
@permits(Permission.PEOPLE_MANAGE)
def register_form() -> Response:
    """The form for a new officer."""
    return _form(Form(request.args))


@blueprint.post("/register")
@permits(Permission.PEOPLE_MANAGE)
def register() -> Response:
    """Enter an officer in the register."""
    form = Form(request.form)
    facts = _typed(form)
    if form.mistakes:
        return _form(form, status=422)
    try:
        with console().db.writing() as session:
            officer_id = register_officer(session, console().submitter, current_account().id, facts)
    except SealdockError as error:
        return _form(form, refusal_words=sentence(error), status=422)
    console().submitter.ring()
    leave_notice("safe", gettext("Officer %(name)s is in the register.", name=facts.name))
    return redirect_to(".officer", officer_id=officer_id)


@blueprint.get("/<ulid:officer_id>")
@permits(Permission.PEOPLE_VIEW)
def officer(officer_id: str) -> Response:
    """One officer: certificate, badge, PIN, recorders."""
    now = utc_now()
    with console().db.reading() as session:
        found = find(session, Officer, officer_id)
        unit = session.get(Unit, found.unit_id) if found.unit_id else None
        kept = session.get(OfficerCredential, officer_id)
        held = held_by(session, found)
    lost = {
        "badge": found.badge_since is not None and not (kept and kept.badge_digest),
        "pin": found.pin_since is not None and not (kept and kept.pin),
    }  # a lost database took the digest with it, and the log still says that one was given
    return render(
        "officers/show.html", officer=found, unit=unit, held=held, lost=lost,
        mark_now=equipment.standing_mark(standing(found, now)),
    )  # fmt: skip


@blueprint.get("/<ulid:officer_id>/change")
@permits(Permission.PEOPLE_MANAGE)
def change_form(officer_id: str) -> Response:
    """The form with what the register says now."""
    with console().db.reading() as session:
        return _form(Form(request.args), find(session, Officer, officer_id))


@blueprint.post("/<ulid:officer_id>/change")
@permits(Permission.PEOPLE_MANAGE)
def change(officer_id: str) -> Response:
    """Correct what the register says; somebody who was faster is not overwritten."""
    form = Form(request.form)
    facts, version = _typed(form), form.identifier("version")
    with console().db.reading() as session:
        before = find(session, Officer, officer_id)
    if form.mistakes:
        return _form(form, before, status=422)
    try:
        with console().db.writing() as session:
            change_officer(session, console().submitter, current_account().id, officer_id, facts, version)
    except SealdockError as error:
        return _form(form, before, sentence(error), 422)
    console().submitter.ring()
    leave_notice("safe", gettext("What the register says of %(name)s was changed.", name=facts.name))
    return redirect_to(".officer", officer_id=officer_id)


@blueprint.get("/<ulid:officer_id>/identify")
@permits(Permission.OFFICER_IDENTIFY, step_up=True)
def identify_form(officer_id: str) -> Response:
    """The page where badge and PIN are given and taken back."""
    return _identify(officer_id, Form(request.args))


@blueprint.post("/<ulid:officer_id>/identify")
@permits(Permission.OFFICER_IDENTIFY, step_up=True)
def identify(officer_id: str) -> Response:
    """Give or take back a badge or a PIN; what was typed is kept as a digest and shown to nobody."""
    form = Form(request.form)
    what, is_given = form.typed("what"), form.typed("act") == "give"
    typed = form.text("secret", limit=200, required=is_given)
    if what not in GIVEN:
        form.wrong("what", gettext("Please choose one of the list."))
    if form.mistakes:
        return _identify(officer_id, form, status=422)
    give, take = GIVEN[what]
    actor = current_account().id
    try:
        with console().db.writing() as session:
            if is_given:
                found = give(session, console().submitter, actor, officer_id, typed)
            else:
                found = take(session, console().submitter, actor, officer_id)
    except SealdockError as error:
        return _identify(officer_id, form, sentence(error), 422)
    console().submitter.ring()
    leave_notice("safe", _said(what, found.name, is_given=is_given))
    return redirect_to(".officer", officer_id=officer_id)


def _said(what: str, name: str, *, is_given: bool) -> str:
    words = {
        ("badge", True): gettext("%(name)s is known by this badge from now on.", name=name),
        ("badge", False): gettext("The badge of %(name)s opens nothing any more.", name=name),
        ("pin", True): gettext("%(name)s is known by this PIN from now on.", name=name),
        ("pin", False): gettext("The PIN of %(name)s opens nothing any more.", name=name),
    }
    return str(words[what, is_given])


def _identify(officer_id: str, form: Form, refusal_words: str = "", status: int = 200) -> Response:
    with console().db.reading() as session:
        found = find(session, Officer, officer_id)
    return render("officers/identify.html", status, officer=found, form=form, refusal=refusal_words)


def _form(form: Form, before: Officer | None = None, refusal_words: str = "", status: int = 200) -> Response:
    with console().db.reading() as session:
        known = [(unit.id, unit.name) for unit in units(session)]
    return render("officers/form.html", status, form=form, before=before, units=known, refusal=refusal_words)


def _typed(form: Form) -> OfficerFacts:
    return OfficerFacts(
        number=form.text("number", limit=32),
        name=form.text("name", limit=NAME_LIMIT),
        unit_id=form.identifier("unit_id", required=False) or None,
        certificate_number=form.text("certificate_number", limit=CERTIFICATE_LIMIT, required=False),
        certificate_valid_from=form.day("certificate_valid_from", required=False),
        certificate_valid_until=form.day("certificate_valid_until", required=False),
    )


def _found(session: Session, words: str, chosen: str, after: str, now: datetime) -> list[Officer]:
    """A page and one more; those whose certificate needs something are found by the filter, not by the order."""
    query = select(Officer).where(Officer.number > after).order_by(Officer.number).limit(PAGE_SIZE + 1)
    if words:
        looked_in = (Officer.number, Officer.name, Officer.certificate_number)
        query = query.where(or_(*(part.contains(words, autoescape=True) for part in looked_in)))
    if chosen in set(Standing):
        query = query.where(has_standing(Standing(chosen), now))
    return list(session.scalars(query))


def _alarms(session: Session, now: datetime) -> list[tuple[str, str, int]]:
    words = dict(equipment.standings())
    counted = [(one, _count(session, one, now)) for one in FIRST if one is not Standing.VALID]
    return [(one.value, words[one.value], count) for one, count in counted if count]


def _count(session: Session, wanted: Standing, now: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Officer).where(has_standing(wanted, now))) or 0
