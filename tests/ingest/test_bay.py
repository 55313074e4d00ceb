"""One bay with several volumes, and what may go wrong between them: what the tile says in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, NoReturn

import pytest
from emulation.dock import PORTS, Station
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from devices.condition import Condition
from devices.detect import Arrival, Departure, Kind
from devices.emulation import FOLDER_TYPE
from devices.profile import Profile, load_profiles
from devices.recorder import Identity, Recorder
from devices.serial.error import ClockNotSetError, SilentError
from devices.serial.transcript import Transcript
from devices.usb_interface import UsbInterface
from ingest import bay as bay_module
from ingest.bay import Bay
from ingest.docking import DockingSession
from ingest.error import NotSealedError, UnpluggedError
from ingest.offload import Offload
from ingest.pulling import Pull
from ingest.status import Tile, TileState
from ingest.workplace import Workplace
from vault.log.outbox import Submitter
from vault.log.submission import Draft

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
        if path and not (root / path).exists():  # put back, it is the same file of the same second
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


# A recorder that is unlocked over its serial line and comes back as a disk.

LINE = "/devices/pci0/usb1/1-1/1-1:1.0/ttyUSB0/tty/ttyUSB0"
DISK = "/devices/pci0/usb2/2-1/2-1:1.0/host0/block/sda"


@dataclass
class Answer:
    """What unlocking tells."""

    identity: Identity
    condition: Condition


class Locked:
    """A dock with one family of recorders that unlock; `unlock` does what the test says a recorder does then."""

    def __init__(self, dock: Dock, switch_timeout_s: float = 5.0) -> None:
        self.dock, self.asked = dock, list[str]()
        (plain,) = [one for one in load_profiles() if one.id == "generic-dcim"]
        (serial,) = [one for one in load_profiles() if one.id == "enforcement-serial"]
        table = serial.serial.model_copy(update={"switch_timeout_s": switch_timeout_s})
        ids = (table.usb[0].vendor, table.usb[0].product)
        self.ids = ids
        unlocked = plain.model_copy(update={"id": "unlocked", "serial": table})
        self.then: Callable[[], None] = lambda: None
        self.refuses_clock = False
        dock.bay._place = replace(dock.bay._place, profiles=(unlocked, plain), unlock=self)

    def __call__(self, arrival: Arrival, profile: Profile, transcript: Transcript) -> Answer:
        self.asked.append(f"{arrival.node} {profile.id}")
        transcript.act("switch", changed=True)
        transcript.sent("switch", b"$SDRMS!")
        self.then()
        return Answer(Identity("X1A0007"), Condition(battery_percent=61, acts=transcript.acts))

    def set_clock(self, arrival: Arrival, profile: Profile, serial: str, transcript: Transcript) -> None:
        self.asked.append(f"{arrival.node} {profile.id} clock {serial}")
        transcript.act("set_clock", changed=True)
        if self.refuses_clock:
            raise ClockNotSetError(serial=serial, why="the station's own clock is not synchronised")

    def plug_line(self) -> None:
        self.dock.bay.arrive(
            Arrival(
                LINE, PORTS[0], Path("/dev/ttyUSB0"), "", kind=Kind.SERIAL, usb_device="/devices/pci0/usb1/1-1",
                vendor_id=self.ids[0], product_id=self.ids[1],
            )
        )  # fmt: skip

    def reboot(self) -> None:
        """The line goes and the disk comes: another device, another bus, the same bay."""
        self.dock.bay.depart(Departure(LINE, PORTS[0]))
        self.dock.arrive(DISK.replace("/", "_"), FILM)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """The recorders that were pulled."""
    found: list[Recorder] = []
    offload: Callable[..., object] = Pull._offload
    monkeypatch.setattr(
        Pull,
        "_offload",
        lambda pull, recorder, profile, how: (found.append(recorder), offload(pull, recorder, profile, how))[
            1
        ],
    )
    return found


def test_a_recorder_that_comes_back_as_a_disk_is_one_session_of_this_bay(
    dock: Dock, seen: list[Recorder]
) -> None:
    locked = Locked(dock)
    locked.then = locked.reboot
    locked.plug_line()
    assert dock.end() is S.SEALED
    assert dock.sessions() == ["complete"]
    assert S.EMPTY not in dock.states
    assert locked.asked == ["/dev/ttyUSB0 unlocked"]
    (recorder,) = seen
    assert (recorder.identity.serial, recorder.condition.battery_percent) == ("X1A0007", 61)
    assert [act.command for act in recorder.condition.acts] == ["switch"]
    assert dock.tile.status.recorder_serial == "X1A0007"


def test_a_disk_that_was_quicker_than_the_answer_is_still_that_recorder(
    dock: Dock, seen: list[Recorder]
) -> None:
    locked = Locked(dock)
    locked.then = lambda: dock.arrive("quick", FILM)
    locked.plug_line()
    assert dock.end() is S.SEALED
    assert [one.identity.serial for one in seen] == ["X1A0007"]


def test_an_unlocked_recorder_whose_disk_never_comes_is_a_sentence(dock: Dock) -> None:
    locked = Locked(dock, switch_timeout_s=1.0)
    locked.then = lambda: dock.bay.depart(Departure(LINE, PORTS[0]))
    locked.plug_line()
    assert dock.end() is S.FAULT
    assert dock.tile.status.message is not None
    assert dock.tile.status.message.code == "ingest.switch"
    dock.arrive("other", FILM)
    assert dock.end() is S.SEALED


def test_a_recorder_pulled_while_it_is_unlocked_is_asked_back(dock: Dock) -> None:
    locked = Locked(dock)

    def pulled() -> None:
        dock.bay.depart(Departure(LINE, PORTS[0]))
        raise OSError(5, "Input/output error")

    locked.then = pulled
    locked.plug_line()
    assert dock.end() is S.INTERRUPTED
    assert dock.tile.status.message is not None
    assert dock.tile.status.message.code == "ingest.left_unlocking"
    dock.arrive("other", FILM)
    assert dock.end() is S.SEALED


def test_what_the_line_told_is_not_believed_of_the_next_recorder(dock: Dock, seen: list[Recorder]) -> None:
    locked = Locked(dock)
    locked.then = locked.reboot
    locked.plug_line()
    assert dock.end() is S.SEALED
    dock.depart(DISK.replace("/", "_"))
    dock.arrive("another", FILM)
    assert dock.end() is S.SEALED
    assert [one.identity.serial for one in seen] == ["X1A0007", "SN-another"]
    assert seen[1].condition.acts == ()


def test_a_line_that_no_profile_names_is_not_spoken_to(dock: Dock) -> None:
    locked = Locked(dock)
    locked.ids = ("dead", "beef")
    locked.plug_line()
    assert dock.end() is S.UNKNOWN
    assert locked.asked == []


def test_a_dock_without_a_key_store_says_so(dock: Dock) -> None:
    locked = Locked(dock)
    dock.bay._place = replace(dock.bay._place, unlock=None)
    locked.plug_line()
    assert dock.end() is S.FAULT
    assert dock.tile.status.message is not None
    assert dock.tile.status.message.code == "ingest.no_transport"


def test_a_keyboard_in_a_bay_is_named_and_refused(dock: Dock) -> None:
    keyboard = UsbInterface(3, 1, 1)
    dock.bay.arrive(Arrival("k", PORTS[0], Path("/dev/null"), "", kind=Kind.OTHER, interfaces=(keyboard,)))
    assert dock.end() is S.UNKNOWN
    message = dock.tile.status.message
    assert message is not None
    assert (message.code, "keyboard" in str(message.parameters["interfaces"])) == (
        "ingest.not_a_recorder",
        True,
    )
    dock.depart("k")
    assert dock.end() is S.EMPTY


def kept_bodies(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The bodies of session entries as they are put on their way to the log."""
    found: list[dict[str, Any]] = []
    submit = Submitter.submit

    def noted(submitter: Submitter, session: Any, draft: Draft) -> Any:
        if draft.type == "session":
            found.append(draft.body)
        return submit(submitter, session, draft)

    monkeypatch.setattr(Submitter, "submit", noted)
    return found


