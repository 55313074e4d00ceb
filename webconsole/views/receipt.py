"""Receipts to keep: the file, the stamps beside it, and the page of paper; of a recording and of its session."""

from __future__ import annotations

from flask import Blueprint, Response, url_for
from flask_babel import gettext

from casework.access.permission import Permission
from casework.evidence.recording import Recording
from casework.paper.kept import KeptReceipt, keep, session_entry, session_recordings
from casework.paper.window import Outsiders
from webconsole.context import console
from webconsole.display.paper import House, linked_frame, receipt_sheet
from webconsole.display.stated import with_statement
from webconsole.errors import NotFoundError
from webconsole.gate import permits
from webconsole.i18n import current_locale
from webconsole.page import asset
from webconsole.reach import reached

blueprint = Blueprint("receipt", __name__, url_prefix="/recordings/<ulid:recording_id>/receipt")
LISTED = (Permission.RECORDING_LIST, Permission.RECORDING_LIST_OWN)


@blueprint.get("")
@permits(*LISTED)
def file(recording_id: str) -> Response:
    """The receipt file: a proof that needs nothing of ours to check."""
    kept = _kept(reached(recording_id, *LISTED).entry_index)
    return _download(kept.receipt.raw(), kept.file_name, "text/plain")


@blueprint.get("/stamps/<name>")
@permits(*LISTED)
def stamp(recording_id: str, name: str) -> Response:
    """A time stamp over the receipt's checkpoint."""
    kept = _kept(reached(recording_id, *LISTED).entry_index)
    for path in kept.stamps:
        if path.name == name:
            return _download(path.read_bytes(), f"{kept.file_name}.{name}", "application/timestamp-reply")
    raise NotFoundError(what=gettext("receipt"))


@blueprint.get("/print")
@permits(*LISTED)
def sheet(recording_id: str) -> Response:
    """The receipt on paper."""
    recording = reached(recording_id, *LISTED)
    return _sheet(_kept(recording.entry_index), recording)


@blueprint.get("/session")
@permits(*LISTED)
def session_sheet(recording_id: str) -> Response:
    """The receipt of the docking session that brought the recording, with the digests of all it brought."""
    recording = reached(recording_id, *LISTED)
    with console().db.reading() as session:
        kept = _kept(session_entry(session, recording.id))
        listed = session_recordings(session, kept.leaf)
        kept = with_statement(session, kept, current_locale())
    return _sheet(kept, recording, listed)


def _kept(index: int | None) -> KeptReceipt:
    """Raises NotFoundError for what is not on the log yet, and VaultError."""
    if index is None:
        raise NotFoundError(what=gettext("receipt"))
    return keep(console().reader, Outsiders.of(console().settings.anchor), index)


def _sheet(kept: KeptReceipt, recording: Recording, listed: list[Recording] | None = None) -> Response:
    station = console().settings.station
    back = url_for("recording.show", recording_id=recording.id)
    page = receipt_sheet(
        kept, House(station.bureau, station.name, station.timezone),
        linked_frame(asset, back), current_locale(), listed or (),
    )  # fmt: skip
    return Response(page, mimetype="text/html")


def _download(raw: bytes, name: str, mimetype: str) -> Response:
    disposition = f'attachment; filename="{name}"'
    return Response(raw, mimetype=mimetype, headers={"Content-Disposition": disposition})
