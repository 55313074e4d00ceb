"""The power goes while docks are sealing: what had a receipt is there. The long form is `script/crash power faults`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.disk import NoMountError, room
from crash.house import Foundation, found
from crash.powercut import Fault, Outcome, Trial

pytestmark = pytest.mark.crash
RECEIPTS, PER_CUT = 40, 10  # of the short form
BROKEN_CUTS = 8  # most that a broken promise may hide; each was found at the first


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def place() -> Iterator[Path]:
    with room() as made:
        yield made


def cut(kind: str, foundation: Foundation, place: Path, fault: Fault) -> Outcome:
    try:
        trial = Trial(kind, foundation, place, fault)
    except NoMountError as cause:
        pytest.skip(f"loop mounts are not permitted here: {cause}")
    is_broken = fault is not Fault.NONE
    try:
        return trial.run(RECEIPTS * 2, PER_CUT, until_loss=is_broken, most_cuts=BROKEN_CUTS)
    finally:
        trial.close()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_had_a_receipt_survives_every_power_cut(foundation: Foundation, place: Path, kind: str) -> None:
    outcome = cut(kind, foundation, place, Fault.NONE)
    assert outcome.losses == []
    assert outcome.receipted >= RECEIPTS
    assert outcome.cuts >= 2


@pytest.mark.parametrize("fault", [Fault.OBJECT, Fault.CHECKPOINT, Fault.DATABASE])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_that_check_notices_an_fsync_that_is_taken_out(
    foundation: Foundation, place: Path, kind: str, fault: Fault
) -> None:
    assert cut(kind, foundation, place, fault).losses
