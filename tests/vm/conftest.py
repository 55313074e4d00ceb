"""Machines for tests; a module's tests share nothing but the saved state and the cards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm.card import FileSystem, MakeCard, Tree, make_card
from vm.image import image
from vm.machine import Machine
from vm.place import LabError, lacking
from vm.station import Station

# Minutes each under emulation; the short form leaves them out so that it stays under ten (docs/lab.md).
LONG = frozenset({"test_erase", "test_lights", "test_profile_walk"})
IS_LONG = bool(os.environ.get("SEALDOCK_LAB_LONG"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "vm: boots an emulated machine and plugs devices into it")


def pytest_report_header() -> str:
    left_out = "" if IS_LONG else f"; {', '.join(sorted(LONG))} only with SEALDOCK_LAB_LONG=1"
    return f"lab: {'long' if IS_LONG else 'short'} form{left_out}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if not IS_LONG:
        left_out = [item for item in items if item.path.parent == here and item.path.stem in LONG]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.vm)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))  # the first test of a run may build the image


@pytest.fixture(scope="session", autouse=True)
def lab() -> None:
    """What the lab needs is here, or the tests are not run, and say so."""
    if missing := lacking():
        pytest.skip(missing)
    try:
        image()
    except LabError:
        pytest.skip("the lab's image is not here and cannot be built now; `script/lab build` says why")


@pytest.fixture(scope="module")
def workbench(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that formats cards."""
    with Machine.boot(tmp_path_factory.mktemp("workbench") / "m", with_product=False) as machine:
        yield machine


@pytest.fixture(scope="module")
def make(workbench: Machine, tmp_path_factory: pytest.TempPathFactory) -> MakeCard:
    place = tmp_path_factory.mktemp("cards")

    def make(name: str, kind: FileSystem, tree: Tree) -> Path:
        return make_card(workbench, place / f"{name}.img", kind, tree, name.upper())

    return make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the station's data disk will lie."""
    return tmp_path / "data.img"


@pytest.fixture
def station(lab: None, tmp_path: Path, data: Path) -> Iterator[Station]:
    """A station at work, its hub plugged in."""
    with Station.at_work(tmp_path / "m", data) as station:
        yield station
