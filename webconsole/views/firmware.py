"""Firmware: which versions recordings came from, and what came from one of them."""

from __future__ import annotations

from flask import Blueprint, Response, request

from casework.access.permission import Permission
from casework.equipment.docked import firmwares, recordings_from
from casework.equipment.recorder import PAGE_SIZE
from webconsole.context import console
from webconsole.forms.field import Form
from webconsole.gate import permits
from webconsole.page import render

blueprint = Blueprint("firmware", __name__, url_prefix="/recorders/firmware")
FIRMWARE_LIMIT = 64


@blueprint.get("")
@permits(Permission.RECORDER_VIEW)
def show() -> Response:
    """The firmware versions that recordings came from."""
    with console().db.reading() as session:
        return render("recorders/firmware.html", versions=firmwares(session))


@blueprint.get("/recordings")
@permits(Permission.RECORDING_LIST)
def recordings() -> Response:
    """The recordings that came from one version, for the day its maker admits a fault."""
    form = Form(request.args)
    version = form.text("version", limit=FIRMWARE_LIMIT)
    profile = form.text("profile", limit=64, required=False)
    after = form.identifier("after", required=False)
    form.check()
    with console().db.reading() as session:
        found = recordings_from(session, version, profile=profile, after=after, limit=PAGE_SIZE + 1)
    shown = found[:PAGE_SIZE]
    return render(
        "recorders/from_firmware.html", version=version, profile=profile, recordings=shown,
        next_after=shown[-1].id if len(found) > PAGE_SIZE else "",
    )  # fmt: skip
