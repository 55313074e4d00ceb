"""The dock's daemon: hears recorders come and go and gives each bay its work.

Invariants: a recorder outside a mapped bay is never opened; when `run` is told to stop, every bay ends its
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
from core.settings import BaySettings
from devices.detect import Arrival, Detector, Sighting
from devices.error import DetectionError, EmulationError
from devices.mount import sweep
from devices.profile import Profile
from ingest.bay import Bay, OfficerName, Workplace
from ingest.copying import SealingLine
from ingest.error import UnmappedBayError
from ingest.inbox import Inbox
from ingest.recovery import reconcile, recover
from ingest.status import Board, Message, TileState

TICK_S = 0.25  # the board is written at most this often
RECONCILE_EVERY_S = 5.0
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
    ) -> None:
        self._line, self._detectors, self._mounts, self._inbox = line, detectors, mounts, inbox
        self.board = Board(status_path, station, [bay.number for bay in bays])
        self._stop = Event()
        workplace = Workplace(line, profiles, mounts, officer_name, self._stop, self.board.resume)
        self._bays: Mapping[str, Bay] = {
            bay.path: Bay(bay.number, self.board.tiles[bay.number], workplace) for bay in bays
        }
        self._sightings: SimpleQueue[Sighting] = SimpleQueue()
        self._reconciled_at = 0.0
        self._troubles: dict[str, str] = {}  # by step: what was said of it last

    def run(self, stop: Event) -> None:
        """Work until `stop`; then stop all bays and return."""
        sweep(self._mounts)
        recover(self._line.db, self._line.vault)
        self._attempt(self._show)
        self._start()
        while not stop.is_set():
            for step in (self._hear, self._reconcile, self.board.flush):
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
        if self._inbox is not None:
            Thread(target=self._inbox.run, args=(self._stop,), name="inbox", daemon=True).start()

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
        bay = self._bays.get(sighting.port)
        if bay is None:
            self._stranger(sighting)
        elif isinstance(sighting, Arrival):
            try:
                bay.arrive(sighting)
            except EmulationError as cause:  # its control file was removed again before we looked
                _log.info("recorder gone before it was opened", why=str(cause))
        else:
            bay.depart(sighting)

    def _stranger(self, sighting: Sighting) -> None:
        """Something outside the bays: named on the board, never opened."""
        tile = self.board.tiles[0]
        if not isinstance(sighting, Arrival):
            tile.clear()
            return
        error = UnmappedBayError(device=sighting.shown, port=sighting.port)
        _log.warning("recorder outside the bays", why=str(error))
        tile.clear(TileState.UNKNOWN, recorder_serial=sighting.serial or None, message=Message.of(error))

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
