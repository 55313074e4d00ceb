"""A receipt must prove the very bytes that were deposited; change one fact and expect one exact error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from emulation.dock import Station

from core.db import Database
from devices.profile import load_profiles
from ingest.error import ReceiptError
from ingest.hand import ingest_path
from ingest.receipt import check_receipt
from ingest.recording import IngestRecording
from vault.formats.note import SigningKey


@pytest.fixture
def sealed(station: Station, tmp_path: Path) -> tuple[bytes, IngestRecording, Database]:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/a").write_bytes(b"film")
    (result,) = ingest_path(station.line, tmp_path / "f", profiles=load_profiles()).results
    assert result.receipt is not None
    with station.db.reading() as session:
        return result.receipt, session.get_one(IngestRecording, result.recording_id), station.db


def test_a_true_receipt_gives_the_index(
    station: Station, sealed: tuple[bytes, IngestRecording, Database]
) -> None:
    receipt, row, _ = sealed
    assert check_receipt(receipt, station.vault, row) == row.entry_index


@pytest.mark.parametrize(
    ("fact", "value", "why"),
    [
        ("id", "01M84CNFJE40XFYJYM9SXNTCKV", "another entry"),
        ("sha256", "0" * 64, "seals other bytes"),
        ("size", 5, "seals other bytes"),
    ],
)
def test_a_receipt_of_something_else_is_refused(
    station: Station, sealed: tuple[bytes, IngestRecording, Database], fact: str, value: object, why: str
) -> None:
    receipt, row, _ = sealed
    facts = {name: getattr(row, name) for name in ("id", "sha256", "size", "shown_path", "path", "media")}
    other = IngestRecording(**facts | {fact: value})
    with pytest.raises(ReceiptError, match=why):
        check_receipt(receipt, station.vault, other)


def test_a_receipt_of_another_vault_is_refused(
    station: Station, sealed: tuple[bytes, IngestRecording, Database]
) -> None:
    receipt, row, _ = sealed
    with pytest.raises(ReceiptError, match="signature"):
        check_receipt(
            receipt, replace(station.vault, verifier=SigningKey.generate("sealdock/other").verifier), row
        )


@pytest.mark.parametrize("place", [30, -10, 200])
def test_a_receipt_with_one_byte_changed_is_refused(
    station: Station, sealed: tuple[bytes, IngestRecording, Database], place: int
) -> None:
    receipt, row, _ = sealed
    broken = bytearray(receipt)
    broken[place] ^= 1
    with pytest.raises(ReceiptError):
        check_receipt(bytes(broken), station.vault, row)
