"""The line as a bay uses it, with an emulated recorder behind a real terminal."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from emulation.serial_recorder import MODES, SerialRecorder

from devices.detect import Arrival, Kind
from devices.profile import Profile, find_profile, load_profiles
from devices.serial import attempt
from devices.serial.attempt import Attempts
from devices.serial.error import WrongPasswordError
from devices.serial.secret import PasswordStore
from devices.serial.transcript import Transcript
from ingest.unlocking import LineUnlocker, hand_over, set_back

attempt.COST = 2**4  # of marks in this process: the cost itself is no subject of these tests
PROFILE = "enforcement-serial"


def unlocker(folder: Path, *, word: str = "000000", is_synchronised: bool = True) -> LineUnlocker:
    store = folder / "passwords"
    store.mkdir(mode=0o700)
    (store / f"{PROFILE}.password").write_text(f"{word}\n")
    (store / f"{PROFILE}.password").chmod(0o600)
    (folder / "notes").mkdir(mode=0o700)
    zone = ZoneInfo("Asia/Shanghai")
    return LineUnlocker(PasswordStore(store), Attempts(folder / "notes"), zone, lambda: is_synchronised)


@pytest.fixture
def profiles() -> tuple[Profile, ...]:
    return load_profiles()


def line_of(recorder: SerialRecorder, profiles: tuple[Profile, ...]) -> Arrival:
    table = find_profile(profiles, PROFILE).serial
    assert table is not None
    usb = table.usb[0]
    return Arrival(
        "line", "pci-0000:00:04.0-usb-0:1", recorder.node, "", kind=Kind.SERIAL,
        vendor_id=usb.vendor, product_id=usb.product,
    )  # fmt: skip


@pytest.mark.parametrize("is_synchronised", [True, False])
def test_the_clock_is_set_by_a_station_that_knows_the_time(
    tmp_path: Path, profiles: tuple[Profile, ...], *, is_synchronised: bool
) -> None:
    speak, said = unlocker(tmp_path, is_synchronised=is_synchronised), Transcript()
    with SerialRecorder(MODES["clock-1970"]) as recorder:
        line = line_of(recorder, profiles)
        handover = hand_over(speak, profiles, line, said)
        set_back(speak, handover, line, handover.identity.serial)
        assert (recorder.brain.clock_was_set_to is not None) is is_synchronised
    assert handover.identity.serial == "X1A0001"
    assert handover.condition.clock is not None
    assert handover.transcript is said
    later = [act.command.split()[0] for act in said.acts[len(handover.condition.acts) :] if act.changed]
    assert later == (["password", "set_clock"] if is_synchronised else [])
    assert "000000" not in "".join(line.text for line in said.lines if line.step == "password")


def test_without_a_line_or_a_serial_nothing_is_sent(tmp_path: Path, profiles: tuple[Profile, ...]) -> None:
    speak, said = unlocker(tmp_path), Transcript()
    with SerialRecorder(MODES["normal"]) as recorder:
        line = line_of(recorder, profiles)
        handover = hand_over(speak, profiles, line, said)
        before = len(said.acts)
        set_back(speak, handover, None, "X1A0001")
        set_back(speak, handover, line, "")
    assert len(said.acts) == before


def test_what_was_said_is_kept_when_the_password_is_wrong(
    tmp_path: Path, profiles: tuple[Profile, ...]
) -> None:
    said = Transcript()
    with SerialRecorder(MODES["normal"]) as recorder, pytest.raises(WrongPasswordError):
        hand_over(unlocker(tmp_path, word="111111"), profiles, line_of(recorder, profiles), said)
    assert [act.command for act in said.acts] == ["identify", "password"]
    assert "111111" not in " ".join(map(str, said.lines))
