"""The officer at the kiosk: badge or PIN, own uploads, a case's name, a gap's excuse, a recorder for the shift.

Every view here is public to the gate, because nobody at the dock has an account, and asks for a pass instead
(webconsole.auth.kiosk). Wrong numbers, PINs and badges are counted before they are checked. Nothing here shows
what was recorded.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session

from casework.cases.case import list_cases
from casework.equipment.claim import claim_case, claim_duty, claim_holder, excuse_gap
from casework.equipment.issue import hand_out
from casework.field import CaseworkError
from casework.paper.kept import keep, session_recordings
from casework.paper.window import Outsiders
from casework.people.at_dock import Means, Officer, officer_by_badge, officer_by_pin
from casework.people.badge import BadgeError
from casework.subject import find
from core.clock import utc_now
from core.digest import sha256_hex
from core.errors import Exit
from ingest.answer import give_answer, refuse_second
from ingest.status import BayStatus, Need, read_status
from vault.log.index import EntryRow
from webconsole.auth import kiosk, throttle
from webconsole.context import console
from webconsole.display import wording
from webconsole.display.kiosk import duties, is_own, room
from webconsole.display.paper import House, linked_frame, receipt_sheet
from webconsole.display.stated import with_statement
from webconsole.errors import NotFoundError
from webconsole.forms.field import Form
from webconsole.gate import public
from webconsole.i18n import current_locale
from webconsole.page import asset

blueprint = Blueprint("officer", __name__)
PASS_HEADER = "X-Sealdock-Pass"  # noqa: S105  # the name of a header, not a secret
SUGGESTED = 6  # case numbers on one row of buttons
BADGE_LIMIT = 200
PLACE_KIND = (
    "username"  # how the throttle counts a kiosk: a hundred tries, then a minute at most; everybody shares it
)
PERSON_KIND = "pair"  # and how it counts tries against one number


class UnknownBadgeError(CaseworkError):
    """A badge that was given to nobody."""

    code = "webconsole.badge_of_nobody"
    sentence = (
        "This badge belongs to nobody here. Nothing was changed; type your number and PIN, or ask a custodian to "
        "give you the badge."
    )
    exit_code = Exit.NO


class NotYoursError(CaseworkError):
    """A docking session of somebody else."""

    code = "webconsole.not_yours"
    sentence = "This upload is not yours. Nothing was shown and nothing was changed; ask a custodian."
    exit_code = Exit.NO


class QuestionOverError(CaseworkError):
    """The bay does not ask that any more."""

    code = "webconsole.question_over"
    sentence = (
        "The bay does not ask this any more: its recorder left, or it was answered. Nothing was changed; look at the "
        "bay's tile and answer what it asks now."
    )
    exit_code = Exit.NO


@blueprint.post("/dock/badge")
@public
def show_badge() -> Response:
    """Sign on with a badge. Raises BadgeError, UnknownBadgeError, ThrottledError."""
    badge = request.form.get("badge", "")[:BADGE_LIMIT]
    keys = {_place("badge"): PLACE_KIND}
    _admit(keys)
    with console().db.reading() as session:
        officer = officer_by_badge(session, badge)
    if officer is None:
        raise UnknownBadgeError if badge.strip() else BadgeError
    return _welcome(officer, Means.BADGE, keys)


@blueprint.post("/dock/pin")
@public
def type_pin() -> Response:
    """Sign on with number and PIN. Raises WrongPinError, ThrottledError."""
    number = request.form.get("number", "").strip().upper()[:16]
    named = sha256_hex(number.encode(errors="replace"))
    keys = {_place("pin"): PLACE_KIND, f"dock-number:{named}": PERSON_KIND}
    _admit(keys)
    with console().db.reading() as session:
        officer = officer_by_pin(session, number, request.form.get("pin", "")[:64])
    return _welcome(officer, Means.PIN, keys)


@blueprint.post("/dock/stay")
@public
def stay() -> Response:
    """The officer is still there: a new pass, and nothing else. Raises PassEndedError."""
    here = _here()
    return jsonify({"token": kiosk.give_pass(_key(), here)})


@blueprint.post("/dock/case")
@public
def name_case() -> Response:
    """Say which case a docking session is for. Raises PassEndedError, NotYoursError, FieldError."""
    here, form = _here(), Form(request.form)
    session_id, number = form.identifier("session"), form.text("number", limit=64)
    form.check()
    with console().db.writing() as session:
        officer = _own(session, here, session_id)
        claim_case(session, console().submitter, officer, session_id, number, Means(here.means))
    console().submitter.ring()
    return _room(here, gettext("Noted: case %(number)s. A custodian links it.", number=number))


@blueprint.post("/dock/gap")
@public
def excuse() -> Response:
    """Say why there is a gap. Raises PassEndedError, NotYoursError, FieldError."""
    here, form = _here(), Form(request.form)
    session_id, note = form.identifier("session"), form.text("note", limit=200, required=False)
    form.check()
    with console().db.writing() as session:
        officer = _own(session, here, session_id)
        excuse_gap(
            session, console().submitter, officer, session_id, form.typed("reason"), note, Means(here.means)
        )
    console().submitter.ring()
    return _room(here, gettext("Your reason is noted. Somebody else approves it."))


@blueprint.post("/dock/duty")
@public
def confirm_duty() -> Response:
    """Say that a recorder holds duty footage. Raises PassEndedError, QuestionOverError, AlreadyAnsweredError."""
    here, form = _here(), Form(request.form)
    question = form.identifier("question")
    form.check()
    if not any(bay.question == question and bay.needs == Need.BADGE for bay in _bays()):
        raise QuestionOverError
    with console().db.writing() as session:
        refuse_second(session, question)
        officer = find(session, Officer, here.officer_id)
        claim = claim_duty(session, console().submitter, officer, question, Means(here.means))
        give_answer(session, question, claim, officer.number, here.means)
    console().submitter.ring()
    return _room(here, gettext("Noted: duty footage. It is sealed in quarantine; a custodian decides later."))


@blueprint.post("/dock/holder")
@public
def name_holder() -> Response:
    """Say that one held the recorder. Raises PassEndedError, QuestionOverError, AlreadyAnsweredError."""
    here, form = _here(), Form(request.form)
    session_id = form.identifier("session")
    form.check()
    if not any(bay.session_id == session_id and bay.needs == Need.CLAIM for bay in _bays()):
        raise QuestionOverError
    with console().db.writing() as session:
        refuse_second(session, session_id)
        officer = find(session, Officer, here.officer_id)
        claim = claim_holder(session, console().submitter, officer, session_id, Means(here.means))
        give_answer(session, session_id, claim, officer.number, here.means)
    console().submitter.ring()
    return _room(here, gettext("Noted: you held this recorder."))


@blueprint.post("/dock/take")
@public
def take() -> Response:
    """Take a recorder for the shift. Raises PassEndedError, CertificateError (D15), NotAvailableError."""
    here, form = _here(), Form(request.form)
    serial, duty = form.text("recorder", limit=64), form.typed("purpose", "patrol")
    form.check()
    with console().db.writing() as session:
        officer = find(session, Officer, here.officer_id)
        purpose = wording.word(duties(), duty)
        hand_out(session, console().submitter, officer, serial, purpose, utc_now(), means=Means(here.means))
    console().submitter.ring()
    return _room(here, gettext("Recorder %(serial)s is yours for this shift.", serial=serial))


@blueprint.post("/dock/cases")
@public
def suggest() -> Response:
    """Numbers of cases that begin or go on like what was typed; numbers only. Raises PassEndedError."""
    here, words = _here(), Form(request.form).text("q", limit=64, required=False)
    with console().db.reading() as session:
        found = list_cases(session, words=words, limit=SUGGESTED).cases
    numbers = [case.number for case in found if not case.is_disposed]
    return jsonify({"token": kiosk.give_pass(_key(), here), "numbers": numbers})


@blueprint.post("/dock/paper")
@public
def ask_paper() -> Response:
    """An address that prints the receipt of one's own session, for a minute. Raises PassEndedError, NotYoursError."""
    here, form = _here(), Form(request.form)
    session_id = form.identifier("session")
    form.check()
    with console().db.reading() as session:
        _own(session, here, session_id)
    ticket = kiosk.seal(_key(), "paper", session_id, kiosk.PAPER_S)
    return jsonify({"token": kiosk.give_pass(_key(), here), "url": url_for(".paper", ticket=ticket)})


