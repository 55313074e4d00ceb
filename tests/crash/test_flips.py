"""The short form of `script/crash flips`."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.flips import run

pytestmark = pytest.mark.stock
KINDS = {
    "objects", "packs/000", "keys/slots", "keys/buckets", "keys/root.recipient", "keys/recovery.recipient",
    "log/checkpoint", "log/handover", "log/anchors", "log/tile/0", "log/tile/1", "log/tile/entries",
}  # fmt: skip


def test_no_bit_can_turn_unseen(tmp_path: Path) -> None:
    outcome = run(500, 7, tmp_path)
    assert outcome.missed == []
    assert outcome.crashed == []
    assert sum(outcome.flips.values()) == 500
    assert set(outcome.flips) >= KINDS