def test_the_session_of_an_unlocked_recorder_says_how_and_keeps_what_was_said(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, locked = kept_bodies(monkeypatch), Locked(dock)
    locked.then = locked.reboot
    locked.plug_line()
    assert dock.end() is S.SEALED
    (body,) = bodies
    assert body["statement"]["identity_by"] == "unlock"
    assert body["statement"]["condition"]["acts"] == [{"command": "switch", "changed": True}]
    assert [line.split(" ", 1)[1] for line in body["transcript"]] == ["switch sent $SDRMS!"]
    assert "transcript" not in body["statement"]


def test_interfaces_that_were_not_let_in_are_in_the_entry(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = kept_bodies(monkeypatch)
    arrive = dock.bay.arrive
    monkeypatch.setattr(dock.bay, "arrive", lambda arrival: arrive(arrival, ("03:01:01 (keyboard)",)))
    dock.arrive("v0", FILM)
    assert dock.end() is S.SEALED
    assert bodies[0]["refused_interfaces"] == ["03:01:01 (keyboard)"]
    assert "transcript" not in bodies[0]


@pytest.mark.parametrize("refuses", [False, True])
def test_the_clock_is_set_after_the_receipts_where_the_line_is_still_there(
    dock: Dock, monkeypatch: pytest.MonkeyPatch, *, refuses: bool
) -> None:
    """Every command is in the statement, also when the setting fails: then the recording keeps its measured drift."""
    bodies, locked = kept_bodies(monkeypatch), Locked(dock)
    locked.refuses_clock = refuses
    locked.then = lambda: dock.arrive("disk", FILM)  # the line stays beside its disk
    locked.plug_line()
    assert dock.end() is S.SEALED
    assert locked.asked == ["/dev/ttyUSB0 unlocked", "/dev/ttyUSB0 unlocked clock X1A0007"]
    acts = [act["command"] for act in bodies[0]["statement"]["condition"]["acts"]]
    assert acts == ["switch", "set_clock"]


def test_no_clock_is_set_while_something_is_missing(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = Locked(dock)
    locked.then = lambda: dock.arrive("disk", FILM)
    begin = Offload._begin

    def with_a_failure(offload: Offload) -> None:
        begin(offload)
        offload.outcome.failures["DCIM/B.MP4"] = NotSealedError(path="DCIM/B.MP4", why="a test")

    monkeypatch.setattr(Offload, "_begin", with_a_failure)
    locked.plug_line()
    assert dock.end() is S.PARTIAL
    assert locked.asked == ["/dev/ttyUSB0 unlocked"]
    assert dock.tile.status.needs == "custodian"


def test_what_was_sent_before_an_unlocking_failed_is_kept(dock: Dock) -> None:
    locked = Locked(dock)

    def silent() -> NoReturn:
        raise SilentError(device="/dev/ttyUSB0", step="switch", tries=1)

    locked.then = silent
    locked.plug_line()
    assert dock.end() is S.FAULT
    (stay,) = dock.bay._stays.values()
    assert stay.transcript is not None
    assert [act.command for act in stay.transcript.acts] == ["switch"]
    assert dock.tile.status.needs == "replug"
