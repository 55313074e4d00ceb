from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from emulation.serial_recorder import MODES, Nature, SerialRecorder, framed

from devices.condition import Act, OwnerRecord, OwnerRecordError
from devices.serial.error import (
    ClockNotSetError,
    OtherRecorderError,
    OwnerNotWrittenError,
    RefusedError,
    UnsendableError,
)
from devices.serial.setting import set_clock, write_owner
from devices.serial.unlock import Access, unlock

OWNER = OwnerRecord("X1A0001", "060124", "李娜", "110105000001", "朝阳分局")


@pytest.mark.parametrize("mode", ["normal", "clock-1970", "clock-2040"])
def test_after_the_receipt_the_clock_is_measured_set_and_proven(access: Access, mode: str) -> None:
    with SerialRecorder(MODES[mode]) as recorder:
        drift = unlock(recorder.node, access).condition.clock
        done = set_clock(recorder.node, access, "X1A0001", station_is_synchronised=True)
    assert drift is not None
    assert done.before is not None
    assert done.before.offset_s == pytest.approx(drift.offset_s, abs=2)
    assert abs(done.after.offset_s) <= done.after.uncertainty_s
    told = recorder.brain.clock_was_set_to
    assert told is not None
    assert [act for act in done.acts if act.changed] == [
        Act("password", True),
        Act(f"set_clock {told:%Y%m%d%H%M%S}", True),
    ]


def test_a_station_that_does_not_know_the_time_sets_none(access: Access) -> None:
    with SerialRecorder() as recorder:
        with pytest.raises(ClockNotSetError, match="not synchronised"):
            set_clock(recorder.node, access, "X1A0001", station_is_synchronised=False)
        assert recorder.brain.heard == []


def test_another_recorder_in_the_bay_is_left_alone(access: Access) -> None:
    with SerialRecorder(Nature(serial=b"B000002")) as recorder:
        with pytest.raises(OtherRecorderError, match="B000002, not X1A0001"):
            set_clock(recorder.node, access, "X1A0001", station_is_synchronised=True)
        with pytest.raises(OtherRecorderError):
            write_owner(recorder.node, access, "X1A0001", OWNER)
        assert len(recorder.brain.heard) == 2


def test_a_recorder_that_says_ok_and_sets_nothing_is_found_out(access: Access) -> None:
    lie = replace(MODES["clock-1970"], answers={b"$SDRTM,": framed(b"$SDROK,TM")})
    with SerialRecorder(lie) as recorder, pytest.raises(ClockNotSetError, match="shows another time"):
        set_clock(recorder.node, access, "X1A0001", station_is_synchronised=True)


def test_a_refusal_is_said(access: Access) -> None:
    no = Nature(answers={b"$SDRTM,": framed(b"$SDRNO")})
    with SerialRecorder(no) as recorder, pytest.raises(RefusedError, match="set_clock"):
        set_clock(recorder.node, access, "X1A0001", station_is_synchronised=True)


def test_the_owner_is_written_and_read_again(access: Access) -> None:
    with SerialRecorder() as recorder:
        done = write_owner(recorder.node, access, "X1A0001", OWNER)
    assert done.owner == OWNER
    assert recorder.brain.owner[2] == "李娜".encode("gbk")
    assert Act("write_owner", True) in done.acts
    assert "李娜" not in str(done.acts)


def test_an_owner_that_the_exchange_cannot_carry_is_refused_before_it_is_sent(access: Access) -> None:
    with SerialRecorder() as recorder:
        with pytest.raises(UnsendableError, match="unit_name"):
            write_owner(recorder.node, access, "X1A0001", OwnerRecord(unit_name="a,b"))
        with pytest.raises(OwnerRecordError, match="code page"):
            write_owner(recorder.node, access, "X1A0001", OwnerRecord(officer_name="🚓"))
        assert not any(line.startswith(b"$SDROW,") for line in recorder.brain.heard)


def test_an_owner_that_is_not_shown_again_is_not_written(access: Access) -> None:
    lie = Nature(answers={b"$SDROW,": framed(b"$SDROK,OW")})
    with SerialRecorder(lie) as recorder, pytest.raises(OwnerNotWrittenError):
        write_owner(recorder.node, access, "X1A0001", OWNER)


def test_a_profile_without_the_step_says_so(access: Access) -> None:
    plain = access.table.model_copy(update={"set_clock": None, "write_owner": None})
    bare = Access(access.profile_id, plain, access.passwords, access.attempts, access.station_zone)
    with SerialRecorder() as recorder:
        with pytest.raises(ClockNotSetError, match="no way to set it"):
            set_clock(recorder.node, bare, "X1A0001", station_is_synchronised=True)
        with pytest.raises(UnsendableError, match="no way to write it"):
            write_owner(recorder.node, bare, "X1A0001", OWNER)


def test_the_time_is_sent_as_its_second_begins(access: Access) -> None:
    with SerialRecorder() as recorder:
        set_clock(recorder.node, access, "X1A0001", station_is_synchronised=True)
        told = recorder.brain.clock_was_set_to
        assert told is not None
        late = recorder.brain.shown() - (datetime.now(UTC) + timedelta(hours=8)).replace(tzinfo=None)
    assert abs(late.total_seconds()) < 0.5
