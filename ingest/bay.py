"""One bay: recorders come, are recognised, pulled, and go.

Invariants: at most one volume is read at a time in a bay, on the bay's own thread; a recorder may show several
volumes, so the tile's last word is the worst of all that are there, and it is green only when none waits and
every one of them was sealed without a failure; a recorder that is unlocked over its serial line and comes back as a
disk stays the recorder of this bay meanwhile; whatever goes wrong ends as a tile with a sentence, never as a dead
thread.
"""

from __future__ import annotations

from dataclasses import replace
from secrets import token_hex
from threading import Condition as Signal
from threading import Thread, current_thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from core import log
from core.errors import SealdockError
from devices.condition import Act
from devices.detect import Arrival, Departure, Kind
from devices.error import DepartedError, UnknownFileSystemError, UnknownRecorderError
from devices.match import match
from devices.profile import Profile
from devices.recorder import Recorder
from devices.serial.transcript import Transcript
from devices.volume import presence_of
from ingest.docking import release_session
from ingest.error import DockFaultError, NotARecorderError, SwitchError, UnpluggedError
from ingest.needs import need_of
from ingest.offload import Offload, Outcome
from ingest.status import BayStatus, Message, Need, Tile, TileState
from ingest.unlocking import Handover, hand_over, set_back, table_of
from ingest.workplace import Stay, Workplace, circumstance, identified, open_stay
from vault.store.medium import CancelledError

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
    NotARecorderError: TileState.UNKNOWN,
}
SUMMED = ("files_done", "files_total", "bytes_done", "bytes_total")  # over the volumes of one recorder
_log = log.get(__name__)


