"""The table: every write step x {failed, failed but persisted, killed}; its long form is `script/crash steps`."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.house import Foundation, found
from crash.writestep import WAYS, Way, failing, killing

pytestmark = pytest.mark.crash
LEAST_STEPS = 40  # an ingest, its commit and a case entry have about sixty today


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_step_that_fails_loses_nothing(foundation: Foundation, tmp_path: Path, way: Way) -> None:
    row = failing(way, foundation, tmp_path / "house")
    assert row.losses == []
    assert row.steps > LEAST_STEPS
    assert row.silent == []


def test_killed_before_every_single_step_of_a_commit(foundation: Foundation, tmp_path: Path) -> None:
    row = killing(foundation, tmp_path / "house")
    assert row.losses == []
    assert row.steps > LEAST_STEPS
