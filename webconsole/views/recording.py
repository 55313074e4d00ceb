"""One recording: its facts, the player, its chain of custody with proofs, what its receipt is worth, its cases.

Whoever did not record it says why before anything is shown (DOMAIN.md); the purpose is a `view` entry, and
the media addresses work only while such an entry stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy.orm import Session

from casework.access.permission import Permission
from casework.evidence.exhibit import link as link_exhibit
from casework.evidence.exhibit import links_of
from casework.evidence.recording import Recording
from casework.evidence.viewing import PurposeCode, grant_for
from casework.paper.kept import session_entry
from casework.paper.window import Outsiders, Window, window_of
from core.errors import SealdockError
from ingest.media_facts import MediaFacts
from webconsole import playback
from webconsole.context import console
from webconsole.display import wording
from webconsole.display.case_number import case_by_number
from webconsole.display.chain import ChainView, LineProof, chain_view, prove, readable_line
from webconsole.display.facts import Fact, recording_facts
from webconsole.display.keeping import HoldNote, holds_on, keeping_facts
from webconsole.display.player import Player, obstacle, player, question
from webconsole.display.provenance import Disagreement, disagreement, provenance_facts
from webconsole.display.quarantine import QuarantineNote, quarantine_note
from webconsole.forms.field import Form
from webconsole.gate import current_account, permits
from webconsole.i18n import sentence
from webconsole.page import leave_notice, redirect_to, render
from webconsole.qr import svg_qr
from webconsole.reach import is_own, reached
from webconsole.unlinking import take_out

blueprint = Blueprint("recording", __name__, url_prefix="/recordings/<ulid:recording_id>")
LISTED = (Permission.RECORDING_LIST, Permission.RECORDING_LIST_OWN)
WATCHED = (Permission.RECORDING_WATCH, Permission.RECORDING_WATCH_OWN)


@dataclass(frozen=True)
class Linked:
    """A case that the recording belongs to."""

    case_id: str
    number: str
    title: str
    stage: str
    note: str


@dataclass(frozen=True)
class ReceiptCard:
    """The receipt as a picture to photograph, what outsiders have confirmed, and what else there is to print."""

    qr: Markup
    window: Window
    has_session: bool


@dataclass(frozen=True)
class RecordPage:
    """Everything around the player."""

    id: str
    name: str
    is_pending: bool
    is_damaged: bool
    disagreement: Disagreement | None
    quarantine: QuarantineNote | None
    facts: list[Fact]
    links: list[Linked]
    holds: list[HoldNote]
    chain: ChainView
    receipt: ReceiptCard | None


@blueprint.get("")
@permits(*LISTED)
def show(recording_id: str) -> Response:
    """The page."""
    recording = reached(recording_id, *LISTED)
    return _page(recording, _player(recording))


@blueprint.post("/watch")
@permits(*WATCHED)
def watch(recording_id: str) -> Response:
    """Enter the purpose, then show the player."""
    recording = reached(recording_id, *WATCHED)
    form = Form(request.form)
    code = form.choice("purpose_code", PurposeCode)
    purpose = form.text("purpose", limit=500)
    if code is PurposeCode.OWN:
        form.wrong("purpose_code", gettext("Please choose one of the list."))
    if form.mistakes:
        typed = {"purpose_code": form.typed("purpose_code"), "purpose": form.typed("purpose")}
        return _page(recording, question(typed, form.mistakes), status=422)
    playback.grant(recording.id, code, purpose)
    return redirect_to(".show", recording_id=recording.id)


@blueprint.get("/chain/<ulid:entry_id>")
@permits(*LISTED)
def proof(recording_id: str, entry_id: str) -> Response:
    """The proof of one line of the chain, made and verified now."""
    recording = reached(recording_id, *LISTED)
    with console().db.reading() as session:
        line = readable_line(session, recording.id, entry_id)
    proven: LineProof | None = None
    if line.index is not None:
        proven = prove(console().reader, console().vault.verifier, line.index)
    return render("part/proof.html", proof=proven)


@blueprint.post("/link")
@permits(Permission.RECORDING_LINK)
def link(recording_id: str) -> Response:
    """Make the recording an exhibit of a case."""
    form = Form(request.form)
    number, note = form.text("case_number", limit=64), form.text("note", limit=500, required=False)
    try:
        form.check()
        with console().db.writing() as session:
            case = case_by_number(session, number)
            link_exhibit(session, console().submitter, current_account().id, recording_id, case.id, note=note)
    except SealdockError as error:
        leave_notice("fault", sentence(error))
    else:
        console().submitter.ring()
        leave_notice("safe", gettext("Linked to case %(number)s.", number=case.number))
    return redirect_to(".show", recording_id=recording_id)


@blueprint.post("/unlink")
@permits(Permission.RECORDING_LINK)
def unlink(recording_id: str) -> Response:
    """Take the recording out of a case, with the reason."""
    form = Form(request.form)
    case_id, note = form.identifier("case"), form.text("note", limit=500)
    take_out(recording_id, case_id, note, form)
    return redirect_to(".show", recording_id=recording_id)


def _page(recording: Recording, shown: Player, status: int = 200) -> Response:
    with console().db.reading() as session:
        facts = session.get(MediaFacts, recording.id)
        record = RecordPage(
            id=recording.id,
            name=recording.name,
            is_pending=recording.entry_index is None,
            is_damaged=recording.damaged,
            disagreement=disagreement(session, recording),
            quarantine=quarantine_note(session, recording.session_id),
            facts=[
                *recording_facts(recording, facts, provenance_facts(session, recording)),
                *keeping_facts(session, recording),
            ],
            links=_links(session, recording.id),
            holds=holds_on(session, recording),
            chain=chain_view(session, recording.id, "recording.show", recording_id=recording.id),
            receipt=_receipt_card(session, recording),
        )
    return render("recording/show.html", status, record=record, player=shown)


def _player(recording: Recording) -> Player:
    account = current_account()
    with console().db.reading() as session:
        facts = session.get(MediaFacts, recording.id)
        locked = playback.keys_open().sentence
        shown = obstacle(recording, facts, locked)
        if shown is not None or facts is None:
            return shown or question()
        rendition = playback.playing(session, recording.id)
        has_grant = grant_for(session, account.id, recording.id, rendition) is not None
        own = is_own(session, account, recording)
    if not has_grant and not own:
        return question()
    if not has_grant:
        playback.grant(recording.id, PurposeCode.OWN)
    return player(recording, facts)


def _links(session: Session, recording_id: str) -> list[Linked]:
    stages = wording.stages()
    return [
        Linked(
            found.case.id,
            found.case.number,
            found.case.title,
            wording.word(stages, found.exhibit.stage),
            found.exhibit.note,
        )
        for found in links_of(session, recording_id)
    ]


def _receipt_card(session: Session, recording: Recording) -> ReceiptCard | None:
    if recording.entry_index is None:
        return None
    origin = console().vault.origin
    return ReceiptCard(
        svg_qr(f"{origin} {recording.entry_index} {recording.id} sha256:{recording.sha256}"),
        window_of(console().reader, Outsiders.of(console().settings.anchor), recording.entry_index),
        session_entry(session, recording.id) is not None,
    )
