"""What all bays work with, and one volume's stay in one of them: how it is opened, and as whom it is known.

Invariants: nothing without an interface for footage is opened; what a serial line told of a recorder is taken for the
disk that followed only where the names on it do not say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Protocol

from core import log
from devices.condition import Condition
from devices.detect import Arrival, Kind
from devices.mass_storage import Presence
from devices.match import Layout
from devices.profile import Profile
from devices.recorder import Recorder
from devices.serial.transcript import Transcript
from devices.volume import open_volume
from ingest.copying import SealingLine
from ingest.docking import Circumstance, Origin
from ingest.error import NotARecorderError, NoTransportError
from ingest.statement import IdentityBy
from ingest.status import BayStatus
from ingest.turns import hub_of
from ingest.unlocking import Handover, Unlock

OfficerName = Callable[[str], str | None]
_log = log.get(__name__)


class Opened(Protocol):
    """A medium that was opened and listed, whatever the transport."""

    @property
    def layout(self) -> Layout:
        """What matching needs."""
        ...

    def recorder(self, profile: Profile, condition: Condition | None = None) -> Recorder:
        """The medium read under a profile."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


Opener = Callable[[Arrival, Presence], Opened]
Admit = Callable[
    [Recorder, Profile], None
]  # raises a SealdockError for a recorder that may not be read, or not yet


def admit_all(_recorder: Recorder, _profile: Profile) -> None:
    """The gate of a dock that knows no registry: a recognised layout is enough."""


@dataclass(frozen=True)
class Workplace:
    """What all bays share. `openers`: transports beside the disk; `unlock`: speaks to a locked recorder."""

    line: SealingLine
    profiles: tuple[Profile, ...]
    mounts: Path
    officer_name: OfficerName
    stop: Event
    resumed: Callable[[str, int], None]  # this session goes on in this bay
    unlock: Unlock | None = None
    openers: Mapping[Kind, Opener] = field(default_factory=dict)
    admit: Admit = admit_all


@dataclass(eq=False)
class Stay:
    """One volume in the bay. `session_id` from the moment it has a session; `verdict`: the tile as it ended.

    `handover`: what the same recorder's serial line told before it became this volume.
    """

    arrival: Arrival
    presence: Presence
    handover: Handover | None = None
    transcript: Transcript | None = None  # of its serial line, also when it was not unlocked
    refused: tuple[str, ...] = ()  # interfaces of its device that were not let in
    session_id: str | None = None
    verdict: BayStatus | None = None
    is_over: bool = False  # read to its end, however that was


def open_stay(stay: Stay, place: Workplace) -> Opened:
    """Mount or connect, and list. Raises SealdockError or OSError."""
    arrival = stay.arrival
    if arrival.kind is Kind.VOLUME:
        return open_volume(arrival, stay.presence, place.mounts).list()
    if arrival.kind is Kind.OTHER:
        said = ", ".join(one.shown for one in arrival.interfaces)
        raise NotARecorderError(device=arrival.shown, interfaces=said)
    if arrival.kind not in place.openers:
        raise NoTransportError(device=arrival.shown, way=arrival.kind.value)
    return place.openers[arrival.kind](arrival, stay.presence)


def identified(stay: Stay, opened: Opened, profile: Profile, bay: int) -> Recorder:
    """The recorder, with what its line told of it where that is not contradicted."""
    plain = opened.recorder(profile)
    if stay.handover is None:
        return plain
    said = plain.identity.serial
    if said != stay.arrival.serial and not stay.handover.fits(said):
        _log.warning("the names say another serial than the line did", bay=bay, names=said)
        return opened.recorder(
            profile, Condition(acts=stay.handover.condition.acts)
        )  # they were sent all the same
    recorder = opened.recorder(profile, stay.handover.condition)
    recorder.identity = replace(recorder.identity, serial=stay.handover.identity.serial or said)
    return recorder


def circumstance(stay: Stay, recorder: Recorder, bay: int) -> Circumstance:
    """How this volume is pulled: in which bay, on which hub, and whether the recorder answered an unlocking."""
    handover = stay.handover
    has_answered = handover is not None and handover.identity.serial == recorder.identity.serial != ""
    return Circumstance(
        Origin.DOCK, bay, hub=hub_of(stay.arrival.port),
        identity_by=IdentityBy.UNLOCK if has_answered else None,
        transcript=handover.transcript if handover else None, refused=stay.refused,
    )  # fmt: skip
