"""Pulling everything off one recorder: list, compare, copy, wait for the receipts, close the session.

Invariants: `run` ends in `complete` only when every listed file is receipted now, or has a receipt already and a random
sample of such files equals theirs; one bad file never stops the others; one sampled file that differs means that all
are copied; a recorder that leaves ends the run as interrupted and everything that was copied is still sealed. The
session's end says what became of each thing on the medium. Nothing is written to the recorder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Event
from time import monotonic

from core import log
from core.canonical import Json
from core.errors import SealdockError
from devices.profile import Profile
from devices.recorder import Recorder
from ingest.circumstance import Circumstance
from ingest.comparing import Comparing
from ingest.copying import Copying, SealingLine
from ingest.damage import refusal
from ingest.docking import (
    DockingSession,
    finish_session,
    interrupt_session,
    never_sealed,
    open_session,
)
from ingest.error import (
    NoLongerThereError,
    NotSealedError,
    SealingStalledError,
    UnpluggedError,
)
from ingest.needs import need_of
from ingest.outcome import Outcome
from ingest.plan import Planned, make_plan
from ingest.progress import Progress
from ingest.receipt import Answer, CopyAgainError, damaged_ranges, look, receive
from ingest.reckoning import Reckoning, shown_condition
from ingest.recording import SEALED
from ingest.room import CardDoesNotFitError
from ingest.status import Message, Tile
from ingest.turns import Claim
from ingest.whose import EVERY_S, Whose
from vault.store.medium import CancelledError

COPIES = 3  # a disk that gives back other bytes three times is broken, not unlucky
STALLED_S = 30.0  # a commit takes milliseconds; after half a minute somebody should look at vaultd
LOOK_EVERY_S = 0.02
MANY = 500  # answers that one query gives
SETTLE_EVERY_S = 0.1  # asking after each of 60,000 files would ask for all that wait each time
_log = log.get(__name__)


class Offload:
    """One recorder, one session, one run."""

    def __init__(
        self, line: SealingLine, recorder: Recorder, profile: Profile, circumstance: Circumstance, tile: Tile,
        stop: Event, once_receipted: Callable[[], None] = lambda: None,
        show_holder: Callable[[str | None], None] = lambda _number: None,
    ) -> None:  # fmt: skip
        """`once_receipted` is called when every file has its receipt and nothing failed, before the session ends.

        `show_holder` is told the officer's number whenever it is known better.
        """
        self._once_receipted = once_receipted
        self._line, self._recorder, self._tile, self._stop = line, recorder, tile, stop
        with line.db.writing() as session:
            self._docking = open_session(session, recorder, circumstance)
            self.plan = make_plan(session, recorder, self._docking)
        self._whose = Whose(line.db, self._docking.id, self.plan.files, circumstance, tile, show_holder)
        self._whose.heard = self._hear
        self._reckoning = Reckoning(
            recorder, profile, circumstance, self._docking, line.zone, conflicts=self._whose.conflicts
        )
        self._progress = Progress(tile)
        left_s = self._progress.left_s
        claim = Claim(
            bay=f"{circumstance.origin}-{circumstance.bay}", hub=circumstance.hub, disk=str(line.vault.path)
        )
        said = {planned.file.serial for planned in self.plan.files if planned.file.serial}
        self._copying = Copying(
            line, recorder, profile, self._docking, circumstance, stop, self._on_bytes, claim,
            circumstance.identified(recorder, said), left_s.begin, left_s.opened,
        )  # fmt: skip
        self._comparing = Comparing(
            self._copying, self._reckoning.sample, left_s, self._progress.begin_file, self._on_compared
        )
        self._waiting: dict[str, Planned] = {}
        self._copies: Counter[str] = Counter()
        self._settled_at = 0.0
        self._is_waited_for = False  # somebody has to come: not everything fits
        self.outcome = Outcome(self._docking.id, is_quarantined=self._docking.quarantined is not None)

    def run(self) -> Outcome:
        """To the end. Raises UnpluggedError or CancelledError when it must be gone on with later."""
        self._begin()
        try:
            return self._run()
        finally:
            self._line.room.give_back([planned.recording_id for planned in self.plan.files])

    def _run(self) -> Outcome:
        try:
            self._comparing.sample_known(self.plan)
            self._keep_room()
            for planned in self.plan.files:
                self._whose.compare_names(planned, self._reckoning.profile, self._line.zone)
                self._take(planned)
                self._settle(at_most_every_s=SETTLE_EVERY_S)
            self._wait_receipts()
            self._name_lost()
            if not self.outcome.failures:
                self._once_receipted()
            self._close()
        except UnpluggedError as cause:
            self._interrupt(cause.code)
            raise UnpluggedError(left=self._left()) from cause
        except BaseException as cause:
            self._interrupt(getattr(cause, "code", type(cause).__name__))
            raise
        return self.outcome

    def _begin(self) -> None:
        self._whose.begin()
        self._tile.show(
            state=self._progress.stage, needs=self._whose.asked(), session_id=self._docking.id,
            files_total=len(self.plan.files), bytes_total=self.plan.bytes_total,
            flagged_total=sum(planned.file.flagged for planned in self.plan.files),
            **shown_condition(getattr(self._recorder, "condition", None)),
        )  # fmt: skip
        for refused in self.plan.refused:
            self.outcome.fail(refused.shown_path, refusal(refused))

    def _keep_room(self) -> None:
        """Promise room for everything that will be copied, or say before the first byte how much is missing."""
        sizes = {one.recording_id: one.file.size for one in self.plan.files if one.known is None}
        missing = self._line.room.promise(sizes)
        if missing:
            short = CardDoesNotFitError(missing=missing)
            _log.warning("a recorder does not fit", session=self._docking.id, missing=missing)
            self._is_waited_for = True
            self._tile.show(message=Message.of(short), needs=need_of(short))

    def _take(self, planned: Planned) -> None:
        """One file: known already, or copied; a failure is noted and the next file has its turn."""
        if self._stop.is_set():
            raise CancelledError
        self._progress.begin_file(planned)
        try:
            if not self._is_known(planned):
                self._copy(planned)
        except (UnpluggedError, CancelledError):
            raise
        except SealdockError as cause:
            self.outcome.fail(planned.file.shown_path, cause)
        self._look_around()
        self._progress.end_file(planned.file)

    def _copy(self, planned: Planned) -> None:
        self._copies[planned.recording_id] += 1
        self.outcome.forget_damage(planned.recording_id, planned.file)
        try:
            ranges = self._copying.copy(planned.file, planned.recording_id)
        finally:
            self._progress.left_s.end(planned.file.size)
        if ranges:
            self.outcome.note_damage(planned.recording_id, planned.file, ranges)
        self._waiting[planned.recording_id] = planned

    def _is_known(self, planned: Planned) -> bool:
        """Whether the log has this very file; then at most its receipt is waited for."""
        known = planned.known
        if known is None:
            return False
        if not self._comparing.is_believed(planned, known):
            self._comparing.disbelieve(planned)
            return False
        if planned.is_damaged:
            self.outcome.note_damage(known.id, planned.file, damaged_ranges(self._line.db, known.id))
        if known.entry_index is not None:
            self._reckoning.receipts[known.id] = known.entry_index
        if known.state in SEALED:
            self.outcome.known.append(known.id)
            self._count_done(planned)
        else:
            self._waiting[known.id] = planned
        return True

    def _settle(self, at_most_every_s: float = 0) -> bool:
        """Take in what the log has answered by now; True when something was answered."""
        if not self._waiting or monotonic() - self._settled_at < at_most_every_s:
            return False
        self._settled_at = monotonic()
        with self._line.db.reading() as session:
            answers = look(session, self._waiting)
        for answer in answers:
            self._receive(self._waiting.pop(answer.id), answer)
        return bool(answers)

    def _receive(self, planned: Planned, answer: Answer) -> None:
        """Verify one receipt; only then does the file count as done."""
        try:
            receive(self._line.db, self._line.vault, answer)
        except CopyAgainError as cause:
            self._copy_again(planned, cause)
        except SealdockError as cause:
            self.outcome.fail(planned.file.shown_path, cause)
        else:
            self.outcome.sealed.append(planned.recording_id)
            self._count_done(planned)

    def _copy_again(self, planned: Planned, cause: CopyAgainError) -> None:
        _log.error("the disk gave back other bytes", file=planned.file.shown_path)
        if self._copies[planned.recording_id] >= COPIES:
            self.outcome.fail(
                planned.file.shown_path, NotSealedError(path=planned.file.shown_path, why=str(cause))
            )
            return
        planned.known = None
        self._progress.again(planned.file)
        self._take(planned)

    def _wait_receipts(self) -> None:
        """Until the log has answered for every file. A log that is silent is said aloud and waited for."""
        self._progress.verify()
        since = monotonic()
        while self._waiting:
            if self._settle():
                since = monotonic()
                self._whose.show_calm()
            elif monotonic() - since > STALLED_S:
                stalled = SealingStalledError(count=len(self._waiting), seconds=round(monotonic() - since))
                self._tile.show(message=Message.of(stalled), needs=need_of(stalled))
            self._whose.hear(at_most_every_s=EVERY_S)
            pause_s = LOOK_EVERY_S if len(self._waiting) < MANY else SETTLE_EVERY_S
            if self._waiting and self._stop.wait(pause_s):
                raise CancelledError

    def _interrupt(self, reason: str) -> None:
        with self._line.db.writing() as session:
            interrupt_session(session, session.get_one(DockingSession, self._docking.id), reason)

    def _name_lost(self) -> None:
        """What this session found before it was interrupted, and what is not there any more."""
        here = {planned.file.path for planned in self.plan.files}
        with self._line.db.reading() as session:
            lost = never_sealed(session, self._docking.id, here)
        for path in lost:
            self.outcome.fail(path, NoLongerThereError(path=path))

    def _close(self) -> None:
        whose = self._whose
        whose.hear()
        self.outcome.note, self.outcome.is_unclaimed = whose.conflicts.error(), whose.asked() is not None
        failures: list[Json] = [
            {"path": path, "reason": error.code} for path, error in self.outcome.failures.items()
        ]
        recordings = [planned.recording_id for planned in self.plan.files]
        statement = self._reckoning.statement(
            self.plan, self.outcome.failures, self.outcome.damaged, whose.holder
        )
        with self._line.db.writing() as session:
            row = session.get_one(DockingSession, self._docking.id)
            row.officer_number = whose.holder.number
            finish_session(
                session, self._line.submitter, row, recordings, failures, statement, whose.circumstance
            )
        self._line.submitter.ring()

    def _hear(self, how: Circumstance) -> None:
        """Somebody named himself: what is sealed and stated from here on says so."""
        self._copying.circumstance = self._reckoning.circumstance = how

    def _left(self) -> int:
        """Files that are still only on the recorder."""
        begun = len(self.outcome.sealed) + len(self.outcome.known) + len(self._waiting)
        return len(self.plan.files) - begun

    def _count_done(self, planned: Planned) -> None:
        self._progress.count_done(planned.file, len(self.outcome.sealed) + len(self.outcome.known))

    def _on_compared(self, count: int) -> None:
        self._look_around()
        self._progress.compared(count)

    def _on_bytes(self, place: int, count: int) -> None:
        self._look_around()
        self._progress.copied(place, count)

    def _look_around(self) -> None:
        """Whether somebody named himself, and whether anybody is still needed."""
        self._whose.hear(at_most_every_s=EVERY_S)
        is_nobodys = self._whose.holder.number is None
        self._progress.is_asking = self._is_waited_for or is_nobodys or bool(self.outcome.failures)
