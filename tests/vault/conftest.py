"""A founded vault, copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.house import Foundation, House, found


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def house(foundation: Foundation, tmp_path: Path) -> Iterator[House]:
    house = House.copy(foundation, tmp_path / "house")
    yield house
    house.close()
