"""Every page and answer of the console, named one by one: what is not here is not served."""

from __future__ import annotations

from flask import Blueprint

from webconsole import playback
from webconsole.api import dock as dock_api
from webconsole.views import cases, disclosure, dock, inbox, recording, recordings, session

BLUEPRINTS: tuple[Blueprint, ...] = (
    session.blueprint,
    inbox.blueprint,
    dock.blueprint,
    recordings.blueprint,
    recording.blueprint,
    cases.blueprint,
    disclosure.blueprint,
    playback.blueprint,
    dock_api.blueprint,
)
