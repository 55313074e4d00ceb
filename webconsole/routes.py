"""Every page and answer of the console, named one by one: what is not here is not served."""

from __future__ import annotations

from flask import Blueprint

from webconsole import playback
from webconsole.api import dock as dock_api
from webconsole.views import (
    cases,
    disclosure,
    dock,
    firmware,
    health,
    inbox,
    officers,
    quarantine,
    receipt,
    recorders,
    recording,
    recordings,
    session,
    vault,
    vault_retention,
)

BLUEPRINTS: tuple[Blueprint, ...] = (
    session.blueprint,
    inbox.blueprint,
    dock.blueprint,
    recordings.blueprint,
    recording.blueprint,
    receipt.blueprint,
    cases.blueprint,
    recorders.blueprint,
    quarantine.blueprint,
    firmware.blueprint,
    officers.blueprint,
    disclosure.blueprint,
    health.blueprint,
    vault.blueprint,
    vault_retention.blueprint,
    playback.blueprint,
    dock_api.blueprint,
)
