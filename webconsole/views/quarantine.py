"""What was taken in quarantine: which sessions wait for a custodian, and the decision (D64)."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext

from casework.access.permission import Permission
from casework.evidence.quarantine import PAGE_SIZE, Decision, decide, decided, quarantined, undecided
from core.errors import SealdockError
from webconsole.context import console
from webconsole.display.quarantine import QuarantineLine, quarantine_lines, quarantine_page
from webconsole.forms.field import Form
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.page import leave_notice, redirect_to, render

blueprint = Blueprint("quarantine", __name__, url_prefix="/recorders/quarantine")
NOTE_LIMIT = 500


@dataclass(frozen=True)
class Listing:
    """One page: everything that waits stands on the first, then what was decided."""

    waiting: list[QuarantineLine]
    lines: list[QuarantineLine]
    is_later_page: bool
    first_url: str
    next_url: str | None


@blueprint.get("")
@permits(Permission.RECORDER_VIEW)
def show() -> Response:
    """What needs somebody, the longest first; then what was decided, the newest first."""
    before = Form(request.args).identifier("before", required=False)
    with console().db.reading() as session:
        waiting = [] if before else quarantine_lines(session, undecided(session))
        found = decided(session, before=before, limit=PAGE_SIZE + 1)
        lines = quarantine_lines(session, found[:PAGE_SIZE])
    last = found[PAGE_SIZE - 1].session.id if len(found) > PAGE_SIZE else None
    listing = Listing(
        waiting=waiting, lines=lines, is_later_page=bool(before), first_url=url_for(".show"),
        next_url=url_for(".show", before=last) if last else None,
    )  # fmt: skip
    return render("recorders/quarantine.html", listing=listing)


@blueprint.get("/<ulid:session_id>")
@permits(Permission.RECORDER_VIEW)
def docked(session_id: str) -> Response:
    """One session: what was asked, who answered, what is in it, what was decided."""
    return _page(session_id, Form(request.args))


@blueprint.post("/<ulid:session_id>/decide")
@permits(Permission.RECORDING_LINK)
def say(session_id: str) -> Response:
    """Accept it as duty footage, or say that it is none, with the reason."""
    form = Form(request.form)
    decision, note = form.choice("decision", Decision), form.text("note", limit=NOTE_LIMIT, required=False)
    if decision is Decision.NOT_DUTY and not note:
        form.wrong("note", gettext("Please write why."))
    if form.mistakes:
        return _page(session_id, form, status=422)
    try:
        with console().db.writing() as session:
            decide(session, console().submitter, current_account().id, session_id, decision, note)
    except SealdockError as error:
        return _page(session_id, form, sentence(error), 422)
    console().submitter.ring()
    leave_notice("safe", _done(decision))
    return redirect_to(".docked", session_id=session_id)


def _done(decision: Decision) -> str:
    if decision is Decision.ACCEPTED:
        return str(gettext("Accepted as duty footage. Its recordings can be linked to their cases."))
    return str(gettext("Entered: not duty footage. It stays sealed, and everybody who opens it is told."))


def _page(session_id: str, form: Form, refusal_words: str = "", status: int = 200) -> Response:
    with console().db.reading() as session:
        page = quarantine_page(session, quarantined(session, session_id))
    return render("recorders/quarantined.html", status, page=page, form=form, refusal=refusal_words)
