"""One bay: recorders come, are recognised, pulled, and go.

Invariants: at most one volume is read at a time in a bay, on the bay's own thread; a recorder may show several
volumes, so the tile's last word is the worst of all that are there, and it is green only when none waits and
every one of them was sealed without a failure; a recorder that is unlocked over its serial line and comes back as a
disk stays the recorder of this bay meanwhile; whatever goes wrong ends as a tile with a sentence, never as a dead
thread.
"""

from __future__ import annotations

from secrets import token_hex
from threading import Condition as Signal
from threading import Thread, current_thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from core import log
from core.errors import SealdockError
from devices.detect import Arrival, Departure, Kind
from devices.error import DepartedError
from devices.serial.error import PortError
from devices.serial.transcript import Transcript
from devices.volume import presence_of
from ingest.answer import BayAnswer, answer_to
from ingest.docking import release_session
from ingest.error import DockFaultError, SwitchError
from ingest.outcome import Outcome
from ingest.pulling import Pull
from ingest.status import BayStatus, Need, Tile, TileState
from ingest.unlocking import Handover, LeftUnlockingError, hand_over, table_of
from ingest.verdict import ended, joined, judged, state_of
from ingest.workplace import Stay, Workplace
from vault.store.medium import CancelledError

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

    def hear_claims(self) -> None:
        """Whoever named himself after the session had ended is shown, and asked for no longer."""
        with self._lock:
            asked = [s for s in self._stays.values() if s.verdict and s.verdict.needs == Need.CLAIM.value]
        for stay in asked:
            with self._place.line.db.reading() as session:
                answer = answer_to(session, stay.session_id or "")
            if answer is not None and stay.verdict is not None:
                name = self._place.officer_name(answer.officer_number)
                shown = {"needs": None, "officer_number": answer.officer_number, "officer_name": name}
                with self._lock:
                    stay.verdict = stay.verdict.model_copy(update=shown)
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
            if stay.arrival.kind is Kind.SERIAL:
                return self._unlock(stay)
            return self._judge(self._pull(stay).run())
        except CancelledError:
            return self._say(TileState.INTERRUPTED)
        except DepartedError:
            return None
        except SealdockError as cause:
            return self._say(state_of(cause), cause)
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
            if stay.presence.wait_departed(2.0 if isinstance(cause, OSError | PortError) else 0):
                raise LeftUnlockingError(device=stay.arrival.shown) from cause
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

    def _pull(self, stay: Stay) -> Pull:
        return Pull(stay, self._place, self.number, self.tile, self._line, self._answered)

    def _answered(self, stay: Stay) -> BayAnswer | None:
        """What an officer said of another volume of the same device."""
        with self._lock:
            device, others = stay.arrival.usb_device, list(self._stays.values())
        same = (one.answer for one in others if device and one.arrival.usb_device == device)
        return next((answer for answer in same if answer is not None), None)

    def _line(self) -> Arrival | None:
        """The serial line that is in the bay now: it stayed beside the disk, or came back."""
        with self._lock:
            here = [stay.arrival for stay in self._stays.values() if stay.arrival.kind is Kind.SERIAL]
        return here[-1] if here else None

    def _judge(self, outcome: Outcome) -> BayStatus:
        said = judged(self.tile.status, outcome)
        return self._logged(said, outcome.shortfall())

    def _say(self, state: TileState, cause: SealdockError | None = None) -> BayStatus:
        """The tile as it is to end for this volume; it is shown once no other waits."""
        return self._logged(ended(self.tile.status, state, cause), cause)

    def _logged(self, said: BayStatus, cause: SealdockError | None) -> BayStatus:
        if cause is not None:
            _log.warning(
                "docking ended", bay=self.number, state=said.state.value, code=cause.code, why=str(cause)
            )
        return said

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
        said = joined(here, [self._interrupted] if self._interrupted else [])
        if said is None:
            self.tile.clear()
        else:
            self.tile.show(**(said.model_dump() | {"message": said.message}))

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
