"""One volume, from its listing to its outcome: opened, matched, admitted, pulled, and its clock set at the end.

Invariants: nothing is copied from a recorder that the register does not answer for before an officer has; such a
recorder is never erased and its clock is never set; a volume that left is told from one that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from devices.condition import Act
from devices.detect import Arrival
from devices.error import DepartedError, UnknownRecorderError
from devices.match import match
from devices.profile import Profile
from devices.recorder import Recorder
from ingest.admission import Standing, ask
from ingest.answer import BayAnswer
from ingest.circumstance import Circumstance
from ingest.docking import earlier_answer
from ingest.offload import Offload
from ingest.outcome import Outcome
from ingest.status import Tile
from ingest.unlocking import Handover, set_back
from ingest.workplace import Stay, Workplace, circumstance, identified, open_stay


class Pull:
    """What a bay does with one volume. `line` finds the serial line that is in the bay, `said` an earlier answer."""

    def __init__(
        self, stay: Stay, place: Workplace, bay: int, tile: Tile,
        line: Callable[[], Arrival | None], said: Callable[[Stay], BayAnswer | None],
    ) -> None:  # fmt: skip
        self._stay, self._place, self._bay, self._tile = stay, place, bay, tile
        self._line, self._said = line, said

    def run(self) -> Outcome:
        """To the end. Raises DepartedError, SealdockError or OSError."""
        stay, listing = self._stay, None
        try:
            listing = open_stay(stay, self._place)
            handover = stay.handover
            layout = replace(listing.layout, unlocked_by=handover.profile.id if handover else None)
            profile = match(self._place.profiles, layout, stay.arrival.shown)
            if profile is None:
                raise UnknownRecorderError(device=stay.arrival.shown)
            recorder = identified(stay, listing, profile, self._bay)
            return self._offload(recorder, profile, self._admitted(recorder))
        except OSError as cause:
            if isinstance(cause, DepartedError) or stay.presence.wait_departed(2.0):
                raise DepartedError(device=stay.arrival.shown) from cause
            raise
        finally:
            if listing is not None:
                listing.close()

    def _admitted(self, recorder: Recorder) -> Circumstance:
        """How it is pulled, once it may be. Raises DepartedError or CancelledError while an officer is asked."""
        stay, place, serial = self._stay, self._place, recorder.identity.serial
        standing = place.admit(serial)
        if standing is not Standing.REGISTERED:
            stay.answer = self._said(stay) or self._begun(recorder, standing)
            if stay.answer is None:
                stay.answer = ask(
                    place.line.db, place.admit, recorder, standing, stay.presence, self._tile, place.stop
                )
        return self._circumstance(recorder, standing if stay.answer else Standing.REGISTERED)

    def _begun(self, recorder: Recorder, standing: Standing) -> BayAnswer | None:
        """What was answered when the session that goes on was begun."""
        with self._place.line.db.reading() as session:
            return earlier_answer(session, recorder, self._circumstance(recorder, standing))

    def _circumstance(self, recorder: Recorder, standing: Standing) -> Circumstance:
        return circumstance(self._stay, recorder, self._bay, self._place.holder, standing)

    def _offload(self, recorder: Recorder, profile: Profile, how: Circumstance) -> Outcome:
        self._tile.show(
            recorder_serial=recorder.identity.serial or None, profile=profile.id, transport=recorder.transport,
            free_bytes=recorder.condition.free_bytes, capacity_bytes=recorder.condition.capacity_bytes,
        )  # fmt: skip
        offload = Offload(
            self._place.line, recorder, profile, how, self._tile, self._place.stop,
            lambda: self._set_clock(recorder), self._show_holder,
        )  # fmt: skip
        self._stay.session_id = offload.outcome.session_id
        self._place.resumed(offload.outcome.session_id, self._bay)
        outcome = offload.run()
        if not outcome.is_quarantined:
            self._place.erase(self._stay.arrival, recorder, outcome, self._tile)
        return outcome

    def _show_holder(self, number: str | None) -> None:
        name = self._place.officer_name(number) if number else None
        self._tile.show(officer_number=number, officer_name=name)

    def _set_clock(self, recorder: Recorder) -> None:
        """Once everything has its receipt: what was sent stands in the statement, whatever came of it."""
        handover = self._stay.handover
        is_another = handover is None or handover.identity.serial != recorder.identity.serial
        if handover is None or is_another or self._stay.answer is not None:
            return
        set_back(self._place.unlock, handover, self._line(), recorder.identity.serial)
        recorder.condition = replace(recorder.condition, acts=_with_later(recorder.condition.acts, handover))


def _with_later(acts: tuple[Act, ...], handover: Handover) -> tuple[Act, ...]:
    """What unlocking had sent, and what was sent since."""
    return (*acts, *handover.transcript.acts[len(handover.condition.acts) :])
