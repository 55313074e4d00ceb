"""Pulling everything off one recorder: list, compare, copy, wait for the receipts, close the session.

Invariants: `run` ends in `complete` only when every listed file is receipted now, or has a receipt already and a random
sample of such files equals theirs; one bad file never stops the others; one sampled file that differs means that all
are copied; a recorder that leaves ends the run as interrupted and everything that was copied is still sealed. The
session's end says what became of each thing on the medium. Nothing is written to the recorder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from core import log
from core.canonical import Json
from core.errors import SealdockError
from devices.profile import Profile
from devices.recorder import Recorder
from ingest.comparing import Comparing
from ingest.copying import Copying, SealingLine
from ingest.damage import DamagedFileError, FilesDamagedError, Ranges, missing_bytes
from ingest.docking import (
    Circumstance,
    DockingSession,
    finish_session,
    interrupt_session,
    never_sealed,
    open_session,
)
from ingest.error import (
    NoLongerThereError,
    NoRoomError,
    NothingTakenError,
    NotSealedError,
    RefusedFileError,
    SealingStalledError,
    SomeFilesNotTakenError,
    UnpluggedError,
    VaultFullError,
)
from ingest.needs import need_of
from ingest.plan import Planned, make_plan
from ingest.receipt import Answer, CopyAgainError, look, receive
from ingest.reckoning import Reckoning, shown_condition
from ingest.recording import SEALED, IngestRecording
from ingest.room import CardDoesNotFitError
from ingest.status import Message, Tile, TileState
from ingest.time_left import TimeLeft
from ingest.turns import Claim
from vault.formats.proof import Receipt
from vault.log.index import receipt_of
from vault.store.medium import CancelledError, DiskFullError

COPIES = 3  # a disk that gives back other bytes three times is broken, not unlucky
STALLED_S = 30.0  # a commit takes milliseconds; after half a minute somebody should look at vaultd
LOOK_EVERY_S = 0.02
MANY = 500  # answers that one query gives
SETTLE_EVERY_S = (
    0.1  # while files are copied: asking after each of 60,000 would ask for all that wait each time
)
_log = log.get(__name__)


@dataclass
class Outcome:
    """How a run ended: recordings receipted now and known before, and what failed, by shown path.

    A damaged recording (its ranges, by id) is sealed or known and a failure too: it is in the vault, and not whole.
    """

    session_id: str
    sealed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    failures: dict[str, SealdockError] = field(default_factory=dict)
    damaged: dict[str, Ranges] = field(default_factory=dict)

    def shortfall(self) -> SealdockError | None:
        """What the tile says of what was not taken, the cause that a person can remove first; None when all was."""
        failed = sum(not isinstance(cause, DamagedFileError) for cause in self.failures.values())
        total = len(self.sealed) + len(self.known) + failed
        if not self.failures:
            return None
        if not failed:
            return FilesDamagedError(damaged=len(self.failures), total=total)
        if any(isinstance(cause, NoRoomError | DiskFullError) for cause in self.failures.values()):
            return VaultFullError(failed=failed, total=total)
        if failed == total:
            return NothingTakenError(total=total)
        return SomeFilesNotTakenError(failed=failed, total=total)


class Offload:
    """One recorder, one session, one run."""

    def __init__(
        self,
        line: SealingLine,
        recorder: Recorder,
        profile: Profile,
        circumstance: Circumstance,
        tile: Tile,
        stop: Event,
        once_receipted: Callable[[], None] = lambda: None,
    ) -> None:
        """`once_receipted` is called when every file has its receipt and nothing failed, before the session ends."""
        self._circumstance, self._once_receipted = circumstance, once_receipted
        self._line, self._recorder, self._tile, self._stop = line, recorder, tile, stop
        with line.db.writing() as session:
            self._docking = open_session(session, recorder, circumstance)
            self.plan = make_plan(session, recorder, self._docking)
        self._reckoning = Reckoning(recorder, profile, circumstance, self._docking, line.zone)
        self._left_s = TimeLeft()
        claim = Claim(
            bay=f"{circumstance.origin}-{circumstance.bay}", hub=circumstance.hub, disk=str(line.vault.path)
        )
        said = {planned.file.serial for planned in self.plan.files if planned.file.serial}
        self._copying = Copying(
            line, recorder, profile, self._docking, circumstance, stop, self._on_bytes, claim,
            circumstance.identified(recorder, said), self._left_s.begin,
        )  # fmt: skip
        self._comparing = Comparing(
            self._copying, self._reckoning.sample, self._left_s, self._show_file, self._on_compared
        )
        self._waiting: dict[str, Planned] = {}
        self._copies: Counter[str] = Counter()
        self._settled_at = 0.0
        self._behind = 0  # bytes of the files whose turn is over
        self._flagged_done = 0
        self._stage = TileState.COPYING
        self._is_waited_for = True  # somebody has to come: no holder is known, or not everything fits
        self.outcome = Outcome(self._docking.id)

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
        self._tile.show(
            state=self._stage,
            session_id=self._docking.id,
            files_total=len(self.plan.files),
            bytes_total=self.plan.bytes_total,
            flagged_total=sum(planned.file.flagged for planned in self.plan.files),
            **shown_condition(getattr(self._recorder, "condition", None)),
        )
        self._is_waited_for = self.officer_number is None
        for refused in self.plan.refused:
            why = refused.reason.replace("_", " ")
            self._fail(refused.shown_path, RefusedFileError(path=refused.shown_path, why=why))

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
        self._show_file(planned)
        try:
            if not self._is_known(planned):
                self._copy(planned)
        except (UnpluggedError, CancelledError):
            raise
        except SealdockError as cause:
            self._fail(planned.file.shown_path, cause)
        self._behind += planned.file.size
        self._tile.advance(self._behind, 0)
        self._show_left()

    def _copy(self, planned: Planned) -> None:
        self._copies[planned.recording_id] += 1
        self._forget_damage(planned)
        try:
            ranges = self._copying.copy(planned.file, planned.recording_id)
        finally:
            self._left_s.end(planned.file.size)
        if ranges:
            self._note_damage(planned, ranges)
        self._waiting[planned.recording_id] = planned

    def _note_damage(self, planned: Planned, ranges: Ranges) -> None:
        """In the vault, and not whole: the session falls short."""
        file = planned.file
        self.outcome.damaged[planned.recording_id] = ranges
        missing = missing_bytes(ranges)
        self._fail(file.shown_path, DamagedFileError(path=file.shown_path, missing=missing, size=file.size))

    def _ranges_of(self, known: IngestRecording) -> Ranges:
        """The holes of a recording that was sealed with holes, as its receipt has them; none before it has one."""
        with self._line.db.reading() as session:
            raw = receipt_of(session, known.id)
        facts = Receipt.parse(raw).leaf.facts if raw else {}
        return tuple((start, end) for start, end in facts.get("damaged", ()))

    def _forget_damage(self, planned: Planned) -> None:
        """Copied once more: what the copy before lacked is no matter any more."""
        if self.outcome.damaged.pop(planned.recording_id, None):
            self.outcome.failures.pop(planned.file.shown_path, None)

    def _is_known(self, planned: Planned) -> bool:
        """Whether the log has this very file; then at most its receipt is waited for."""
        known = planned.known
        if known is None:
            return False
        if not self._comparing.is_believed(planned, known):
            self._comparing.disbelieve(planned)
            return False
        if planned.is_damaged:
            self._note_damage(planned, self._ranges_of(known))
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
            self._fail(planned.file.shown_path, cause)
        else:
            self.outcome.sealed.append(planned.recording_id)
            self._count_done(planned)

    def _copy_again(self, planned: Planned, cause: CopyAgainError) -> None:
        _log.error("the disk gave back other bytes", file=planned.file.shown_path)
        if self._copies[planned.recording_id] >= COPIES:
            self._fail(planned.file.shown_path, NotSealedError(path=planned.file.shown_path, why=str(cause)))
            return
        planned.known = None
        self._behind -= planned.file.size
        self._take(planned)

    def _wait_receipts(self) -> None:
        """Until the log has answered for every file. A log that is silent is said aloud and waited for."""
        self._stage = TileState.VERIFYING
        self._tile.show(state=self._stage, file=None, seconds_left=None, bytes_per_second=0)
        since = monotonic()
        while self._waiting:
            if self._settle():
                since = monotonic()
                self._tile.show(message=None, needs=None)
            elif monotonic() - since > STALLED_S:
                stalled = SealingStalledError(count=len(self._waiting), seconds=round(monotonic() - since))
                self._tile.show(message=Message.of(stalled), needs=need_of(stalled))
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
            self._fail(path, NoLongerThereError(path=path))

    def _close(self) -> None:
        failures: list[Json] = [
            {"path": path, "reason": error.code} for path, error in self.outcome.failures.items()
        ]
        recordings = [planned.recording_id for planned in self.plan.files]
        statement = self._reckoning.statement(
            self.plan, self.outcome.failures, self.outcome.damaged, self.officer_number
        )
        with self._line.db.writing() as session:
            row = session.get_one(DockingSession, self._docking.id)
            row.officer_number = self.officer_number
            finish_session(
                session, self._line.submitter, row, recordings, failures, statement, self._circumstance
            )
        self._line.submitter.ring()

    @property
    def officer_number(self) -> str | None:
        """The one officer that all names agree on, else the one that a person named."""
        said = {planned.file.officer_number for planned in self.plan.files} - {None}
        return said.pop() if len(said) == 1 else self._docking.officer_number

    def _fail(self, shown_path: str, cause: SealdockError) -> None:
        _log.warning("not taken", file=shown_path, code=cause.code)
        self.outcome.failures[shown_path] = cause

    def _left(self) -> int:
        """Files that are still only on the recorder."""
        return len(self.plan.files) - self._begun()

    def _begun(self) -> int:
        return len(self.outcome.sealed) + len(self.outcome.known) + len(self._waiting)

    def _count_done(self, planned: Planned) -> None:
        self._flagged_done += planned.file.flagged
        done = len(self.outcome.sealed) + len(self.outcome.known)
        self._tile.show(files_done=done, flagged_done=self._flagged_done)

    def _show_file(self, planned: Planned) -> None:
        self._tile.show(file=planned.file.shown_path)

    def _on_compared(self, count: int) -> None:
        self._left_s.take(count)
        self._tile.advance(self._behind, count)
        self._show_left()

    def _on_bytes(self, place: int, count: int) -> None:
        self._left_s.take(count)
        self._tile.advance(self._behind + place, count)
        self._show_left()

    def _show_left(self) -> None:
        """The time left, and whether the officer may go home before it is over."""
        seconds = self._left_s.seconds()
        if self._stage is not TileState.VERIFYING:
            is_asked = self._is_waited_for or bool(self.outcome.failures) or seconds is None
            self._stage = TileState.COPYING if is_asked else TileState.HANDED_IN
        self._tile.show(seconds_left=seconds, state=self._stage)
