"""What a recorder says of its own state, and what was asked of it to learn that.

Facts only, no I/O. Everything the recorder says is a claim (`OwnerRecord`, battery, firmware); what the station
measured says so in its type (`ClockReading`), and what the station did is a list of acts without any secret.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime

from devices.error import DeviceError

OWNER_LENGTHS = {
    "serial": 7,
    "officer_number": 6,
    "officer_name": 32,
    "unit_number": 12,
    "unit_name": 32,
}  # characters at most: the owner record of recorders that unlock over a serial line (D34 and their makers' tools)
MOST_COMMAND = 200  # characters of one act: a receipt lists every one


class OwnerRecordError(DeviceError):
    """A field of the owner record is too long or holds characters that no recorder can show."""

    code = "devices.owner_record"
    sentence = (
        "The field '{field}' of the recorder's owner record cannot be used: {why}. Nothing was written to the "
        "recorder and its footage is untouched; mend the field and try again."
    )


@dataclass(frozen=True)
class OwnerRecord:
    """Who a recorder was made out to, in its own memory. Lengths count characters; an empty field is unset."""

    serial: str = ""
    officer_number: str = ""
    officer_name: str = ""
    unit_number: str = ""
    unit_name: str = ""

    def __post_init__(self) -> None:
        """Raises OwnerRecordError: a record that exists fits every recorder and every screen."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name))


@dataclass(frozen=True)
class ClockReading:
    """One reading of a recorder's clock between two readings of the station's, all aware UTC.

    `resolution_s` is the recorder's own step (1 s where it shows whole seconds; nobody knows whether it rounds).
    The offset is recorder minus station, taken at the middle of the round trip; it is true within the uncertainty.
    """

    recorder_at: datetime
    station_before: datetime
    station_after: datetime
    resolution_s: float = 1.0

    def __post_init__(self) -> None:
        """A naive time would silently be taken as the station's zone, so there is none here."""
        for moment in (self.recorder_at, self.station_before, self.station_after):
            if moment.tzinfo is None:
                raise ValueError("a clock reading needs aware times")

    @property
    def offset_s(self) -> float:
        """Recorder minus station, in seconds: positive when the recorder is fast."""
        trip = self.station_after - self.station_before
        middle = self.station_before.astimezone(UTC) + trip / 2
        return (self.recorder_at - middle).total_seconds()

    @property
    def uncertainty_s(self) -> float:
        """Half the round trip plus the recorder's own resolution, in seconds; never negative."""
        trip_s = (self.station_after - self.station_before).total_seconds()
        return abs(trip_s) / 2 + self.resolution_s


@dataclass(frozen=True)
class Act:
    """One command sent to a recorder, by the profile's name for it, never with a secret.

    `changed`: it changed the recorder's state, or may have.
    """

    command: str
    changed: bool

    def __post_init__(self) -> None:
        """A receipt prints it, so it is short."""
        if not 1 <= len(self.command) <= MOST_COMMAND:
            raise ValueError(f"an act is 1 to {MOST_COMMAND} characters long")


@dataclass(frozen=True)
class Condition:
    """What is known of a docked recorder; None and empty mean that it could not be read."""

    battery_percent: int | None = None
    free_bytes: int | None = None
    capacity_bytes: int | None = None
    firmware: str = ""
    clock: ClockReading | None = None
    owner: OwnerRecord | None = None
    acts: tuple[Act, ...] = ()


def _check(field: str, text: str) -> None:
    if len(text) > OWNER_LENGTHS[field]:
        raise OwnerRecordError(field=field, why=f"it is longer than {OWNER_LENGTHS[field]} characters")
    if not text.isprintable():
        raise OwnerRecordError(field=field, why="it holds a character that cannot be shown")
    if text != text.strip():
        raise OwnerRecordError(field=field, why="it begins or ends with a space")
