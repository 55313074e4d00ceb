"""One bay: recorders come, are recognised, pulled, and go.

Invariants: at most one recorder is read at a time in a bay, on the bay's own thread; a tile is green only
after an offload that ended without a failure and while that recorder is still there; whatever goes wrong ends
as a tile with a sentence, never as a dead thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from core import log
from core.errors import SealdockError
from devices.detect import Arrival, Departure
from devices.error import DepartedError, UnknownRecorderError
from devices.mass_storage import Presence
from devices.match import match
from devices.profile import Profile
from devices.recorder import Recorder
from devices.volume import open_volume, presence_of
from ingest.copying import SealingLine
from ingest.docking import Circumstance, Origin, release_session
from ingest.error import DockFaultError, SomeFilesNotTakenError, UnpluggedError
from ingest.offload import Offload, Outcome
from ingest.status import Message, Tile, TileState
from vault.store.medium import CancelledError

OfficerName = Callable[[str], str | None]
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


@dataclass
class Stay:
    """One volume in the bay. `session_id` from the moment it has a session."""

    arrival: Arrival
    presence: Presence
    session_id: str | None = None


class Bay:
    """A numbered place on the dock."""

    def __init__(self, number: int, tile: Tile, workplace: Workplace) -> None:
        self.number, self.tile, self._place = number, tile, workplace
        self._stays: dict[str, Stay] = {}
        self._waiting: list[Stay] = []
        self._thread: Thread | None = None
        self._lock = Lock()

    def arrive(self, arrival: Arrival) -> None:
        """A volume was plugged in; it is pulled now, or after the one before it."""
        with self._lock:
            stay = Stay(arrival, presence_of(arrival))
            self._stays[arrival.volume] = stay
            self._waiting.append(stay)
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
            is_idle = self._thread is None
        if is_idle:
            self._clear(stay)

    def active_session(self) -> str | None:
        """The session being worked on, if any."""
        with self._lock:
            return next((stay.session_id for stay in self._stays.values() if self._thread), None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the bay's thread; True when it is done."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                stay = self._waiting.pop(0)
            self._dock(stay)

    def _dock(self, stay: Stay) -> None:
        """Pull one volume; every way it can end is a tile."""
        arrival = stay.arrival
        self.tile.clear(TileState.RECOGNISING, recorder_serial=arrival.serial or None)
        try:
            outcome = self._offload(stay)
        except CancelledError:
            self.tile.show(state=TileState.INTERRUPTED, message=None)
        except (UnpluggedError, UnknownRecorderError) as cause:
            is_unknown = isinstance(cause, UnknownRecorderError)
            self._end(stay, TileState.UNKNOWN if is_unknown else TileState.INTERRUPTED, cause)
        except DepartedError:
            self._clear(stay)
        except SealdockError as cause:
            self._end(stay, TileState.FAULT, cause)
        except Exception as cause:  # noqa: BLE001  # whatever it is, the other bays go on and the tile says so
            _log.exception("the bay met an unknown error", bay=self.number)
            self._end(stay, TileState.FAULT, DockFaultError(why=f"{type(cause).__name__}: {cause}"))
        else:
            self._finish(stay, outcome)

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

    def _finish(self, stay: Stay, outcome: Outcome) -> None:
        total = len(outcome.sealed) + len(outcome.known) + len(outcome.failures)
        if outcome.failures:
            short = SomeFilesNotTakenError(failed=len(outcome.failures), total=total)
            self._end(stay, TileState.PARTIAL, short)
        else:
            self._end(stay, TileState.SEALED, None)

    def _end(self, stay: Stay, state: TileState, cause: SealdockError | None) -> None:
        """The tile's last word; a recorder that has left meanwhile leaves an empty bay, or an amber one."""
        if cause is not None:
            _log.warning("docking ended", bay=self.number, state=state.value, code=cause.code, why=str(cause))
        self.tile.show(
            state=state, message=Message.of(cause) if cause else None, file=None, seconds_left=None,
            bytes_per_second=0,
        )  # fmt: skip
        if not stay.presence.is_here():
            self._clear(stay)

    def _clear(self, stay: Stay) -> None:
        """The recorder is gone. What was interrupted stays on the tile until something else is plugged in."""
        if stay.session_id is not None:
            with suppress(SealdockError), self._place.line.db.writing() as session:
                release_session(session, stay.session_id)
        if self.tile.status.state is not TileState.INTERRUPTED:
            self.tile.clear()
