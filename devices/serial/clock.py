"""A recorder's clock: what it shows as a moment, how far it is off, and how a new time is written for it.

Invariants: what cannot be known is unknown and never guessed. A time that a change of daylight saving makes double or
impossible, that no calendar has, or that was read while the station's own clock was stepped gives no reading; 1970 and
2040 are readings like any other, with a large offset. Nothing here sets anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from devices.condition import ClockReading
from devices.serial.error import SerialError
from devices.serial.exchange import Reply
from devices.serial.table import ClockForm

_UNSIGNED_32 = 0xFFFFFFFF  # seconds: 2106-02-07, the last moment of a four-byte clock


class UnknownClockError(SerialError):
    """The clock's reading says nothing; the recording's drift is unknown."""

    code = "devices.serial.unknown_clock"
    sentence = (
        "The clock of the recorder could not be read: {why}. Its recordings are taken all the same and the receipt "
        "says that the drift is unknown; compare the recorder's screen with a clock."
    )


def zone_of(form: ClockForm, station: tzinfo) -> tzinfo:
    """The zone that the recorder shows."""
    return station if form.zone == "station" else ZoneInfo(form.zone)


def reading(reply: Reply, form: ClockForm, station: tzinfo) -> ClockReading:
    """The reading that a reply gives. Raises UnknownClockError."""
    if reply.clock_was_stepped:
        raise UnknownClockError(why="the station's own clock was set at that moment")
    moment = moment_of(reply.values, form, station)
    return ClockReading(moment, reply.asked_at, reply.answered_at, form.resolution_s)


def moment_of(values: Mapping[str, bytes], form: ClockForm, station: tzinfo) -> datetime:
    """The moment that a recorder names, aware UTC. Raises UnknownClockError."""
    try:
        if "unix_s" in values:
            return _from_unix(values["unix_s"])
        return _from_text(values.get("time", b""), form.form, zone_of(form, station))
    except (ValueError, OverflowError, OSError) as cause:
        raise UnknownClockError(why="it shows a time that no calendar has") from cause


def time_values(moment: datetime, form: ClockForm, station: tzinfo) -> dict[str, bytes]:
    """The fields that a request to set the clock may use. Raises UnknownClockError past the reach of a field."""
    seconds = int(moment.timestamp())
    if not 0 <= seconds <= _UNSIGNED_32:
        raise UnknownClockError(why="the station's own clock shows a time outside 1970 to 2106")
    text = moment.astimezone(zone_of(form, station)).strftime(form.form)
    digits = re.sub(r"\D", "", text)
    return {
        "time": text.encode("ascii"),
        "unix_s": str(seconds).encode("ascii"),
        "time_bcd": bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits),
        "unix_big": seconds.to_bytes(4, "big"),
        "unix_little": seconds.to_bytes(4, "little"),
    }


def _from_unix(value: bytes) -> datetime:
    if not re.fullmatch(rb"[0-9]{1,12}", value):
        raise ValueError("not a number of seconds")
    return datetime.fromtimestamp(int(value), UTC)


def _from_text(value: bytes, form: str, zone: tzinfo) -> datetime:
    text = value.strip(b" \0").decode("ascii")
    shown = datetime.strptime(text, form)  # noqa: DTZ007  # the zone is the profile's
    if shown.strftime(form) != text:
        raise ValueError("another spelling")
    first, second = (shown.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise UnknownClockError(
            why="it shows an hour that a change of daylight saving makes double or leaves out"
        )
    return first.astimezone(UTC)
