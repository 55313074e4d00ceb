from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from emulation.serial_recorder import MODES, Nature, SerialRecorder, noisy

from devices.condition import Act, OwnerRecord
from devices.error import DepartedError
from devices.recorder import Identity
from devices.serial.error import (
    NoPasswordError,
    PasswordRefusedBeforeError,
    PasswordWaitsError,
    PortError,
    RecorderLockedError,
    SilentError,
    TriesSpentError,
    UnreadableReplyError,
    WrongPasswordError,
)
from devices.serial.transcript import Transcript
from devices.serial.unlock import Access, unlock

from .conftest import keep_password


def test_a_locked_recorder_says_who_it_is_and_how_it_is_and_becomes_storage(access: Access) -> None:
    with SerialRecorder() as recorder:
        unlocked = unlock(recorder.node, access, Identity("usb-claim", "0403", "6001"))
    assert recorder.brain.is_storage
    assert unlocked.identity == Identity("X1A0001", "0403", "6001")
    condition = unlocked.condition
    assert (condition.battery_percent, condition.firmware) == (87, "DSJ-7 1.4.2")
    assert (condition.free_bytes, condition.capacity_bytes) == (51200 << 20, 61440 << 20)
    assert condition.owner == OwnerRecord("X1A0001", "060123", "张伟", "110105000000", "朝阳分局")
    assert condition.clock is not None
    assert abs(condition.clock.offset_s) <= condition.clock.uncertainty_s < 2
    assert condition.acts == (
        Act("identify", False),
        Act("password", True),
        Act("read_clock", False),
        Act("battery", False),
        Act("read_owner", False),
        Act("switch", True),
    )
    assert recorder.brain.clock_was_set_to is None, "nothing is set before the receipt"


def test_the_transcript_has_everything_but_the_secret(access: Access, store: Path) -> None:
    keep_password(store, "s3cret-Passw0rd")
    with SerialRecorder(Nature(password=b"s3cret-Passw0rd", echoes=True)) as recorder:
        said = "\n".join(map(str, unlock(recorder.node, access).transcript))
    assert "$SDRPW,{password}*{checksum}" in said
    assert "$SDRBT,87,51200,61440" in said
    assert "s3cret" not in said
    assert b"s3cret-Passw0rd".hex() not in said


@pytest.mark.parametrize("beginning", [b"$SDRPW", b"$SDRBT", b"$SDROW", b"$SDRMS"])
def test_not_even_a_part_of_the_secret_comes_back_into_the_transcript(
    quick_access: Access, store: Path, beginning: bytes
) -> None:
    keep_password(store, "s3cret-Passw0rd")
    kept = Transcript()
    echo = Nature(password=b"s3cret-Passw0rd", answers={beginning: b"$SDRPW,s3cret-Pa\r\n"})
    with SerialRecorder(echo) as recorder, suppress(UnreadableReplyError):
        unlock(recorder.node, quick_access, transcript=kept)
    said = "\n".join(map(str, kept.lines))
    assert "s3cret" not in said
    assert "18 bytes came back, which are not kept" in said


def test_a_wrong_password_is_sent_once_and_never_again_even_after_a_restart(
    access: Access, store: Path
) -> None:
    with SerialRecorder(MODES["locks"]) as recorder:
        with pytest.raises(WrongPasswordError):
            unlock(recorder.node, access)
        for _ in range(5):  # each is a new process's view: the notes are on disk
            with pytest.raises(PasswordRefusedBeforeError):
                unlock(recorder.node, access)
        assert recorder.brain.wrong == 1
        keep_password(store, "another")
        with pytest.raises(PasswordWaitsError):
            unlock(recorder.node, access)
        with pytest.raises(WrongPasswordError):
            unlock(recorder.node, access, now=lambda: datetime.now(UTC) + timedelta(minutes=2))
        keep_password(store, "a third")
        with pytest.raises(TriesSpentError, match="2 tries are spent and 3 wrong ones lock it"):
            unlock(recorder.node, access, now=lambda: datetime.now(UTC) + timedelta(days=9))
        assert recorder.brain.wrong == 2
        assert not recorder.brain.is_locked


