"""One bay with several volumes, and what may go wrong between them: what the tile says in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest
from emulation.dock import PORTS, Station
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from devices.detect import Arrival, Departure
from devices.emulation import FOLDER_TYPE
from devices.profile import load_profiles
from ingest import bay as bay_module
from ingest.bay import Bay, Workplace
from ingest.docking import DockingSession
from ingest.error import UnpluggedError
from ingest.offload import Offload
from ingest.status import Tile, TileState

S = TileState
FILM, STRANGE = "DCIM/A.MP4", "holiday.jpg"


class Dock:
    """A bay that the test gives its sightings, and every state its tile has shown."""

    def __init__(self, station: Station, folder: Path) -> None:
        self.station, self._folder, self.states = station, folder, list[TileState]()
        self.tile = Tile(1, self._note)
        stop = Event()
        place = Workplace(
            station.line, load_profiles(), folder / "mounts", {}.get, stop, lambda _session, _number: None
        )
        self.bay = Bay(1, self.tile, place)

    def arrive(self, name: str, path: str | None, fs_type: str = FOLDER_TYPE) -> None:
        """A volume with one file; `path` None for one without any."""
        root = self._folder / name
        (root / (path or "DCIM/x")).parent.mkdir(parents=True, exist_ok=True)
        if path:
            (root / path).write_bytes(name.encode() * 1000)
        control = self.station.plug(name, directory=str(root), serial=f"SN-{name}")
        self.bay.arrive(Arrival(name, PORTS[0], root, fs_type, serial=f"SN-{name}", emulated_by=control))

    def depart(self, name: str) -> None:
        self.bay.depart(Departure(name, PORTS[0]))

    def end(self) -> TileState:
        """The tile once the bay has nothing more to do."""
        assert self.bay.join(60)
        return self.tile.status.state

    def sessions(self) -> list[str]:
        with self.station.db.reading() as session:
            return [row.state for row in session.scalars(select(DockingSession).order_by(DockingSession.id))]

    def _note(self) -> None:
        state = self.tile.status.state
        if not self.states or self.states[-1] is not state:
            self.states.append(state)


@pytest.fixture
def dock(station: Station, tmp_path: Path) -> Dock:
    return Dock(station, tmp_path / "cards")


def broken(*_: object, **__: object) -> NoReturn:
    raise OperationalError(
        "SELECT name FROM ingest_recording WHERE path = 'secret.mp4'", {}, Exception("gone")
    )


@pytest.mark.parametrize("order", [(FILM, STRANGE), (STRANGE, FILM)])
def test_a_volume_that_was_not_recognised_is_not_painted_over_by_a_green_one(
    dock: Dock, order: tuple[str, str]
) -> None:
    for number, path in enumerate(order):
        dock.arrive(f"v{number}", path)
        dock.end()
    assert dock.tile.status.state is S.UNKNOWN
    assert dock.tile.status.message is not None
    assert dock.tile.status.message.code == "devices.unknown"
    dock.depart(f"v{order.index(STRANGE)}")
    assert dock.end() is S.SEALED
    dock.depart(f"v{order.index(FILM)}")
    assert dock.end() is S.EMPTY
    assert dock.sessions() == ["released"]


def test_the_tile_is_green_only_when_no_volume_waits(dock: Dock) -> None:
    for name in ("v0", "v1", "v2"):
        dock.arrive(name, FILM)
    assert dock.end() is S.SEALED
    assert (dock.tile.status.files_done, dock.tile.status.files_total) == (3, 3)
    assert dock.states.count(S.SEALED) == 1
    assert dock.states[-1] is S.SEALED


def test_a_partition_in_which_no_file_system_is_known_keeps_the_bay_from_being_green(dock: Dock) -> None:
    dock.arrive("v0", FILM)
    dock.arrive("v1", None, fs_type="")
    assert dock.end() is S.UNKNOWN
    assert dock.tile.status.message.code == "devices.no_file_system"


def test_an_arrival_takes_the_green_away_at_once(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    dock.arrive("v0", FILM)
    assert dock.end() is S.SEALED
    monkeypatch.setattr(Bay, "_work", lambda _bay: None)
    dock.arrive("v1", FILM)
    assert dock.tile.status.state is S.RECOGNISING


def test_a_recorder_that_leaves_as_it_ends_leaves_no_green_tile(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge: Callable[..., object] = Bay._judge
    monkeypatch.setattr(Bay, "_judge", lambda bay, outcome: (judge(bay, outcome), dock.depart("v0"))[0])
    dock.arrive("v0", FILM)
    assert dock.end() is S.EMPTY
    assert dock.sessions() == ["released"]


def test_a_database_error_is_a_fault_with_a_number_and_the_next_recorder_is_read(
    dock: Dock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Offload, "run", broken)
        dock.arrive("v0", FILM)
        assert dock.end() is S.FAULT
    message = dock.tile.status.message
    assert message is not None
    assert message.code == "ingest.fault"
    assert "secret" not in dock.tile.status.model_dump_json()
    said = capsys.readouterr()
    assert message.parameters["reference"] in said.out + said.err + caplog.text
    dock.depart("v0")
    dock.arrive("v1", FILM)
    assert dock.end() is S.SEALED


def test_a_session_that_cannot_be_released_does_not_keep_the_bay_from_being_emptied(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.arrive("v0", FILM)
    assert dock.end() is S.SEALED
    with monkeypatch.context() as patched:
        patched.setattr(bay_module, "release_session", broken)
        dock.depart("v0")
    assert dock.end() is S.EMPTY
    dock.arrive("v1", FILM)
    assert dock.end() is S.SEALED


def test_a_recorder_put_back_before_its_pull_was_noticed_ends_green(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Offload.run

    def pulled(offload: Offload) -> NoReturn:
        monkeypatch.setattr(Offload, "run", run)
        offload._interrupt("pulled")
        dock.depart("v0")
        dock.arrive("v0", FILM)
        raise UnpluggedError(left=1)

    monkeypatch.setattr(Offload, "run", pulled)
    dock.arrive("v0", FILM)
    assert dock.end() is S.SEALED
    assert dock.sessions() == ["complete"]
