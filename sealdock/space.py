"""The room of this station: what vault, history and dock together say of it."""

from __future__ import annotations

from core.settings import MEBIBYTE
from ingest.room import promised_by
from ingest.status import read_status
from sealdock.wiring import Station
from vault.care.space import Space, measure


def space_of(station: Station) -> Space:
    """The room of this station's vault, with what the dock is copying at this moment."""
    reserve = station.settings.fixity.reserve_mib * MEBIBYTE
    promised = promised_by(read_status(station.dock_status))
    with station.db.reading() as session:
        return measure(station.settings.vault, session, reserve=reserve, promised=promised)


def told_space(space: Space) -> str:
    """The room in one line, honest about what is not known."""
    room = f"{space.room / 1e9:,.1f} GB for footage"
    if space.promised:
        room += f" ({space.promised / 1e9:,.1f} GB more are promised to copies under way)"
    if space.sealed_per_day is None:
        return f"{room}; too little history to say for how many days ({space.history_days:.1f} of 7 days)"
    if not space.days_until_full:
        rest = "; it is full" if not space.room else "; nothing was sealed in four weeks"
        return f"{room}{rest}"
    return f"{room}; full in about {space.days_until_full:,.0f} days ({space.sealed_per_day / 1e9:,.2f} GB a day)"
