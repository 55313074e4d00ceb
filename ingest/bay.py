"""One bay: recorders come, are recognised, pulled, and go.

Invariants: at most one volume is read at a time in a bay, on the bay's own thread; a recorder may show several
volumes, so the tile's last word is the worst of all that are there, and it is green only when none waits and
every one of them was sealed without a failure; whatever goes wrong ends as a tile with a sentence, never as a
dead thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import Event, Lock, Thread, current_thread

from sqlalchemy.exc import SQLAlchemyError

from core import log
from core.errors import SealdockError
from devices.detect import Arrival, Departure
from devices.error import DepartedError, UnknownFileSystemError, UnknownRecorderError
from devices.mass_storage import Presence
from devices.match import match
from devices.profile import Profile
from devices.recorder import Recorder
from devices.volume import open_volume, presence_of
from ingest.copying import SealingLine
from ingest.docking import Circumstance, Origin, release_session
from ingest.error import DockFaultError, UnpluggedError
from ingest.offload import Offload, Outcome
from ingest.status import BayStatus, Message, Tile, TileState
from vault.store.medium import CancelledError

OfficerName = Callable[[str], str | None]
BEST_TO_WORST = (
    TileState.SEALED,
    TileState.PARTIAL,
    TileState.INTERRUPTED,
    TileState.UNKNOWN,
    TileState.FAULT,
)
NOT_A_FAULT = {
    UnknownRecorderError: TileState.UNKNOWN,
    UnknownFileSystemError: TileState.UNKNOWN,
    UnpluggedError: TileState.INTERRUPTED,
}
SUMMED = ("files_done", "files_total", "bytes_done", "bytes_total")  # over the volumes of one recorder
_log = log.get(__name__)


@dataclass(frozen=True)
class Workplace:
    """What all bays share."""

    line: SealingLine
    profiles: tuple[Profile, ...]
    mounts: Path
    officer_name: OfficerName
    stop: Event
    resumed: Callable[[str, int], None]  # this session goes on in this bay


@dataclass(eq=False)
class Stay:
    """One volume in the bay. `session_id` from the moment it has a session; `verdict`: the tile as it ended."""

    arrival: Arrival
    presence: Presence
    session_id: str | None = None
    verdict: BayStatus | None = None
    is_over: bool = False  # read to its end, however that was


class Bay:
    """A numbered place on the dock."""

    def __init__(self, number: int, tile: Tile, workplace: Workplace) -> None:
        self.number, self.tile, self._place = number, tile, workplace
        self._stays: dict[str, Stay] = {}
        self._waiting: list[Stay] = []
        self._reading: Stay | None = None
        self._interrupted: BayStatus | None = None  # stays said until something else is plugged in
        self._thread: Thread | None = None
        self._lock = Lock()

    def arrive(self, arrival: Arrival) -> None:
        """A volume was plugged in; it is pulled now, or after the one before it."""
        stay = Stay(arrival, presence_of(arrival))
        with self._lock:
            self._stays[arrival.volume] = stay
            self._waiting.append(stay)
            self._interrupted = None
            if self._reading is None:
                self._recognise(stay)
            if self._thread is None:
                self._thread = Thread(target=self._work, name=f"bay-{self.number}", daemon=True)
                self._thread.start()

    def depart(self, departure: Departure) -> None:
        """A volume is gone: whoever reads it is told at once."""
        with self._lock:
            stay = self._stays.pop(departure.volume, None)
            if stay is None:
                return
            stay.presence.depart()
            if stay in self._waiting:
                self._waiting.remove(stay)
        if stay.is_over:
            self._release(stay)
        with self._lock:
            self._settle()

    def active_session(self) -> str | None:
        """The session being worked on, if any."""
        with self._lock:
            return self._reading.session_id if self._reading else None

    def join(self, timeout_s: float) -> bool:
        """Wait for the bay's thread; True when it is done."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _work(self) -> None:
        """One volume after the other; the thread ends only when none waits, and the bay then knows it."""
        try:
            while stay := self._next():
                self._end(stay, self._dock(stay))
        finally:
            with self._lock:
                if self._thread is current_thread():
                    self._thread, self._reading = None, None

    def _next(self) -> Stay | None:
        with self._lock:
            if not self._waiting:
                self._thread = None
                return None
            self._reading, self._interrupted = self._waiting.pop(0), None
            return self._reading

    def _dock(self, stay: Stay) -> BayStatus | None:
        """Pull one volume; the tile's word about it, None when it left before there was one."""
        self._recognise(stay)
        try:
            return self._judge(self._offload(stay))
        except CancelledError:
            return self._say(TileState.INTERRUPTED)
        except DepartedError:
            return None
        except SealdockError as cause:
            named = (state for kind, state in NOT_A_FAULT.items() if isinstance(cause, kind))
            return self._say(next(named, TileState.FAULT), cause)
        except Exception:  # noqa: BLE001  # whatever it is, the other bays go on and the tile says so
            fault = DockFaultError(reference=token_hex(3).upper())
            _log.exception("the bay met an unknown error", bay=self.number, **fault.parameters)
            return self._say(TileState.FAULT, fault)

    def _recognise(self, stay: Stay) -> None:
        self.tile.clear(TileState.RECOGNISING, recorder_serial=stay.arrival.serial or None)

    def _offload(self, stay: Stay) -> Outcome:
        listing = None
        try:
            listing = open_volume(stay.arrival, stay.presence, self._place.mounts).list()
            profile = match(self._place.profiles, listing.layout, stay.arrival.shown)
            if profile is None:
                raise UnknownRecorderError(device=stay.arrival.shown)
            return self._pull(stay, listing.recorder(profile), profile)
        except OSError as cause:
            if isinstance(cause, DepartedError) or stay.presence.wait_departed(2.0):
                raise DepartedError(device=stay.arrival.shown) from cause
            raise
        finally:
            if listing is not None:
                listing.close()

    def _pull(self, stay: Stay, recorder: Recorder, profile: Profile) -> Outcome:
        self.tile.show(
            recorder_serial=recorder.identity.serial or None, profile=profile.id, transport=recorder.transport
        )
        offload = Offload(
            self._place.line,
            recorder,
            profile,
            Circumstance(Origin.DOCK, self.number),
            self.tile,
            self._place.stop,
        )
        stay.session_id = offload.outcome.session_id
        self._place.resumed(stay.session_id, self.number)
        number = offload.officer_number
        self.tile.show(
            officer_number=number, officer_name=self._place.officer_name(number) if number else None
        )
        return offload.run()

    def _judge(self, outcome: Outcome) -> BayStatus:
        shortfall = outcome.shortfall()
        return self._say(TileState.SEALED if shortfall is None else TileState.PARTIAL, shortfall)

    def _say(self, state: TileState, cause: SealdockError | None = None) -> BayStatus:
        """The tile as it is to end for this volume; it is shown once no other waits."""
        if cause is not None:
            _log.warning("docking ended", bay=self.number, state=state.value, code=cause.code, why=str(cause))
        return self.tile.status.model_copy(
            update={
                "state": state, "message": Message.of(cause) if cause else None, "file": None,
                "seconds_left": None, "bytes_per_second": 0,
            }
        )  # fmt: skip

    def _end(self, stay: Stay, verdict: BayStatus | None) -> None:
        """One volume is done with; its session is released when it has left meanwhile."""
        with self._lock:
            stay.verdict, stay.is_over = verdict, True
            if verdict is not None and verdict.state is TileState.INTERRUPTED:
                self._interrupted = verdict
            has_left = self._stays.get(stay.arrival.volume) is not stay
        if has_left:
            self._release(stay)
        with self._lock:
            self._reading = None
            self._settle()

    def _settle(self) -> None:
        """The tile's last word, once nothing is read and nothing waits; the lock is held."""
        if self._reading is not None or self._waiting:
            return
        if self.tile.status.state is TileState.EMPTY:
            self._interrupted = None  # its recorder goes on in another bay
        here = [s.verdict for s in self._stays.values() if s.verdict and s.presence.is_here()]
        said = [*here, *([self._interrupted] if self._interrupted else [])]
        if not said:
            self.tile.clear()
            return
        worst = max(said, key=lambda status: BEST_TO_WORST.index(status.state))
        done = (
            {name: sum(getattr(status, name) for status in here) for name in SUMMED} if worst in here else {}
        )
        self.tile.show(**(worst.model_dump() | {"message": worst.message} | done))

    def _release(self, stay: Stay) -> None:
        """The recorder was taken away after its session had ended."""
        if stay.session_id is None:
            return
        try:
            with self._place.line.db.writing() as session:
                release_session(session, stay.session_id)
        except (SealdockError, SQLAlchemyError, OSError) as cause:
            _log.error(
                "a session could not be released; the next start does",
                session=stay.session_id,
                why=str(cause),
            )
