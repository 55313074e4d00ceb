"""What is changed on a recorder by intent, and only after the receipt: its clock and its owner record.

Invariants: the caller has the receipt; the same recorder must answer (its serial is compared) or nothing is sent; the
clock is measured before it is set and read again after, and the setting is proven only by that second reading. A
station whose own clock is not synchronised sets none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from core.clock import utc_now
from devices.condition import Act, ClockReading, OwnerRecord
from devices.serial.clock import time_values
from devices.serial.error import ClockNotSetError, OtherRecorderError, OwnerNotWrittenError, UnsendableError
from devices.serial.exchange import Exchange
from devices.serial.line import SerialLine
from devices.serial.owner import is_same_owner, owner_values
from devices.serial.transcript import Said, Transcript
from devices.serial.unlock import Access, give_password, identify, read_clock, read_owner


@dataclass(frozen=True)
class ClockSet:
    """A proven setting: the clock before (None: unknown) and after, and everything that was done."""

    before: ClockReading | None
    after: ClockReading
    acts: tuple[Act, ...]
    transcript: tuple[Said, ...]


@dataclass(frozen=True)
class OwnerWritten:
    """A proven owner record, as the recorder shows it now."""

    owner: OwnerRecord
    acts: tuple[Act, ...]
    transcript: tuple[Said, ...]


def set_clock(
    node: Path,
    access: Access,
    serial: str,
    *,
    station_is_synchronised: bool,
    transcript: Transcript | None = None,
    now: Callable[[], datetime] = utc_now,
) -> ClockSet:
    """Set the clock of the recorder `serial`, measured before and after. Only after its receipt.

    Raises ClockNotSetError, OtherRecorderError, SerialError, DepartedError.
    """
    if not station_is_synchronised:
        raise ClockNotSetError(serial=serial, why="the station's own clock is not synchronised")
    if access.table.set_clock is None:
        raise ClockNotSetError(serial=serial, why="its profile knows no way to set it")
    kept = transcript if transcript is not None else Transcript(now)
    with SerialLine(node, access.table.line) as line:
        exchange = Exchange(line, access.table, kept, now)
        _same_recorder(exchange, node, access, serial, now)
        before = read_clock(exchange, access.station_zone)
        _send_time(exchange, access.station_zone, now)
        after = read_clock(exchange, access.station_zone)
    if after is None or abs(after.offset_s) > after.uncertainty_s + after.resolution_s:
        raise ClockNotSetError(serial=serial, why="after it was set it shows another time, or none")
    return ClockSet(before, after, kept.acts, kept.lines)


def write_owner(
    node: Path,
    access: Access,
    serial: str,
    record: OwnerRecord,
    *,
    transcript: Transcript | None = None,
    now: Callable[[], datetime] = utc_now,
) -> OwnerWritten:
    """Write the owner record and read it again. Only after the receipt.

    Raises OwnerRecordError and UnsendableError before anything is sent; OwnerNotWrittenError, OtherRecorderError,
    SerialError, DepartedError.
    """
    if access.table.write_owner is None:
        raise UnsendableError(field="owner", why="the recorder's profile knows no way to write it")
    values = owner_values(record, access.table.owner)
    kept = transcript if transcript is not None else Transcript(now)
    with SerialLine(node, access.table.line) as line:
        exchange = Exchange(line, access.table, kept, now)
        _same_recorder(exchange, node, access, serial, now)
        exchange.ask("write_owner", values)
        shown = read_owner(exchange)
    written = access.table.write_owner.placeholders
    if shown is None or not is_same_owner(shown, record, written & _shown_fields(access)):
        raise OwnerNotWrittenError(serial=serial)
    return OwnerWritten(shown, kept.acts, kept.lines)


def _same_recorder(
    exchange: Exchange, node: Path, access: Access, serial: str, now: Callable[[], datetime]
) -> None:
    identify(exchange, node)
    if exchange.serial != serial:
        raise OtherRecorderError(found=exchange.serial, expected=serial)
    give_password(exchange, access, now)


def _send_time(exchange: Exchange, zone: tzinfo, now: Callable[[], datetime]) -> None:
    """Send the time as a whole second begins: a recorder that shows seconds can be set no closer."""
    start = now()
    target = start.replace(microsecond=0) + timedelta(seconds=1)
    time.sleep((target - start).total_seconds())
    values = time_values(target, exchange.table.clock, zone)
    exchange.ask("set_clock", values, act=f"set_clock {values['time'].decode()}")


def _shown_fields(access: Access) -> frozenset[str]:
    step = access.table.read_owner
    return step.names if step else frozenset()
