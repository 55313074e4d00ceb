"""The dock end to end: a card image goes in, receipts that verify come out."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest
from emulation.card import size_of
from emulation.dock import Station, wait_until
from sqlalchemy import select

from ingest import dockd, status
from ingest.docking import DockingSession
from ingest.recording import IngestRecording
from ingest.status import TileState, read_status
from vault.audit.verify import verify_vault
from vault.formats.proof import Receipt
from vault.log.index import ReceiptRow
from vault.log.ledger import LogReader


def test_a_docked_card_ends_as_receipts_that_verify_and_a_green_tile(
    station: Station, card: Path, footage: Path
) -> None:
    station.start_dockd()
    control = station.plug("a", image=str(card))
    tile = station.wait_tile(TileState.SEALED, TileState.FAULT, TileState.PARTIAL)
    assert tile.state is TileState.SEALED, tile
    assert (tile.files_done, tile.files_total, tile.recorder_serial) == (7, 7, "X1A0001")
    assert (tile.officer_number, tile.officer_name, tile.transport) == ("060123", "Officer A", "exfat-fuse")
    with station.db.reading() as session:
        rows = {row.shown_path: row for row in session.scalars(select(IngestRecording))}
        for row in rows.values():
            leaf = Receipt.parse(session.get_one(ReceiptRow, row.id).text).verify(station.vault.verifier)
            assert leaf.object.size == (footage / row.shown_path).stat().st_size
    assert {row.state for row in rows.values()} == {"receipted"}
    assert sum(row.size for row in rows.values()) == size_of(footage) - len(b"junk")
    control.unlink()
    station.wait_tile(TileState.EMPTY)
    with station.db.reading() as session:
        assert session.scalars(select(DockingSession)).one().state == "released"
    station.stop()
    report = verify_vault(station.vault.path, station.vault.verifier)
    assert report.ok, report.failures
    assert read_status(station.root / "run/dock.json").bays[0].state is TileState.EMPTY
    assert LogReader(station.vault).checkpoint()[0].size >= 8


def test_a_full_disk_and_a_database_that_is_away_do_not_end_the_dock(
    station: Station, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []

    def fail(*_: object, **__: object) -> NoReturn:
        turns.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(status, "write_status", fail)
        patched.setattr(dockd, "RECONCILE_EVERY_S", 0.0)
        patched.setattr(dockd, "reconcile", fail)
        station.start_dockd()
        wait_until(lambda: len(turns) > 6)
    station.plug("a", image=str(card))
    assert station.wait_tile(TileState.SEALED, TileState.FAULT).state is TileState.SEALED
    wait_until(lambda: read_status(station.root / "run/dock.json").bays[:1] != ())