@blueprint.get("/dock/paper/<ticket>")
@public
def paper(ticket: str) -> Response:
    """The receipt of a docking session on paper. Raises PassEndedError, NotFoundError."""
    session_id = kiosk.unseal(_key(), "paper", ticket)
    with console().db.reading() as session:
        index = session.query(EntryRow.index).filter(EntryRow.id == session_id).scalar()
        if index is None:
            raise NotFoundError(what=gettext("receipt"))
        kept = keep(console().reader, Outsiders.of(console().settings.anchor), index)
        kept = with_statement(session, kept, current_locale())
        listed = session_recordings(session, kept.leaf)
    station = console().settings.station
    page = receipt_sheet(
        kept, House(station.bureau, station.name, station.timezone),
        linked_frame(asset, url_for("dock.show")), current_locale(), listed,
    )  # fmt: skip
    return Response(page, mimetype="text/html")


def _welcome(officer: Officer, means: Means, keys: dict[str, str]) -> Response:
    with console().db.writing() as session:
        throttle.forgive(session, keys)
    return _room(kiosk.Pass(officer.id, means.value))


def _room(here: kiosk.Pass, said: str = "") -> Response:
    bays = _bays()
    with console().db.reading() as session:
        seen = room(session, find(session, Officer, here.officer_id), bays)
        html = render_template("dock/room.html", room=seen)
    return jsonify({"token": kiosk.give_pass(_key(), here), "html": html, "said": said, "idle": kiosk.IDLE_S})


def _own(session: Session, here: kiosk.Pass, session_id: str) -> Officer:
    officer = find(session, Officer, here.officer_id)
    if not is_own(session, officer, session_id, _bays()):
        raise NotYoursError
    return officer


def _bays() -> tuple[BayStatus, ...]:
    """What is in the bays; nothing while the dock is silent."""
    status = read_status(console().settings.run / "dock.json")
    return () if status.is_stale else status.bays


def _here() -> kiosk.Pass:
    return kiosk.read_pass(_key(), request.headers.get(PASS_HEADER, ""))


def _admit(keys: dict[str, str]) -> None:
    with console().db.writing() as session:
        throttle.admit(session, keys)


def _place(what: str) -> str:
    return f"dock-{what}:{request.remote_addr or ''}"


def _key() -> str:
    return console().signer.private_text
