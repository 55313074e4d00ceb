"""Pulling everything off one recorder: list, compare, copy, wait for the receipts, close the session.

Invariants: `run` ends in `complete` only when every listed file is receipted or proven to be on the log
already; one bad file never stops the others; a recorder that leaves ends the run as interrupted and
everything that was copied is still sealed. Nothing is written to the recorder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from core import log
from core.canonical import Json
from core.errors import SealdockError
from devices.profile import Profile
from devices.recorder import Recorder
from ingest.copying import DEPARTURE_S, Copying, SealingLine
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
    UnreadableFileError,
    VaultFullError,
)
from ingest.plan import Planned, add_found, is_same, make_plan
from ingest.receipt import Answer, CopyAgainError, look, receive
from ingest.recording import SEALED, IngestRecording
from ingest.room import CardDoesNotFitError
from ingest.status import Message, Tile, TileState
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
    """How a run ended: recordings receipted now and known before, and what failed, by shown path."""

    session_id: str
    sealed: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    failures: dict[str, SealdockError] = field(default_factory=dict)

    def shortfall(self) -> SealdockError | None:
        """What the tile says of what was not taken, the cause that a person can remove first; None when all was."""
        failed = len(self.failures)
        total = len(self.sealed) + len(self.known) + failed
        if not failed:
            return None
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
    ) -> None:
        self._line, self._recorder, self._tile, self._stop = line, recorder, tile, stop
        with line.db.writing() as session:
            self._docking = open_session(session, recorder, circumstance)
            self.plan = make_plan(session, recorder, self._docking)
        self._copying = Copying(line, recorder, profile, self._docking, circumstance, stop, self._on_bytes)
        self._waiting: dict[str, Planned] = {}
        self._copies: Counter[str] = Counter()
        self._settled_at = 0.0
        self._behind = 0  # bytes of the files whose turn is over
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
            self._keep_room()
            for planned in self.plan.files:
                self._take(planned)
                self._settle(at_most_every_s=SETTLE_EVERY_S)
            self._wait_receipts()
            self._name_lost()
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
            state=TileState.COPYING,
            session_id=self._docking.id,
            files_total=len(self.plan.files),
            bytes_total=self.plan.bytes_total,
        )
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
            self._tile.show(message=Message.of(short))

    def _take(self, planned: Planned) -> None:
        """One file: known already, or copied; a failure is noted and the next file has its turn."""
        if self._stop.is_set():
            raise CancelledError
        self._tile.show(file=planned.file.shown_path)
        try:
            if not self._is_known(planned):
                self._copy(planned)
        except (UnpluggedError, CancelledError):
            raise
        except SealdockError as cause:
            self._fail(planned.file.shown_path, cause)
        self._behind += planned.file.size
        self._tile.advance(self._behind, 0)

    def _copy(self, planned: Planned) -> None:
        self._copies[planned.recording_id] += 1
        self._copying.copy(planned.file, planned.recording_id)
        self._waiting[planned.recording_id] = planned

    def _is_known(self, planned: Planned) -> bool:
        """Whether the log has this very file; then at most its receipt is waited for."""
        known = planned.known
        if known is None:
            return False
        if not self._has_same_bytes(planned, known):
            _log.warning("another file under a name that was sealed", file=planned.file.shown_path)
            with self._line.db.writing() as session:
                add_found(session, planned, self._recorder.identity.serial, self._docking)
            return False
        if known.state in SEALED:
            self.outcome.known.append(known.id)
            self._count_done()
        else:
            self._waiting[known.id] = planned
        return True

    def _has_same_bytes(self, planned: Planned, known: IngestRecording) -> bool:
        try:
            stream = self._recorder.open(planned.file)
            try:
                return is_same(stream, known, by_edges=bool(self._recorder.identity.serial))
            finally:
                stream.close()
        except OSError as cause:
            if self._recorder.has_departed(DEPARTURE_S):
                raise UnpluggedError(left=self._left()) from cause
            why = cause.strerror or str(cause)
            raise UnreadableFileError(path=planned.file.shown_path, why=why) from cause

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
            self._count_done()

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
        self._tile.show(state=TileState.VERIFYING, file=None, seconds_left=None, bytes_per_second=0)
        since = monotonic()
        while self._waiting:
            if self._settle():
                since = monotonic()
                self._tile.show(message=None)
            elif monotonic() - since > STALLED_S:
                stalled = SealingStalledError(count=len(self._waiting), seconds=round(monotonic() - since))
                self._tile.show(message=Message.of(stalled))
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
        with self._line.db.writing() as session:
            row = session.get_one(DockingSession, self._docking.id)
            row.officer_number = self.officer_number
            finish_session(session, self._line.submitter, row, recordings, failures, self._recorder.ignored)
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

    def _count_done(self) -> None:
        self._tile.show(files_done=len(self.outcome.sealed) + len(self.outcome.known))

    def _on_bytes(self, place: int, count: int) -> None:
        self._tile.advance(self._behind + place, count)
