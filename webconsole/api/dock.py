"""What the bays are doing, for the dock board: polled about once a second, without a password.

The board hangs in a corridor, so this says what its tiles show and no more: no footage, no case. An error
comes as the sentence in the reader's language; its code and parameters stay inside.
"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask_babel import gettext

from core.canonical import Json, encode
from core.digest import sha256_hex
from ingest.status import BayStatus, TileState, read_status
from webconsole.context import console
from webconsole.display.wording import silence
from webconsole.gate import public
from webconsole.i18n import current_locale, sentence_of

blueprint = Blueprint("dock_api", __name__, url_prefix="/api")
INSIDE = {"message", "file", "session_id"}  # what footage is called is nothing for a corridor


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