def test_after_a_person_mended_it_the_right_password_opens(access: Access, store: Path) -> None:
    with SerialRecorder(Nature(password=b"right")) as recorder:
        with pytest.raises(WrongPasswordError):
            unlock(recorder.node, access)
        keep_password(store, "right", serial="X1A0001")
        assert access.attempts.forgive(access.profile_id, "X1A0001")
        assert unlock(recorder.node, access).identity.serial == "X1A0001"
        assert not access.attempts.forgive(access.profile_id, "Y")


def test_a_recorder_that_says_it_is_locked_gets_no_more_passwords(access: Access) -> None:
    with SerialRecorder(Nature(password=b"x", lock_after=1)) as recorder:
        with pytest.raises(RecorderLockedError):
            unlock(recorder.node, access)
        with pytest.raises(RecorderLockedError):
            unlock(recorder.node, access, now=lambda: datetime.now(UTC) + timedelta(days=400))
        assert sum(line.startswith(b"$SDRPW") for line in recorder.brain.heard) == 1


def test_unplugged_during_the_password_counts_as_a_try_until_that_password_was_once_taken(
    access: Access,
) -> None:
    for _ in range(2):
        with SerialRecorder(Nature(dies_after=1)) as recorder, pytest.raises(DepartedError):
            unlock(recorder.node, access)
    with SerialRecorder() as recorder, pytest.raises(TriesSpentError, match="2 tries are spent"):
        unlock(recorder.node, access)
    access.attempts.forgive(access.profile_id, "X1A0001")
    with SerialRecorder() as recorder:
        unlock(recorder.node, access)
    for _ in range(5):
        with SerialRecorder(Nature(dies_after=1)) as recorder, pytest.raises(DepartedError):
            unlock(recorder.node, access)
    with SerialRecorder() as recorder:
        assert unlock(recorder.node, access).identity.serial == "X1A0001"


