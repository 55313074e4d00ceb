"""vaultd dies at every moment it can die at: nothing that was acknowledged is lost, nothing is there twice.

Each write step failing or killed: test_write_steps.py. The power going: test_power_cut.py.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from crash import child
from crash.house import Foundation, House, found
from sqlalchemy import select

from vault.log.index import EntryRow
from vault.log.outbox import RowState
from vault.log.submission import Draft

pytestmark = pytest.mark.crash
ROUNDS = 25


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


def check(house: House, acknowledged: list[str]) -> None:
    """Every submission on the log once, database and vault agreeing, nothing left over."""
    leaves = list(house.reader.leaves())
    ids = [leaf.id for leaf in leaves]
    assert len(set(ids)) == len(ids)
    assert set(acknowledged) <= set(ids)
    assert {row.state for row in house.rows()} <= {RowState.SEQUENCED}
    for row in house.rows():
        assert row.entry_index is not None
        assert ids[row.entry_index] == row.id
    with house.db.reading() as session:
        assert list(session.scalars(select(EntryRow.id).order_by(EntryRow.index))) == ids
    assert list((house.vault.path / "incoming").iterdir()) == []
    report = house.verify()
    assert report.ok, report.failures


def submit_some(house: House, count: int = 3) -> list[str]:
    ids = [house.case() for _ in range(count)]
    recording = house.ingest(os.urandom(70_000))
    return [*ids, recording, house.submit("console", Draft("view", about=(recording,)))]


def test_killed_at_random_moments_while_others_submit(foundation: Foundation, tmp_path: Path) -> None:
    house = House.copy(foundation, tmp_path / "house")
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)  # noqa: S311  # not a secret, and printed so that a failure can be played again
    ids: list[str] = []
    for _ in range(ROUNDS):
        working = child.start(child.run_vaultd, house.directory)
        ids += submit_some(house)
        time.sleep(moments.uniform(0, 0.25))
        working.kill()
        assert child.outcome(working) == -signal.SIGKILL, f"seed {seed}"
    house.settle()
    check(house, ids)
    house.close()


def test_killed_between_the_checkpoint_and_the_database(foundation: Foundation, tmp_path: Path) -> None:
    """The entries are on the log and the database does not know: the next start tells it, and repeats nothing."""
    house = House.copy(foundation, tmp_path / "house")
    ids = submit_some(house)
    house.settle()  # the database knows the founding and these
    ids += submit_some(house)
    for doomed in (child.settle_dying_before_the_commit, child.settle_dying_in_the_commit):
        before = house.reader.size
        assert child.outcome(child.start(doomed, house.directory)) == -signal.SIGKILL
        assert house.reader.size > before
        with house.db.reading() as session:
            entered = list(session.scalars(select(EntryRow.index)))
        assert len(entered) < house.reader.size
        house.settle()
        check(house, ids)
        ids += submit_some(house)
    house.settle()
    check(house, ids)
    house.close()


def test_of_two_that_start_at_once_one_writes(foundation: Foundation, tmp_path: Path) -> None:
    house = House.copy(foundation, tmp_path / "house")
    ids: list[str] = []
    for _ in range(4):
        ids += submit_some(house)
        rivals = [
            child.start(child.run_vaultd_or_say_why, house.directory, tmp_path / "why") for _ in range(3)
        ]
        end = time.monotonic() + child.PATIENCE_S
        while house.rows(RowState.PENDING) or sum(rival.is_alive() for rival in rivals) > 1:
            assert time.monotonic() < end, [rival.exitcode for rival in rivals]
            time.sleep(0.01)
        assert sorted(rival.exitcode is None for rival in rivals) == [False, False, True]
        child.kill(*(rival for rival in rivals if rival.is_alive()))
    said = (tmp_path / "why").read_text().splitlines()
    assert len(said) == 8
    assert all("Another vaultd already writes the log" in sentence for sentence in said)
    check(house, ids)
    house.close()
