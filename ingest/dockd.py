"""The dock's daemon: hears recorders come and go and gives each bay its work.

Invariants: a recorder outside a mapped bay is never opened, nor the second of two that one path would put into one bay;
when `run` is told to stop, every bay ends its
file cleanly and every session is one that the next start goes on with; detection of real recorders failing
(no udev here), a full disk and a database that is away are said and do not keep the rest from working.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from core import log
from core.errors import SealdockError
from core.settings import BaySettings
from devices.authorise import BayPorts, refused_interfaces
from devices.detect import Arrival, Departure, Detector, Kind, Sighting
from devices.error import DetectionError, EmulationError
from devices.mount import sweep
from devices.profile import Profile
from ingest.admission import Admit, admit_all
from ingest.bay import Bay
from ingest.bays import paths_of, vendor_specific
from ingest.copying import SealingLine
from ingest.error import TwoInOneBayError, UnmappedBayError
from ingest.inbox import Inbox
from ingest.recovery import reconcile, recover
from ingest.status import Board, Message, TileState
from ingest.unlocking import Unlock
from ingest.workplace import Erase, HolderAt, OfficerName, Opener, Workplace, keep_all, nobody_held

TICK_S = 0.25  # how long one turn waits for a sighting
BOARD_S = 0.1  # how often the board is asked whether it has something to say
LOST_S = 45.0  # a turn may wait 30 s for a busy database; one that takes longer is no longer vouched for
RECONCILE_EVERY_S = 5.0
CLAIMS_EVERY_S = 1.0  # how soon a tile stops asking whose footage it is once somebody has said so
STOP_S = 30.0  # a bay stops after the buffer it is reading; a hung medium holds it for longer
_log = log.get(__name__)


def nobody(_officer_number: str) -> str | None:
    """The lookup of a dock that knows no officers."""
    return None


class Dockd:
    """All bays of one station."""

    def __init__(
        self,
        line: SealingLine,
        *,
        bays: Sequence[BaySettings],
        profiles: tuple[Profile, ...],
        detectors: Sequence[Detector],
        mounts: Path,
        status_path: Path,
        station: str = "",
        officer_name: OfficerName = nobody,
        inbox: Inbox | None = None,
        unlock: Unlock | None = None,
        openers: Mapping[Kind, Opener] | None = None,
        admit: Admit = admit_all,
        erase: Erase = keep_all,
        holder: HolderAt = nobody_held,
    ) -> None:
        self._line, self._detectors, self._mounts, self._inbox = line, detectors, mounts, inbox
        self.board = Board(status_path, station, [bay.number for bay in bays])
        self._stop = Event()
        workplace = Workplace(
            line,
            profiles,
            mounts,
            officer_name,
            self._stop,
            self.board.resume,
            unlock,
            openers or {},
            admit,
            erase,
            holder,
        )
        made = {bay.number: Bay(bay.number, self.board.tiles[bay.number], workplace) for bay in bays}
        self._bays: Mapping[str, Bay] = {path: made[bay.number] for bay in bays for path in paths_of(bay)}
        self._ports = BayPorts(frozenset(self._bays), vendor_specific(profiles))
        self._twins: dict[str, Arrival] = {}  # second devices of a bay, by volume; they wait outside
        self._sightings: SimpleQueue[Sighting] = SimpleQueue()
        self._reconciled_at = self._claims_heard_at = 0.0
        self._turned_at = monotonic()
        self._troubles: dict[str, str] = {}  # by step: what was said of it last

    def run(self, stop: Event) -> None:
        """Work until `stop`; then stop all bays and return."""
        sweep(self._mounts)
        recover(self._line.db, self._line.vault)
        self._attempt(self._show)
        self._start()
        while not stop.is_set():
            self._turned_at = monotonic()
            for step in (self._hear, self._hear_claims, self._reconcile):
                self._attempt(step)
        self._finish()

    def _attempt(self, step: Callable[[], None]) -> None:
        """One step of a turn; a full disk or a database that is away is said once and tried again, not died of."""
        try:
            step()
        except Exception as cause:  # noqa: BLE001  # whatever it is, recorders are still to be heard
            if self._troubles.get(step.__name__) != str(cause):
                _log.exception("the dock goes on without a step of its work", step=step.__name__)
            self._troubles[step.__name__] = str(cause)
        else:
            self._troubles.pop(step.__name__, None)

    def _start(self) -> None:
        for detector in self._detectors:
            Thread(target=self._watch, args=(detector,), name="detector", daemon=True).start()
        Thread(target=self._speak, name="board", daemon=True).start()
        if self._inbox is not None:
            Thread(target=self._inbox.run, args=(self._stop,), name="inbox", daemon=True).start()

    def _speak(self) -> None:
        """Keep the board written while the dock takes its turns: one that hangs falls silent, and is told by that."""
        while not self._stop.wait(BOARD_S):
            if monotonic() - self._turned_at < LOST_S:
                self._attempt(self.board.flush)

    def _watch(self, detector: Detector) -> None:
        try:
            detector.watch(self._sightings.put, self._stop)
        except DetectionError as cause:
            _log.error("no real recorders will be seen", why=str(cause))

    def _hear(self) -> None:
        """Give one sighting to its bay, or wait a tick for one."""
        try:
            sighting = self._sightings.get(timeout=TICK_S)
        except Empty:
            return
        bay = self._bays.get(sighting.exact_port) or self._bays.get(sighting.port)
        if bay is None:
            self._stranger(sighting)
        elif isinstance(sighting, Arrival):
            self._arrive(bay, sighting)
        else:
            self._depart(bay, sighting)

    def _arrive(self, bay: Bay, arrival: Arrival) -> None:
        if bay.holds_another(arrival):
            self._twins[arrival.volume] = arrival
            self._refuse(arrival, TwoInOneBayError(device=arrival.shown, port=arrival.port, bay=bay.number))
            return
        refused = refused_interfaces(self._ports, arrival.interfaces, (arrival.vendor_id, arrival.product_id))
        if refused:
            said = ", ".join(one.shown for one in refused)
            _log.warning(
                "only part of a device is let in", bay=bay.number, device=arrival.shown, refused=said
            )
        try:
            bay.arrive(arrival, tuple(one.shown for one in refused))
        except EmulationError as cause:  # its control file was removed again before we looked
            _log.info("recorder gone before it was opened", why=str(cause))

    def _depart(self, bay: Bay, departure: Departure) -> None:
        """The bay is told; a device that waited for its place gets it."""
        if self._twins.pop(departure.volume, None) is not None:
            self.board.tiles[0].clear()
            return
        bay.depart(departure)
        waiting = [twin for twin in self._twins.values() if self._bays.get(twin.port) is bay]
        for twin in waiting:
            if not bay.holds_another(twin):
                del self._twins[twin.volume]
                self.board.tiles[0].clear()
                self._arrive(bay, twin)

    def _stranger(self, sighting: Sighting) -> None:
        """Something outside the bays: named on the board, never opened. Keyboards and badge readers belong there."""
        if not isinstance(sighting, Arrival):
            self.board.tiles[0].clear()
        elif sighting.kind in {Kind.VOLUME, Kind.STILL_IMAGE}:
            self._refuse(sighting, UnmappedBayError(device=sighting.shown, port=sighting.port))

    def _refuse(self, arrival: Arrival, error: SealdockError) -> None:
        _log.warning("recorder left alone", why=str(error))
        self.board.tiles[0].clear(
            TileState.UNKNOWN, recorder_serial=arrival.serial or None, message=Message.of(error)
        )

    def _hear_claims(self) -> None:
        if monotonic() - self._claims_heard_at < CLAIMS_EVERY_S:
            return
        self._claims_heard_at = monotonic()
        for bay in set(self._bays.values()):
            bay.hear_claims()

    def _reconcile(self) -> None:
        if monotonic() - self._reconciled_at < RECONCILE_EVERY_S:
            return
        self._reconciled_at = monotonic()
        busy = {session for bay in self._bays.values() if (session := bay.active_session())}
        reconcile(self._line.db, self._line.vault, busy)

    def _show(self) -> None:
        self.board.flush(now=True)

    def _finish(self) -> None:
        self._stop.set()
        for bay in self._bays.values():
            if not bay.join(STOP_S):
                _log.error("a bay did not stop", bay=bay.number)
        if self._inbox is not None:
            self._inbox.join(STOP_S)
        self._line.parked.abandon_all()
        self._attempt(self._show)
