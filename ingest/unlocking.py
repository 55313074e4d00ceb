"""From a serial line in a bay to the disk that the same recorder becomes: one bay, one session.

Invariants: a line is spoken to only when exactly one profile names its vendor and product; what was learnt by unlocking
belongs to the volumes that appear in the same bay within the profile's time, and to nothing after they have left; where
the names on the footage agree on another serial, the names are believed and what the line said is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import tzinfo
from time import monotonic
from typing import Protocol

from core import log
from core.errors import SealdockError
from devices.condition import Condition
from devices.detect import Arrival
from devices.error import AmbiguousProfileError, UnknownRecorderError
from devices.profile import Profile
from devices.recorder import Identity
from devices.serial.attempt import Attempts
from devices.serial.secret import PasswordStore
from devices.serial.setting import set_clock
from devices.serial.table import SerialTable
from devices.serial.transcript import Transcript
from devices.serial.unlock import Access, unlock
from ingest.error import NoTransportError, UnpluggedError
from ingest.station_clock import is_synchronised

_log = log.get(__name__)


class LeftUnlockingError(UnpluggedError):
    """A recorder that left before its disk was there: said aloud, because a bad contact looks the same."""

    code = "ingest.left_unlocking"
    sentence = (
        "{device} was taken out while it was being unlocked. Nothing was read and everything is still on it; put it "
        "back into any bay and wait until it may be removed."
    )


class Unlocked(Protocol):
    """What unlocking has told (devices/serial/unlock.py)."""

    @property
    def identity(self) -> Identity:
        """Who it says it is."""
        ...

    @property
    def condition(self) -> Condition:
        """Battery, clock, owner, and every command that was sent."""
        ...


class Unlock(Protocol):
    """Speaks to recorders over their serial lines. What was said is in the transcript, however it ends."""

    def __call__(self, arrival: Arrival, profile: Profile, transcript: Transcript) -> Unlocked:
        """Unlock. Raises DeviceError or OSError."""
        ...

    def set_clock(self, arrival: Arrival, profile: Profile, serial: str, transcript: Transcript) -> None:
        """Set the clock of this very recorder; only after its receipts. Raises DeviceError or OSError."""
        ...


@dataclass(frozen=True)
class LineUnlocker:
    """The real one. `is_synchronised` says whether the station's own clock may set another."""

    passwords: PasswordStore
    attempts: Attempts
    station_zone: tzinfo
    is_synchronised: Callable[[], bool] = is_synchronised

    def __call__(self, arrival: Arrival, profile: Profile, transcript: Transcript) -> Unlocked:
        """Unlock. Raises DeviceError, NoTransportError or OSError."""
        usb = Identity(arrival.serial, arrival.vendor_id, arrival.product_id)
        return unlock(arrival.node, self._access(arrival, profile), usb, transcript)

    def set_clock(self, arrival: Arrival, profile: Profile, serial: str, transcript: Transcript) -> None:
        """Set the clock. Raises DeviceError, NoTransportError or OSError; ClockNotSetError when it may not."""
        access, may = self._access(arrival, profile), self.is_synchronised()
        set_clock(arrival.node, access, serial, station_is_synchronised=may, transcript=transcript)

    def _access(self, arrival: Arrival, profile: Profile) -> Access:
        table = table_of(profile)
        if table is None:
            raise NoTransportError(device=arrival.shown, way="serial")
        return Access(profile.id, table, self.passwords, self.attempts, self.station_zone)


def unlocker(passwords: PasswordStore, attempts: Attempts, station_zone: tzinfo) -> Unlock:
    """What a station with a key store unlocks with."""
    return LineUnlocker(passwords, attempts, station_zone)


@dataclass(frozen=True)
class Handover:
    """What a bay keeps between the line that has gone and the disk that is to come."""

    profile: Profile
    identity: Identity
    condition: Condition
    since: float  # of the monotonic clock
    until: float
    transcript: Transcript = field(default_factory=Transcript)

    def is_due(self) -> bool:
        """Whether a volume that appears now is still that recorder."""
        return monotonic() < self.until

    def fits(self, serial: str) -> bool:
        """Whether what a volume says of its serial does not contradict the line."""
        return not self.identity.serial or not serial or serial == self.identity.serial


def table_of(profile: Profile) -> SerialTable | None:
    """The profile's serial exchange, if it has one."""
    return profile.serial


def profile_of_line(profiles: Iterable[Profile], arrival: Arrival) -> Profile:
    """The one profile that names this line. Raises UnknownRecorderError or AmbiguousProfileError."""
    ids = (arrival.vendor_id, arrival.product_id)
    fitting = [
        profile for profile in profiles
        if (table := table_of(profile)) and ids in {(usb.vendor, usb.product) for usb in table.usb}
    ]  # fmt: skip
    if len(fitting) > 1:
        raise AmbiguousProfileError(device=arrival.shown, profiles=", ".join(p.id for p in fitting))
    if not fitting:
        raise UnknownRecorderError(device=arrival.shown)
    return fitting[0]


def hand_over(
    speak: Unlock | None, profiles: Iterable[Profile], arrival: Arrival, transcript: Transcript
) -> Handover:
    """Unlock the recorder on this line. Raises DeviceError or IngestError; OSError when it has left.

    The transcript is the caller's, and whole when this raises.
    """
    profile = profile_of_line(profiles, arrival)
    table = table_of(profile)
    if speak is None or table is None:
        raise NoTransportError(device=arrival.shown, way="serial")
    done = speak(arrival, profile, transcript)
    now = monotonic()
    return Handover(profile, done.identity, done.condition, now, now + table.switch_timeout_s, transcript)


def set_back(speak: Unlock | None, handover: Handover, line: Arrival | None, serial: str) -> None:
    """Set the clock of a recorder whose files all have receipts, where its line is still there and has the step.

    One that cannot be set is said in the log and keeps its drift; the receipts stand either way. Never raises
    DeviceError, IngestError or OSError.
    """
    table = table_of(handover.profile)
    if speak is None or line is None or table is None or table.set_clock is None or not serial:
        return
    try:
        speak.set_clock(line, handover.profile, serial, handover.transcript)
    except (SealdockError, OSError) as cause:
        _log.warning("a recorder's clock was not set", recorder=line.shown, why=str(cause))
