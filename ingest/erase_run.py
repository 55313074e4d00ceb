"""One session's erasing, file by file, under warrants: what is begun, what is gone, and what a cut left open.

Invariants: a row is `erasing` before the eraser is asked for its file, and `erased` in the transaction of the entry
that says so; after a cut at most one file is neither, and the next docking of its recorder says which. A file that
holds other bytes than were sealed under its name is footage: it stays, gets a row of its own, and is copied at the next
docking. The last entry says how much of the medium was written, also when the recorder left in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import log
from core.canonical import Json
from core.settings import EraseSettings
from devices.eraser import Fate
from devices.recorder import Recorder, SourceFile
from ingest.copying import SealingLine
from ingest.docking import DockingSession
from ingest.erase_evidence import ALLOWED, ERASE, WARRANT_AGE
from ingest.erase_line import CardOpenError, EraserError, Exchange, Reach
from ingest.erase_rule import ENDED, ERASED
from ingest.error import IngestError, UnpluggedError
from ingest.outcome import Outcome
from ingest.plan import Planned, add_found
from ingest.recording import IngestRecording, RecordingState, move
from ingest.status import Tile
from vault.log.index import receipt_of, wait_sequenced
from vault.log.ledger import LogReader
from vault.log.outbox import NotSequencedError, RefusedError
from vault.log.submission import Draft
from vault.store.medium import CancelledError

BATCH = 255  # recordings under one warrant, beside its session
AT_ONCE = 500  # ids in one query
SEQUENCED_WITHIN_S = 30.0
DEPARTURE_S = 2.0  # the event that explains a read error comes after it
KEPT_LISTED = 2000  # in the private part of a session's last entry
RENEW_S = WARRANT_AGE.total_seconds() / 2  # a file is not begun under a warrant that is older than this
NOT_SEEN = frozenset({Fate.STILL_THERE, Fate.NOT_THERE, Fate.NOT_ASKED})
UNDER_WAY = frozenset({RecordingState.ERASABLE, RecordingState.ERASING})
_log = log.get(__name__)


class ClearingInterruptedError(UnpluggedError):
    """The recorder left while files were erased from it."""

    code = "ingest.clearing_interrupted"
    sentence = (
        "The recorder left while it was being cleared: {erased} files were erased, {left} were still to be. Everything "
        "is sealed and nothing is lost; put it back into the dock to go on."
    )


class OtherBytesError(IngestError):
    """A file that has a receipt by its name and holds something else."""

    code = "ingest.other_bytes"
    sentence = (
        "{path} is not what was sealed under its name and time. It was not erased; dock the recorder again, and it is "
        "copied as a file of its own."
    )


@dataclass
class ErasingRun:
    """What is erased from one recorder. `kept` says why a recording's file stays; `left` are still to be erased."""

    line: SealingLine
    reader: LogReader
    policy: EraseSettings
    recorder: Recorder
    outcome: Outcome
    tile: Tile
    stop: Event
    kept: dict[str, str] = field(default_factory=dict)
    erased: int = 0
    bytes: int = 0
    left: int = 0

    def __post_init__(self) -> None:
        self.files = {one.path: one for one in self.recorder.files() if isinstance(one, SourceFile)}

    def check(self) -> None:
        """Raises CancelledError once the dock stops, ClearingInterruptedError once the recorder has left."""
        if self.stop.is_set():
            raise CancelledError
        if not self.recorder.present():
            raise ClearingInterruptedError(erased=self.erased, left=self.left)

    def settle_cut(self) -> None:
        """What an earlier run had begun: a file that is not there any more is gone, one that is begins anew.

        A serial may be on two recorders and a recorder may hold two cards, so that one is gone is said only of a card
        that still holds another file of the same session; until such a card is seen the row stays `erasing`.
        """
        serial = self.recorder.identity.serial
        if not serial:
            return
        with self.line.db.writing() as session:
            begun = select(IngestRecording).where(
                IngestRecording.state.in_(UNDER_WAY), IngestRecording.recorder_serial == serial
            )
            for row in session.scalars(begun).all():
                if row.path in self.files or row.state == RecordingState.ERASABLE:
                    move(session, row, "keep", "begun anew")
                elif self._holds_others_of(session, row):
                    self._enter_erased(session, row, row.reason, "not_found")
                else:
                    _log.warning("a file was being erased, and this may not be its card", file=row.shown_path)
        self.line.submitter.ring()

    def _holds_others_of(self, session: Session, row: IngestRecording) -> bool:
        others = select(IngestRecording.path).where(
            IngestRecording.session_id == row.session_id, IngestRecording.id != row.id
        )
        return any(path in self.files for path in session.scalars(others))

    def clear(self, reach: Reach, card: str, ready: Sequence[str], covered: int) -> None:
        """Erase these recordings' files from the card, in one exchange; the end is entered whatever happens.

        Raises CardOpenError where the card was not closed again, ClearingInterruptedError or CancelledError.
        """
        self.left, sectors = len(ready), None
        try:
            with reach.exchange(card) as exchange:
                waiting = list(ready)
                while waiting:
                    again = self._clear_batch(exchange, waiting[:BATCH], covered)
                    waiting = [*again, *waiting[BATCH:]]
                sectors = exchange.end()
        except EraserError as cause:
            if self.recorder.has_departed(DEPARTURE_S):
                raise ClearingInterruptedError(erased=self.erased, left=self.left) from cause
            if isinstance(cause, CardOpenError):
                raise
            _log.error("erasing stopped", session=self.outcome.session_id, why=str(cause))
        finally:
            self._give_back(ready)
            self._enter_end(sectors)

    def _clear_batch(self, exchange: Exchange, ids: Sequence[str], covered: int) -> Sequence[str]:
        """Erase under one warrant; those that are left when it is too old, and want another."""
        self.check()
        warrant = self._warrant(ids, covered)
        if warrant is None:
            self.kept |= dict.fromkeys(ids, "refused")
            self.left -= len(ids)
            return ()
        exchange.warrant(self.reader.proof(warrant[1]))
        since = monotonic()
        for place, one in enumerate(ids):
            if place and monotonic() - since >= RENEW_S:
                self._give_back(ids[place:])
                return ids[place:]
            self.check()
            self._erase(exchange, one, warrant[0])
        return ()

    def _warrant(self, ids: Sequence[str], covered: int) -> tuple[str, int] | None:
        """Have the log allow it: the entry's id and place, None where vaultd refuses or does not answer."""
        facts: Json = {
            "stage": ALLOWED, "session": self.outcome.session_id, "grace_days": self.policy.grace_days,
            "replicated": self.policy.replicated,
        } | ({"witnessed": covered} if self.policy.witnessed else {})  # fmt: skip
        with self.line.db.writing() as session:
            about = (self.outcome.session_id, *ids)
            entry = self.line.submitter.submit(session, Draft(ERASE, about=about, facts=facts))
        self.line.submitter.ring()
        try:
            place = wait_sequenced(self.line.db, entry, SEQUENCED_WITHIN_S)
        except (RefusedError, NotSequencedError) as cause:
            _log.error("no warrant to erase", session=self.outcome.session_id, why=str(cause))
            return None
        with self.line.db.writing() as session:
            for row in rows_of(session, ids):
                move(session, row, "allow_erase", entry)
        return entry, place

    def _erase(self, exchange: Exchange, one: str, warrant: str) -> None:
        with self.line.db.writing() as session:
            row = session.get_one(IngestRecording, one)
            move(session, row, "erase", warrant)
            path, receipt = row.path, receipt_of(session, one) or b""
        self.tile.show(file=row.shown_path)
        fate = exchange.erase(path, receipt)
        if fate is not Fate.ERASED and self.recorder.has_departed(DEPARTURE_S):
            raise ClearingInterruptedError(erased=self.erased, left=self.left)
        with self.line.db.writing() as session:
            row = session.get_one(IngestRecording, one)
            if fate is Fate.ERASED:
                self._enter_erased(session, row, warrant, "verified_gone")
            else:
                self._keep(session, row, fate)
        self.line.submitter.ring()
        self.left -= 1
        self.tile.show(files_done=self.erased, bytes_done=self.bytes)

    def _enter_erased(self, session: Session, row: IngestRecording, warrant: str, result: str) -> None:
        """In the caller's transaction: the row and the log's word are one."""
        move(session, row, "finish", result)
        facts: Json = {
            "stage": ERASED, "session": self.outcome.session_id, "warrant": warrant, "result": result,
            "bytes": row.size,
        }  # fmt: skip
        about = (self.outcome.session_id, row.id)
        self.line.submitter.submit(session, Draft(ERASE, about=about, facts=facts))
        self.erased, self.bytes = self.erased + 1, self.bytes + row.size

    def _keep(self, session: Session, row: IngestRecording, fate: Fate) -> None:
        """It stays; one that holds other bytes is to be copied, and the tile says so.

        Where it was not seen whether it went, it is `erasing` on, and the next docking says (`settle_cut`).
        """
        _log.warning("not erased", recording=row.id, why=fate.value)
        self.kept[row.id] = fate.value
        if fate in NOT_SEEN:
            return
        move(session, row, "keep", fate.value)
        if fate is not Fate.DIFFERS or row.path not in self.files:
            return
        docking = session.get_one(DockingSession, self.outcome.session_id)
        planned = Planned(self.files[row.path], row.id, row)
        add_found(session, planned, self.recorder.identity.serial, docking)
        self.outcome.failures[row.shown_path] = OtherBytesError(path=row.shown_path)

    def _give_back(self, ready: Sequence[str]) -> None:
        """What was allowed and not begun is not on its way to be erased any more."""
        for start in range(0, len(ready), AT_ONCE):
            with self.line.db.writing() as session:
                for row in rows_of(session, ready[start : start + AT_ONCE]):
                    if row.state == RecordingState.ERASABLE:
                        move(session, row, "keep", "erasing ended")

    def _enter_end(self, sectors: int | None) -> None:
        facts: Json = {
            "stage": ENDED, "session": self.outcome.session_id, "erased": self.erased, "bytes": self.bytes,
            "kept": len(self.kept) + self.left,
        } | ({} if sectors is None else {"sectors_written": sectors})  # fmt: skip
        kept: list[Json] = [{"recording": one, "why": why} for one, why in self.kept.items()]
        with self.line.db.writing() as session:
            about = (self.outcome.session_id,)
            body = {"kept": kept[:KEPT_LISTED], "recorder_serial": self.recorder.identity.serial}
            self.line.submitter.submit(session, Draft(ERASE, about=about, facts=facts, body=body))
        self.line.submitter.ring()


def rows_of(session: Session, ids: Sequence[str]) -> Iterable[IngestRecording]:
    """These recordings' rows, in the order of the ids; at most AT_ONCE of them."""
    found = {
        row.id: row for row in session.scalars(select(IngestRecording).where(IngestRecording.id.in_(ids)))
    }
    return [found[one] for one in ids if one in found]
