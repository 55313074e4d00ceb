"""Unlocking a recorder: who it is, the password, its condition, and then the switch to storage, in this order.

Invariants: nothing is set. The clock is measured before anything else is, so that the drift of its recordings can be
known; it is only ever set by `devices.serial.setting`, after the receipt. A battery, clock or owner that cannot be read
is unknown and stops nothing: footage goes first. The transcript is whole however this ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from core.clock import utc_now
from devices.condition import ClockReading, Condition, OwnerRecord, OwnerRecordError
from devices.recorder import Identity
from devices.serial.attempt import Attempts
from devices.serial.clock import reading
from devices.serial.error import RecorderLockedError, SerialError, UnreadableReplyError, WrongPasswordError
from devices.serial.exchange import Exchange, Reply
from devices.serial.line import SerialLine
from devices.serial.owner import owner_of
from devices.serial.secret import PasswordStore
from devices.serial.table import SerialTable
from devices.serial.transcript import Said, Transcript

_SERIAL = re.compile(r"[0-9A-Za-z_-]{1,32}")
_HUNDRED = 100  # percent
_MIB = 1024 * 1024
_MOST_MIB = 1 << 30  # a pebibyte: no recorder has more, and a hostile number is not shown


@dataclass(frozen=True)
class Access:
    """What the station needs to speak with one family of recorders."""

    profile_id: str
    table: SerialTable
    passwords: PasswordStore
    attempts: Attempts
    station_zone: tzinfo


@dataclass(frozen=True)
class Unlocked:
    """A recorder that said yes to everything; its storage is to appear in the same bay within `switch_timeout_s`."""

    identity: Identity
    condition: Condition
    transcript: tuple[Said, ...]
    switch_timeout_s: float


def unlock(
    node: Path,
    access: Access,
    usb: Identity | None = None,
    transcript: Transcript | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Unlocked:
    """Unlock the recorder at a serial port. Raises SerialError, DepartedError; the transcript passed in stays whole.

    `usb` is what its descriptors claimed; the serial number that it answers with takes that one's place.
    """
    kept = transcript if transcript is not None else Transcript(now)
    usb = usb or Identity()
    with SerialLine(node, access.table.line) as line:
        exchange = Exchange(line, access.table, kept, now)
        firmware = identify(exchange, node)
        give_password(exchange, access, now)
        condition = _condition(exchange, access.station_zone, firmware)
        exchange.tell("switch")
    identity = Identity(exchange.serial, usb.vendor_id, usb.product_id, usb.label)
    condition = replace(condition, acts=kept.acts)
    return Unlocked(identity, condition, kept.lines, access.table.switch_timeout_s)


def identify(exchange: Exchange, node: Path) -> str:
    """Ask who it is: sets `exchange.serial` and gives the firmware's version. Raises UnreadableReplyError."""
    values = exchange.ask("identify").values
    serial = text_of(values, "serial")
    if not _SERIAL.fullmatch(serial):
        why = "its serial number is not 1 to 32 letters and digits"
        raise UnreadableReplyError(device=node, step="identify", why=why)
    exchange.serial = serial
    return " ".join(part for part in (text_of(values, "model"), text_of(values, "firmware")) if part)


def give_password(exchange: Exchange, access: Access, now: Callable[[], datetime]) -> None:
    """Give the password once, counted before it is sent. Raises SerialError; a profile may need none."""
    step = access.table.password
    if step is None:
        return
    whose = (access.profile_id, exchange.serial)
    password = access.passwords.find(*whose)
    sent = password.as_sent(step)
    exchange.transcript.hide(password.secret, sent)
    access.attempts.reserve(*whose, password.secret, step.lock_after, now())
    try:
        exchange.ask("password", {"password": sent})
    except (WrongPasswordError, RecorderLockedError) as cause:
        access.attempts.refused(*whose, password.secret, is_locked=isinstance(cause, RecorderLockedError))
        raise
    access.attempts.accepted(*whose, password.secret)


def read_clock(exchange: Exchange, station_zone: tzinfo) -> ClockReading | None:
    """The recorder's clock beside the station's; None where it is unknown, with a note why."""
    if (reply := _optional(exchange, "read_clock")) is None:
        return None
    try:
        return reading(reply, exchange.table.clock, station_zone)
    except SerialError as cause:
        exchange.transcript.note("read_clock", f"unknown: {cause.parameters.get('why', cause.code)}")
        return None


def read_owner(exchange: Exchange) -> OwnerRecord | None:
    """Whom the recorder was made out to; None where that is unknown, with a note why."""
    if (reply := _optional(exchange, "read_owner")) is None:
        return None
    try:
        return owner_of(reply.values, exchange.table.owner)
    except OwnerRecordError as cause:
        exchange.transcript.note(
            "read_owner", f"unknown: {cause.parameters['field']}: {cause.parameters['why']}"
        )
        return None


def text_of(values: Mapping[str, bytes], name: str) -> str:
    """A short text that a recorder gave; empty where it is missing or cannot be shown."""
    text = values.get(name, b"").strip(b"\0 \xff").decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and len(text) <= 64 else ""  # noqa: PLR2004  # a label


def _condition(exchange: Exchange, station_zone: tzinfo, firmware: str) -> Condition:
    clock = read_clock(exchange, station_zone)
    battery = _optional(exchange, "battery")
    said = battery.values if battery else {}
    return Condition(
        battery_percent=_number(said, "battery", _HUNDRED),
        free_bytes=_bytes(_number(said, "free_mib", _MOST_MIB)),
        capacity_bytes=_bytes(_number(said, "capacity_mib", _MOST_MIB)),
        firmware=firmware,
        clock=clock,
        owner=read_owner(exchange),
    )


def _optional(exchange: Exchange, name: str) -> Reply | None:
    """A step that may fail, or that the profile does not have."""
    if getattr(exchange.table, name) is None:
        return None
    try:
        return exchange.ask(name)
    except SerialError as cause:
        exchange.transcript.note(name, f"unknown: {cause.code}")
        return None


def _number(values: Mapping[str, bytes], name: str, most: int) -> int | None:
    """A whole number from 0 to `most`; None for anything else."""
    digits = values.get(name, b"").strip()
    if not re.fullmatch(rb"[0-9]{1,12}", digits) or int(digits) > most:
        return None
    return int(digits)


def _bytes(mebibytes: int | None) -> int | None:
    return None if mebibytes is None else mebibytes * _MIB
