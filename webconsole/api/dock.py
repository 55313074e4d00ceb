"""What the bays are doing, for the dock board: polled about once a second, without a password.

The board hangs in a corridor, so this says only what its tiles show: who put a recorder in and how far it is.
No footage, no case, no name of a file.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass

from flask import Blueprint, Response, jsonify, request

from core.canonical import Json, encode
from core.digest import sha256_hex
from core.errors import SealdockError
from ingest.status import read_status
from webconsole.context import console
from webconsole.gate import public

blueprint = Blueprint("dock_api", __name__, url_prefix="/api")
BAY_FIELDS = (
    "number", "state", "officer_name", "officer_number", "recorder_serial", "files_done", "files_total",
    "bytes_done", "bytes_total", "bytes_per_second", "seconds_left", "message", "session_id",
)  # fmt: skip


@blueprint.get("/dock")
@public
def show_dock() -> Response:
    """The board; 304 while nothing moved."""
    status = board()
    etag = sha256_hex(encode({"bays": status["bays"], "station": status["station"]}))[:32]
    response = jsonify(status)
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response.make_conditional(request)


def board() -> Json:
    """What the tiles show; a board without bays and a sentence while dockd has not spoken."""
    context = console()
    status = read_status(context.settings.run / "dock.json")
    return {"at": status.at, "station": status.station, "bays": [_tile(bay) for bay in status.bays]}
