"""Disclosure: choose what leaves the house, to whom and why; then hand the package out and see that it went.

Making a package asks for the password again. The `export` entry comes first: there is no download without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.cases.case import CaseFile, get_case
from casework.evidence.exhibit import exhibits
from casework.evidence.viewing import PurposeCode, Rendition
from casework.package.disclosure import (
    Disclosure,
    disclosed_recordings,
    get_disclosure,
    list_disclosures,
    request_disclosure,
)
from casework.people.actor import actor_name
from core.errors import SealdockError
from vault.log.index import wait_sequenced
from webconsole import playback
from webconsole.context import console
from webconsole.display.footage import FootageLine, footage_lines
from webconsole.forms.field import Form
from webconsole.gate import current_account, may, permits, refuse
from webconsole.i18n import sentence, size_text
from webconsole.packing import SEQUENCED_WITHIN_S, WAYS, Way, assemble
from webconsole.page import redirect_to, render

blueprint = Blueprint("disclosure", __name__)
MOST = 500  # recordings that one form carries


@dataclass(frozen=True)
class DisclosureLine:
    """A package on the list."""

    id: str
    case_id: str
    case_number: str
    recipient: str
    purpose: str
    count: int
    made_at: datetime
    actor: str
    entry_id: str
    is_pending: bool
    is_own: bool  # the reader entered it, and is the one who fetches it


@dataclass(frozen=True)
class Preparation:
    """The form that makes a package."""

    case_id: str
    case_number: str
    case_title: str
    lines: list[FootageLine]
    chosen: frozenset[str]
    total: int


@blueprint.get("/disclosure")
@permits(Permission.DISCLOSURE_LIST)
def show() -> Response:
    """Every package that was asked for, the newest first."""
    with console().db.reading() as session:
        lines = [_line(session, found) for found in list_disclosures(session)]
    return render("disclosure/list.html", lines=lines)


@blueprint.get("/cases/<ulid:case_id>/disclosure")
@permits(Permission.DISCLOSURE_MAKE, step_up=True)
def prepare(case_id: str) -> Response:
    """The form: which exhibits, to whom, why."""
    return _form(case_id, Form(request.args))


@blueprint.post("/cases/<ulid:case_id>/disclosure")
@permits(Permission.DISCLOSURE_MAKE, step_up=True)
def make(case_id: str) -> Response:
    """Enter the disclosure on the log; the package can be fetched once it stands there."""
    form = Form(request.form)
    chosen = form.identifiers("recording", most=MOST)
    recipient, purpose = form.text("recipient"), form.text("purpose", limit=500, lines=True)
    if form.mistakes:
        return _form(case_id, form, frozenset(chosen), status=422)
    try:
        with console().db.writing() as session:
            made = request_disclosure(
                session, console().submitter, current_account().id, case_id, chosen,
                recipient=recipient, purpose=purpose,
            )  # fmt: skip
    except SealdockError as error:
        return _form(case_id, form, frozenset(chosen), sentence(error), 422)
    console().submitter.ring()
    chosen_so = {"without_copies": "1"} if form.is_ticked("without_copies") else {}
    return redirect_to(".package", package_id=made.package_id, **chosen_so)


@blueprint.get("/disclosure/<ulid:package_id>")
@permits(Permission.DISCLOSURE_LIST)
def package(package_id: str) -> Response:
    """What is in a package, its entry on the log, and the way to fetch it."""
    with console().db.reading() as session:
        found = get_disclosure(session, package_id)
        recordings = disclosed_recordings(session, package_id) if may(Permission.DISCLOSURE_MAKE) else []
        access = playback.grant_posters([recording.id for recording in recordings])
        lines = footage_lines(session, recordings, posters=access.ready)
        line = _line(session, found)
    return render(
        "disclosure/show.html",
        package=line,
        lines=lines,
        locked="" if access.ready else access.sentence,
        without_copies_ticked=Form(request.args).is_ticked("without_copies"),
        fingerprint=console().vault.verifier.vkey,
    )


@blueprint.get("/disclosure/<ulid:package_id>/package.zip")
@permits(Permission.DISCLOSURE_MAKE, step_up=True)
def download(package_id: str) -> Response:
    """The package as a ZIP, read from the vault while it is sent; its size is known before the first byte.

    The `export` entry says that it was made; each fetch (those of one minute are one) is a `view` entry of its
    own, because the package can be fetched again for as long as keyd takes the export as a reason.
    """
    form = Form(request.args)
    with console().db.reading() as session:
        found = get_disclosure(session, package_id)
        recordings = [recording.id for recording in disclosed_recordings(session, package_id)]
    if found.actor != current_account().id:  # (1) the entry says who hands it out, so nobody else fetches it
        raise refuse(Permission.DISCLOSURE_MAKE, package_id)
    if found.entry_index is not None:
        _enter_fetch(found, recordings)  # (2) before the first key
    made = assemble(console(), package_id, may_lack_copies=form.is_ticked("without_copies"))
    stream = made.stream()
    headers = {
        "Content-Disposition": f'attachment; filename="{made.folder}.zip"',
        "Content-Length": str(len(stream)),
        "Cache-Control": "private, no-store",
    }
    return Response(
        WAYS.send(package_id, stream), headers=headers, mimetype="application/zip", direct_passthrough=True
    )


@blueprint.get("/disclosure/<ulid:package_id>/progress")
@permits(Permission.DISCLOSURE_LIST)
def progress(package_id: str) -> Response:
    """How far the package is, for the page that waits."""
    with console().db.reading() as session:
        is_pending = get_disclosure(session, package_id).entry_index is None
    found = WAYS.look(package_id)
    if found is None:
        return jsonify({"way": "waiting" if is_pending else "ready", "permille": 0, "words": ""})
    permille = round(1000 * found.sent / found.total) if found.total else 0
    amount = gettext("%(sent)s of %(total)s", sent=size_text(found.sent), total=size_text(found.total))
    words = {
        Way.SENDING: gettext("Being sent: %(amount)s", amount=amount),
        Way.SENT: gettext("Sent whole: %(amount)s", amount=size_text(found.total)),
        Way.BROKEN: gettext(
            "Not sent whole (%(amount)s). What arrived must not be used; fetch the package again.",
            amount=amount,
        ),
    }[found.way]
    if found.error is not None:
        words = sentence(found.error)
    return jsonify({"way": found.way.value, "permille": permille, "words": words})


def _enter_fetch(found: Disclosure, recordings: list[str]) -> None:
    """Enter the fetch and wait until it stands on the log. Raises NotSequencedError."""
    why = f"{found.package_id} · {found.recipient}"
    for entry in playback.enter_views(recordings, Rendition.ORIGINAL, PurposeCode.CASE, why):
        wait_sequenced(console().db, entry, SEQUENCED_WITHIN_S)


def _form(
    case_id: str, form: Form, chosen: frozenset[str] | None = None, refusal: str = "", status: int = 200
) -> Response:
    with console().db.reading() as session:
        case = get_case(session, case_id)
        found = exhibits(session, case_id)
        access = playback.grant_posters([each.recording.id for each in found])
        notes = {each.recording.id: each.exhibit.note for each in found}
        lines = footage_lines(session, [each.recording for each in found], posters=access.ready, notes=notes)
    ready = frozenset(line.id for line in lines if not line.is_pending)
    preparation = Preparation(
        case.id,
        case.number,
        case.title,
        lines,
        ready if chosen is None else chosen,
        sum(line.size for line in lines),
    )
    return render("disclosure/prepare.html", status, form=form, refusal=refusal, preparation=preparation)


def _line(session: Session, found: Disclosure) -> DisclosureLine:
    number = session.scalar(select(CaseFile.number).where(CaseFile.id == found.case_id))
    named = actor_name(session, found.actor, found.at) if found.actor else None
    return DisclosureLine(
        id=found.package_id,
        case_id=found.case_id,
        case_number=(number or "") if may(Permission.CASE_VIEW) else "",  # the auditor sees no case
        recipient=found.recipient,
        purpose=found.purpose,
        count=found.recordings,
        made_at=found.at,
        actor=named.name if named else "",
        entry_id=found.entry_id,
        is_pending=found.entry_index is None,
        is_own=found.actor == current_account().id,
    )
