"""Recorders that unlock over a serial line, pulled out in the middle, and with a wrong password."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from emulation.serial_recorder import Nature
from vm.aftermath import ended, proven, said
from vm.card import FileSystem, MakeCard, film
from vm.line import LineRecorder
from vm.station import Station

PROFILE = "enforcement-serial"
SERIAL = "X1A0021"
RIGHT, WRONG = "2468", "1357"
IN_1970 = datetime(1970, 1, 1, 8, 0, 12)  # noqa: DTZ001  a recorder's clock has no zone
YEAR_S = 365 * 86_400
NATURE = Nature(serial=SERIAL.encode(), password=RIGHT.encode(), clock_starts_at=IN_1970)
PASSWORD = b"$SDRPW,"


def password(station: Station, secret: str) -> None:
    folder = f"/data/passwords/{PROFILE}"
    station.machine.guest.run(
        f"install -d -m 0750 /data/passwords {folder} && umask 077 && cat >{folder}/{SERIAL}.password",
        stdin=f"{secret}\n".encode(),
    )


def evidence() -> dict[str, bytes]:
    """The storage of an unlocked recorder, named by its clock."""
    name = f"EVIDENCE/1970-01-01/{SERIAL}_060141_19700101080{{0}}00_0000{{0}}.mp4"
    return {"EVIDENCE/SDR1.ID": b"SDR1\n", **{name.format(number): film() for number in (1, 2)}}


def test_unplugged_while_it_is_unlocked_and_with_a_wrong_password(
    make: MakeCard, station: Station, tmp_path: Path
) -> None:
    """One recorder, four dockings: torn out, refused, not asked again, and with the right password to its receipts."""
    tree = evidence()
    card, usb = make("unlocked", FileSystem.FAT32, tree), station.machine.usb
    password(station, WRONG)
    with LineRecorder(tmp_path / "l", replace(NATURE, delay_s=1.0)) as recorder:
        usb.serial_line("torn", "5.1", tmp_path / "l", serial="S1")
        station.until(lambda: recorder.heard(b"$SDRID?") > 0)
        usb.pull("torn")  # before its answer, and so before any password
        station.until(lambda: said(station.tiles()[1])[0] == "interrupted")
        assert said(station.tiles()[1]) == ("interrupted", "ingest.left_unlocking", "put_back")
        assert recorder.heard(PASSWORD) == 0
    (tmp_path / "l").unlink()
    with LineRecorder(tmp_path / "l", NATURE) as recorder:
        usb.serial_line("wrong", "5.2", tmp_path / "l", serial="S1")
        assert said(ended(station, 2)) == ("fault", "devices.serial.wrong_password", "custodian")
        usb.pull("wrong")
        station.until_state(2, "empty")
        usb.serial_line("again", "7", tmp_path / "l", serial="S1")
        assert said(ended(station, 3)) == ("fault", "devices.serial.refused_before", "custodian")
        usb.pull("again")
        station.until_state(3, "empty")
        assert recorder.heard(PASSWORD) == 1  # a wrong password is sent once and never again
        password(station, RIGHT)
        station.sealdock("dock", "forgive", PROFILE, SERIAL)
        usb.serial_line("right", "5.2", tmp_path / "l", serial="S1")
        station.until(lambda: recorder.brain.is_storage)
        usb.pull("right")  # it becomes a disk in the same bay
        usb.storage("disk", "5.2", card, serial="S1", read_only=True)
        tile = ended(station, 2)
    assert said(tile) == ("sealed", None, None)
    assert (tile["recorder_serial"], tile["profile"]) == (SERIAL, PROFILE)
    assert tile["clock_offset_s"] < -50 * YEAR_S  # told, and nothing is made of it
    kept = proven(station, tree.values())
    assert {body["identity_by"] for body in kept.bodies} == {"unlock"}
    assert RIGHT not in str(kept.bodies)