class Bay:
    """A numbered place on the dock."""

    def __init__(self, number: int, tile: Tile, workplace: Workplace) -> None:
        self.number, self.tile, self._place = number, tile, workplace
        self._stays: dict[str, Stay] = {}
        self._waiting: list[Stay] = []
        self._reading: Stay | None = None
        self._interrupted: BayStatus | None = None  # stays said until something else is plugged in
        self._handover: Handover | None = None
        self._thread: Thread | None = None
        self._lock = Signal()

    def arrive(self, arrival: Arrival, refused: tuple[str, ...] = ()) -> None:
        """A volume was plugged in; it is pulled now, or after the one before it.

        `refused` names the interfaces of its device that were not let in.
        """
        stay = Stay(arrival, presence_of(arrival), refused=refused)
        with self._lock:
            stay.handover, stay.is_over = self._expect(arrival), self._is_companion(arrival)
            self._stays[arrival.volume] = stay
            if stay.is_over:
                return
            self._waiting.append(stay)
            self._interrupted = None
            self._lock.notify_all()
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
            if stay.handover is not None:
                self._handover = None  # the disk that it was for has left
            self._lock.notify_all()
        if stay.is_over:
            self._release(stay)
        with self._lock:
            self._settle()

    def holds_another(self, arrival: Arrival) -> bool:
        """Whether another USB device is in this bay already: udev may call two sockets by one path.

        A recorder that is unlocked comes back as another device, and then it is the same recorder.
        """
        with self._lock:
            if not arrival.usb_device or self._handover is not None:
                return False
            here = {stay.arrival.usb_device for stay in self._stays.values()} - {""}
            return bool(here - {arrival.usb_device})

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
            return (
                self._unlock(stay) if stay.arrival.kind is Kind.SERIAL else self._judge(self._offload(stay))
            )
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

    def _expect(self, arrival: Arrival) -> Handover | None:
        """What an arrival is the continuation of; a new line begins anew. The lock is held."""
        if arrival.kind is Kind.SERIAL and not self._volumes() and not self._is_companion(arrival):
            self._handover = None
        if arrival.kind is Kind.SERIAL or self._handover is None or not self._handover.is_due():
            return None
        return self._handover

    def _is_companion(self, arrival: Arrival) -> bool:
        """Whether this is the line that the unlocked recorder keeps beside its disk; the lock is held."""
        table = table_of(self._handover.profile) if self._handover else None
        return arrival.kind is Kind.SERIAL and table is not None and table.after_switch != "line_gone"

    def _volumes(self) -> list[Stay]:
        """What is in the bay beside serial lines; the lock is held."""
        return [stay for stay in self._stays.values() if stay.arrival.kind is not Kind.SERIAL]

    def _unlock(self, stay: Stay) -> BayStatus | None:
        """Unlock, then wait for the disk that the recorder becomes: its word is the bay's. Raises SwitchError."""
        with self._lock:
            if self._volumes():
                return None  # the line that some recorders keep beside their disk
        stay.transcript = Transcript()
        try:
            handover = hand_over(self._place.unlock, self._place.profiles, stay.arrival, stay.transcript)
        except (SealdockError, OSError) as cause:
            acts = [act.command for act in stay.transcript.acts]
            _log.warning("a recorder was not unlocked", bay=self.number, sent=acts)
            if stay.presence.wait_departed(0 if isinstance(cause, SealdockError) else 2.0):
                raise DepartedError(device=stay.arrival.shown) from cause
            raise
        self._tell(handover)
        with self._lock:
            self._handover = handover
            for waiting in self._waiting:  # it was quicker than its own answer
                waiting.handover = waiting.handover or handover
            if self._await_volume(handover):
                return None
            self._handover = None
        raise SwitchError(device=stay.arrival.shown, seconds=round(handover.until - handover.since))

    def _await_volume(self, handover: Handover) -> bool:
        """Wait until something is there to be read, the dock stops, or the time is over; the lock is held."""
        while not self._waiting and handover.is_due():
            if self._place.stop.is_set():
                raise CancelledError
            self._lock.wait(min(1.0, max(0.0, handover.until - monotonic())))
        return bool(self._waiting)

    def _tell(self, handover: Handover) -> None:
        """What unlocking has told, on the tile."""
        known = handover.condition
        self.tile.show(
            recorder_serial=handover.identity.serial or None, profile=handover.profile.id,
            battery_percent=known.battery_percent, firmware=known.firmware or None,
            clock_offset_s=known.clock.offset_s if known.clock else None,
            clock_uncertainty_s=known.clock.uncertainty_s if known.clock else None,
        )  # fmt: skip

    def _offload(self, stay: Stay) -> Outcome:
        listing = None
        try:
            listing = open_stay(stay, self._place)
            handover = stay.handover
            layout = replace(listing.layout, unlocked_by=handover.profile.id if handover else None)
            profile = match(self._place.profiles, layout, stay.arrival.shown)
            if profile is None:
                raise UnknownRecorderError(device=stay.arrival.shown)
            recorder = identified(stay, listing, profile, self.number)
            self._place.admit(recorder, profile)
            return self._pull(stay, recorder, profile)
        except OSError as cause:
            if isinstance(cause, DepartedError) or stay.presence.wait_departed(2.0):
                raise DepartedError(device=stay.arrival.shown) from cause
            raise
        finally:
            if listing is not None:
                listing.close()

    def _pull(self, stay: Stay, recorder: Recorder, profile: Profile) -> Outcome:
        self.tile.show(
            recorder_serial=recorder.identity.serial or None, profile=profile.id, transport=recorder.transport,
            free_bytes=recorder.condition.free_bytes, capacity_bytes=recorder.condition.capacity_bytes,
        )  # fmt: skip
        offload = Offload(
            self._place.line,
            recorder,
            profile,
            circumstance(stay, recorder, self.number),
            self.tile,
            self._place.stop,
            lambda: self._set_clock(stay, recorder),
        )
        stay.session_id = offload.outcome.session_id
        self._place.resumed(stay.session_id, self.number)
        number = offload.officer_number
        self.tile.show(
            officer_number=number, officer_name=self._place.officer_name(number) if number else None
        )
        return offload.run()

    def _set_clock(self, stay: Stay, recorder: Recorder) -> None:
        """Once everything has its receipt: what was sent stands in the statement, whatever came of it."""
        handover = stay.handover
        if handover is None or handover.identity.serial != recorder.identity.serial:
            return
        set_back(self._place.unlock, handover, self._line(), recorder.identity.serial)
        recorder.condition = replace(recorder.condition, acts=_with_later(recorder.condition.acts, handover))

    def _line(self) -> Arrival | None:
        """The serial line that is in the bay now: it stayed beside the disk, or came back."""
        with self._lock:
            here = [stay.arrival for stay in self._stays.values() if stay.arrival.kind is Kind.SERIAL]
        return here[-1] if here else None

    def _judge(self, outcome: Outcome) -> BayStatus:
        shortfall = outcome.shortfall()
        return self._say(TileState.SEALED if shortfall is None else TileState.PARTIAL, shortfall)

    def _say(self, state: TileState, cause: SealdockError | None = None) -> BayStatus:
        """The tile as it is to end for this volume; it is shown once no other waits."""
        if cause is not None:
            _log.warning("docking ended", bay=self.number, state=state.value, code=cause.code, why=str(cause))
        return self.tile.status.model_copy(
            update={
                "state": state, "message": Message.of(cause) if cause else None, "needs": self._need(state, cause),
                "file": None,
                "seconds_left": None, "bytes_per_second": 0,
            }
        )  # fmt: skip

    def _need(self, state: TileState, cause: SealdockError | None) -> str | None:
        return Need.PUT_BACK.value if state is TileState.INTERRUPTED else need_of(cause)

    def _end(self, stay: Stay, verdict: BayStatus | None) -> None:
        """One volume is done with; its session is released when it has left meanwhile."""
        with self._lock:
            stay.verdict, stay.is_over = verdict, True
            has_left = self._stays.get(stay.arrival.volume) is not stay
            is_between = (
                has_left and stay.arrival.kind is Kind.SERIAL
            )  # its disk never came: that must be said
            if verdict is not None and (is_between or verdict.state is TileState.INTERRUPTED):
                self._interrupted = verdict
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


def _with_later(acts: tuple[Act, ...], handover: Handover) -> tuple[Act, ...]:
    """What unlocking had sent, and what was sent since."""
    return (*acts, *handover.transcript.acts[len(handover.condition.acts) :])
