"""The vault's page: is the evidence safe, who outside has seen the log, how much room is left; and the daily page.

It shows no content and no name of a recording, so that the administrator and the auditor see what the custodian
sees of the machine.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request, url_for

from casework.access.permission import Permission
from casework.paper.daily import day_of
from casework.paper.window import Outsiders, window_of
from core.clock import utc_now
from webconsole.context import console
from webconsole.display.paper import House, daily_sheet, linked_frame
from webconsole.display.vault_state import vault_state
from webconsole.forms.field import Form
from webconsole.gate import permits
from webconsole.i18n import current_locale
from webconsole.page import asset, render

blueprint = Blueprint("vault", __name__, url_prefix="/vault")
SEEN_BY = (Permission.STATION_VIEW, Permission.LOG_VIEW)


@blueprint.get("")
@permits(*SEEN_BY)
def show() -> Response:
    """The page."""
    return render("vault/show.html", state=vault_state(), today=_today().isoformat())


@blueprint.get("/checkpoint")
@permits(*SEEN_BY)
def checkpoint() -> Response:
    """The log's head as it was signed: whoever keeps it can hold the log to it."""
    head, note = console().reader.checkpoint()
    disposition = f'attachment; filename="checkpoint-{head.size}"'
    return Response(note, mimetype="text/plain", headers={"Content-Disposition": disposition})


@blueprint.get("/daily")
@permits(Permission.LOG_VIEW)
def daily() -> Response:
    """The daily page, to be printed and signed by two people."""
    station = console().settings.station
    with console().db.reading() as session:
        day = day_of(session, console().reader, _asked_day(), station.timezone, utc_now())
    page = daily_sheet(
        day, console().vault.verifier, window_of(console().reader, Outsiders.of(console().settings.anchor)),
        House(station.bureau, station.name, station.timezone),
        linked_frame(asset, url_for("vault.show")), current_locale(),
    )  # fmt: skip
    return Response(page, mimetype="text/html")


def _asked_day() -> date:
    form = Form(request.args)
    day = form.day("day", required=False)
    form.check()
    return day or _today()


def _today() -> date:
    now: datetime = utc_now().astimezone(ZoneInfo(console().settings.station.timezone))
    return now.date()
