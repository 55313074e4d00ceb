"""Which entry writes which table: the list that live work and the replay of the log share."""

from __future__ import annotations

from casework.case import apply_case
from casework.disclosure import apply_export
from casework.exhibit import apply_link
from casework.people import apply_account, apply_officer, apply_recorder, apply_unit
from casework.recording import apply_ingest
from casework.viewing import apply_view
from vault.outbox import Projections


def register(projections: Projections, zone: str) -> None:
    """Register casework's projections; `zone` is the station's, in which recorders keep their time."""
    projections.on("unit", apply_unit)
    projections.on("officer", apply_officer)
    projections.on("recorder", apply_recorder)
    projections.on("account", apply_account)
    projections.on("ingest", apply_ingest(zone))
    projections.on("case", apply_case)
    projections.on("link", apply_link)
    projections.on("view", apply_view)
    projections.on("export", apply_export)
