"""What all bays work with, and one volume's stay in one of them: how it is opened, and as whom it is known.

Invariants: nothing without an interface for footage is opened; what a serial line told of a recorder is taken for the
disk that followed only where the names on it do not say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from threading import Event
from typing import Protocol

from core import log
from core.clock import utc_now
from devices.condition import Condition
from devices.detect import Arrival, Kind
from devices.mass_storage import Presence
from devices.match import Layout
from devices.profile import Profile
from devices.recorder import Recorder
from devices.serial.transcript import Transcript
from devices.volume import open_volume
from ingest.admission import Admit, Standing, admit_all
from ingest.answer import BayAnswer
from ingest.circumstance import Circumstance, Origin
from ingest.copying import SealingLine
from ingest.error import NotARecorderError, NoTransportError
from ingest.holding import Ledger, silent_ledger
from ingest.outcome import Outcome
from ingest.statement import IdentityBy
from ingest.status import BayStatus, Tile
from ingest.turns import hub_of
from ingest.unlocking import Handover, Unlock

OfficerName = Callable[[str], str | None]
LEDGER_MOMENTS = (
    1024  # looked up once; files of one second and the moment of arrival are asked for again and again
)
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
HolderAt = Callable[[str, datetime], str | None]  # who held the recorder of a serial at an aware moment
Erase = Callable[[Arrival, Recorder, Outcome, Tile], None]  # after the receipts, where the policy says so


def keep_all(_arrival: Arrival, _recorder: Recorder, _outcome: Outcome, _tile: Tile) -> None:
    """The default policy: what is on a recorder stays on it."""


def nobody_held(_serial: str, _moment: datetime) -> str | None:
    """The issue ledger of a dock that has none."""
    return None


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
    erase: Erase = keep_all
    holder: HolderAt = nobody_held


@dataclass(eq=False)
class Stay:
    """One volume in the bay. `session_id` from the moment it has a session; `verdict`: the tile as it ended.

    `handover`: what the same recorder's serial line told before it became this volume; `answer`: what an officer said
    of it, where the register does not answer for it.
    """

    arrival: Arrival
    presence: Presence
    handover: Handover | None = None
    transcript: Transcript | None = None  # of its serial line, also when it was not unlocked
    refused: tuple[str, ...] = ()  # interfaces of its device that were not let in
    answer: BayAnswer | None = None
    arrived_at: datetime = field(default_factory=utc_now)
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


def circumstance(
    stay: Stay, recorder: Recorder, bay: int, holder: HolderAt, standing: Standing
) -> Circumstance:
    """How this volume is pulled: in which bay, on which hub, and what is known of whose it is."""
    handover = stay.handover
    has_answered = handover is not None and handover.identity.serial == recorder.identity.serial != ""
    made = Circumstance(
        Origin.DOCK, bay, hub=hub_of(stay.arrival.port),
        identity_by=IdentityBy.UNLOCK if has_answered else None,
        transcript=handover.transcript if handover else None, refused=stay.refused,
        answer=stay.answer, standing=standing.value, arrived_at=stay.arrived_at,
        ledger=_ledger(holder, recorder.identity.serial),
    )  # fmt: skip
    return made.shown(stay.answer) if stay.answer is not None else made


def _ledger(holder: HolderAt, serial: str) -> Ledger:
    """The ledger's word on one recorder, asked once a moment; a recorder without a serial is in no ledger."""
    return lru_cache(LEDGER_MOMENTS)(partial(holder, serial)) if serial else silent_ledger
