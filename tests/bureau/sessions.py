"""Docking sessions as their entries tell casework of them."""

from __future__ import annotations

from datetime import UTC, datetime

from bureau.desk import Desk

from core.clock import new_id, stamp
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry

NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)
SERIAL = "X1A0123"


def session_entry(at: datetime = NOON, **fields: object) -> AppliedEntry:
    """A docking session's entry as the dock writes it."""
    identity = new_id()
    body = {
        "recorder_serial": SERIAL, "officer_number": "060123", "bay": 3, "profile": "enforcement-serial",
        "transport": "block", "ignored": 0, "failures": [], "failures_total": 0,
        "firmware": "V2.1.7", "battery_percent": 81, **fields,
    }  # fmt: skip
    facts = {"files": 4, "bytes": 400, "outcome": "complete", "session": identity}
    return AppliedEntry(
        Leaf(id=identity, type="session", time=stamp(at), by="dockd", facts=facts), body, None
    )


def dock(desk: Desk, *entries: AppliedEntry) -> None:
    """Let casework hear of sessions."""
    with desk.db.writing() as session:
        for entry in entries:
            desk.projections.apply(session, entry)
