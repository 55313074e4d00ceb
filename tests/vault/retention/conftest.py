"""A house whose clock is half a year ahead, with two people who may approve."""

from __future__ import annotations

import pytest
from crash.house import House
from keeping.people import HALF_A_YEAR, Keeping


@pytest.fixture
def keeping(house: House) -> Keeping:
    keeping = Keeping(house)
    keeping.begin()
    keeping.ahead = HALF_A_YEAR
    return keeping


@pytest.fixture
def two(keeping: Keeping) -> list[str]:
    return [keeping.person("custodian"), keeping.person("head")]
