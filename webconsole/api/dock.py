"""What the bays are doing, for the dock board: polled about once a second, without a password.

The board hangs in a corridor, so this says what its tiles show and no more: no footage, no case. An error
comes as the sentence in the reader's language; its code and parameters stay inside.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, render_template, request
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import select

from casework.paper.kept import keep
from casework.paper.scan import NotOnPaperError, pieces
from casework.paper.window import Outsiders
from core.canonical import Json, encode
from core.digest import sha256_hex
from ingest.status import BayStatus, TileState, read_status
from vault.error import VaultError
from vault.log.index import EntryRow
from webconsole.api import dock_officer
from webconsole.context import console
from webconsole.display.kiosk import checks
from webconsole.display.tile import silent_tile, tile
from webconsole.display.wording import silence
from webconsole.gate import public
from webconsole.i18n import current_locale, sentence_of
from webconsole.qr import svg_qr

blueprint = Blueprint("dock_api", __name__, url_prefix="/api")
blueprint.register_blueprint(dock_officer.blueprint)
INSIDE = {"message", "file", "session_id", "question"}  # what footage is called is nothing for a corridor


@blueprint.get("/dock")
@public
def show_dock() -> Response:
    """The board; 304 while nothing moved."""
    status = board()
    response = jsonify(status)
    response.set_etag(sha256_hex(encode(status | {"locale": current_locale()}))[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.update(("Cookie", "Accept-Language"))
    response.make_conditional(request)
    return response


@blueprint.get("/dock/bays/<int:number>")
@public
def show_bay(number: int) -> Response:
    """One bay's sheet: what to do, the pre-shift check, and the receipt as a code once it is sealed."""
    settings = console().settings
    status = read_status(settings.run / "dock.json")
    bay = next((bay for bay in status.bays if bay.number == number), BayStatus(number=number))
    shown = silent_tile(number) if status.is_stale else tile(bay, settings.station.timezone)
    bay = BayStatus(number=number) if status.is_stale else bay
    codes, index = _receipt(bay)
    html = render_template("dock/bay.html", bay=bay, tile=shown, checks=checks(bay), codes=codes, index=index)
    return jsonify({"html": html})


def _receipt(bay: BayStatus) -> tuple[list[Markup], int | None]:
    """The session's receipt as codes to scan, and its place in the log; nothing before it is sealed."""
    if bay.state is not TileState.SEALED or not bay.session_id:
        return [], None
    with console().db.reading() as session:
        index = session.scalar(select(EntryRow.index).where(EntryRow.id == bay.session_id))
    if index is None:
        return [], None
    try:
        kept = keep(console().reader, Outsiders.of(console().settings.anchor), index)
        return [svg_qr(piece.decode()) for piece in pieces(kept.on_paper.raw())], index
    except (
        VaultError,
        NotOnPaperError,
    ):  # the receipt is in the vault; a sheet without its code says its number
        return [], index


def board() -> Json:
    """What the tiles show; no bays and a sentence while the dock has not spoken."""
    station = console().settings.station
    status = read_status(console().settings.run / "dock.json")
    if not status.at:
        silent = gettext("The dock is not running. Recorders are safe in their bays; ask the administrator.")
        return {"at": None, "is_stale": True, "station": station.name, "bays": [], "sentence": str(silent)}
    shown = [_silent(bay.number) if status.is_stale else _tile(bay) for bay in status.bays]
    return {"at": status.at, "is_stale": status.is_stale, "station": status.station, "bays": shown}


def _silent(number: int) -> Json:
    """A bay of which nothing is known any more; what was said of it last is left out."""
    return {"number": number, "state": TileState.UNKNOWN.value, "sentence": silence()}


def _tile(bay: BayStatus) -> Json:
    tile = bay.model_dump(mode="json", exclude=INSIDE, exclude_none=True)
    if bay.message is not None:
        tile["sentence"] = sentence_of(bay.message.code, bay.message.parameters)
    return tile