@pytest.mark.parametrize("answered", range(6))
def test_unplugged_at_any_step_it_has_departed_and_the_port_is_free_again(
    access: Access, answered: int
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    kept = Transcript()
    with SerialRecorder(Nature(dies_after=answered)) as recorder:
        if answered == 5:  # the whole switch was sent: that the line goes away is the answer
            assert unlock(recorder.node, access, transcript=kept).condition.acts[-1] == Act("switch", True)
        else:
            with pytest.raises(DepartedError) as caught:
                unlock(recorder.node, access, transcript=kept)
            assert caught.value.errno == 19
    assert kept.acts[-1].command == _STEPS[answered]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


_STEPS = ["identify", "password", "read_clock", "battery", "read_owner", "switch"]


def test_a_recorder_that_is_pulled_while_the_station_waits_is_noticed_at_once(access: Access) -> None:
    with SerialRecorder(Nature(delay_s=60)) as recorder:
        puller = threading.Thread(target=lambda: (_until_heard(recorder), recorder.pull_out()))
        puller.start()
        began = time.monotonic()
        with pytest.raises(DepartedError):
            unlock(recorder.node, access)
        puller.join()
    assert time.monotonic() - began < 1, "not the step's time"


def _until_heard(recorder: SerialRecorder) -> None:
    while not recorder.brain.heard:
        threading.Event().wait(0.01)


def test_slow_and_noisy_recorders_are_understood(access: Access) -> None:
    for nature in (MODES["noise"], Nature(byte_delay_s=0.002), Nature(echoes=True), Nature(loses_first=2)):
        access.attempts.forgive(access.profile_id, "X1A0001")
        with SerialRecorder(nature) as recorder:
            assert unlock(recorder.node, access).condition.battery_percent == 87


def test_a_late_answer_makes_the_clock_less_certain_and_never_wrong(access: Access) -> None:
    with SerialRecorder(Nature(delay_s=0.6)) as recorder:
        clock = unlock(recorder.node, access).condition.clock
    assert clock is not None
    assert clock.uncertainty_s >= 1.3
    assert abs(clock.offset_s) <= clock.uncertainty_s


@pytest.mark.parametrize(("mode", "year"), [("clock-1970", 1970), ("clock-2040", 2040)])
def test_clocks_of_1970_and_2040_are_large_offsets(access: Access, mode: str, year: int) -> None:
    with SerialRecorder(MODES[mode]) as recorder:
        clock = unlock(recorder.node, access).condition.clock
    assert clock is not None
    assert clock.recorder_at.year == year
    assert abs(clock.offset_s - (clock.recorder_at - datetime.now(UTC)).total_seconds()) < 5
    assert clock.uncertainty_s < 2


@pytest.mark.parametrize(
    ("beginning", "lost"),
    [(b"$SDRTM?", "clock"), (b"$SDRBT?", "battery_percent"), (b"$SDROW?", "owner")],
)
def test_what_cannot_be_read_is_unknown_and_stops_nothing(
    quick_access: Access, beginning: bytes, lost: str
) -> None:
    with SerialRecorder(Nature(answers={beginning: b"\xfe\r\n"})) as recorder:
        condition = unlock(recorder.node, quick_access).condition
    assert getattr(condition, lost) is None
    assert recorder.brain.is_storage


def test_a_silent_recorder_and_one_that_speaks_rubbish_are_told_apart(quick_access: Access) -> None:
    with SerialRecorder(MODES["silent"]) as recorder, pytest.raises(SilentError):
        unlock(recorder.node, quick_access)
    with (
        SerialRecorder(Nature(answers={b"$SDRID": noisy(7)})) as recorder,
        pytest.raises(UnreadableReplyError),
    ):
        unlock(recorder.node, quick_access)


def test_a_flood_ends_at_the_limit_and_not_at_the_memory(quick_access: Access) -> None:
    kept = Transcript()
    flood = Nature(answers={b"$": b"$" * 200_000})
    most = f"{3 * 512} bytes"  # of three tries
    with SerialRecorder(flood) as recorder, pytest.raises(UnreadableReplyError, match=most):
        unlock(recorder.node, quick_access, transcript=kept)
    assert max(len(line.text) for line in kept.lines) <= 512 * 4 + 40


def test_without_a_password_file_nothing_is_sent_but_the_question_who_it_is(
    access: Access, store: Path
) -> None:
    (store / "enforcement-serial.password").unlink()
    with SerialRecorder() as recorder:
        with pytest.raises(NoPasswordError, match="X1A0001"):
            unlock(recorder.node, access)
        assert [line[:6] for line in recorder.brain.heard] == [b"$SDRID"]


def test_a_port_is_opened_by_one_alone_and_only_a_serial_port(access: Access, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for node in (tmp_path / "file", tmp_path, Path("/dev/null")):
        with pytest.raises(PortError):
            unlock(node, access)
    with pytest.raises(DepartedError):
        unlock(tmp_path / "gone", access)
    with SerialRecorder() as recorder:
        held = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(recorder.node)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
        )
        with held:
            assert held.stdout is not None
            assert held.stdout.readline() == b"open\n"
            with pytest.raises(PortError, match="another program uses it"):
                unlock(recorder.node, access)
            held.terminate()
        assert unlock(recorder.node, access).identity.serial == "X1A0001"


_HOLD = """
import serial, sys
port = serial.Serial(sys.argv[1], exclusive=True)
print("open", flush=True)
sys.stdin.read()
"""


def test_the_program_serves_a_unix_socket_and_says_when_it_is_storage(tmp_path: Path) -> None:
    path = tmp_path / "s"
    program = Path(__file__).parents[2] / "emulation" / "serial_recorder.py"
    with subprocess.Popen(
        [sys.executable, str(program), "--socket", str(path), "--once", "--serial", "Z9Z0009"],
        stdout=subprocess.PIPE,
    ) as serving:
        while not path.exists():
            assert serving.poll() is None
        with socket.socket(socket.AF_UNIX) as line:
            while line.connect_ex(str(path)):
                assert serving.poll() is None
            said = b""
            for question in (b"$SDRID?*77", b"$SDRPW,000000*6E", b"$SDRMS!*7A"):
                line.sendall(question + b"\r\n")
                said += line.recv(200)
        assert b"Z9Z0009" in said
        assert b"$SDROK,MS*73" in said
        assert serving.stdout is not None
        assert serving.stdout.readline() == b"storage\n"
