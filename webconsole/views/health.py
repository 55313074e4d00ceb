"""The station's health for custodian, auditor and administrator: what needs somebody first, what is well in quiet.

It shows no content and no name of a recording. The page asks again every few seconds and is answered 304 while
nothing changed; when it was looked is told beside the answer, so that old news never looks new.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request

from casework.access.permission import Permission
from core.clock import utc_now
from core.digest import sha256_hex
from webconsole.context import console
from webconsole.display.health import health
from webconsole.gate import permits
from webconsole.page import render

blueprint = Blueprint("health", __name__, url_prefix="/health")
LOOKED_HEADER = "X-Health-Looked"  # the time of day on the bureau's clock


@blueprint.get("")
@permits(Permission.STATION_VIEW)
def show() -> Response:
    """The page."""
    return render("health/show.html", health=health(), looked=_time_of_day())


@blueprint.get("/now")
@permits(Permission.STATION_VIEW)
def now() -> Response:
    """What stands on the page, alone; 304 while it stands as it is."""
    response = render("health/now.html", health=health())
    response.set_etag(sha256_hex(response.get_data())[:32])
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers[LOOKED_HEADER] = _time_of_day()
    response.vary.update(("Cookie", "Accept-Language"))
    response.make_conditional(request)
    return response


def _time_of_day() -> str:
    return f"{utc_now().astimezone(ZoneInfo(console().settings.station.timezone)):%H:%M:%S}"
