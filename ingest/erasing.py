"""Erasing by policy, after a session: whether anything may go at all, what passes the gates, what the worker proved.

Invariants: without the policy nothing is even asked; nothing goes from a session that is not complete, or is in
quarantine, or whose medium the kernel has not mounted; the worker is asked in time, so that at the docking after the
days of grace the proof is on the log already; the tile is CLEARING, and never green, from the first wait to the last
file. Whatever keeps the dock from erasing keeps nothing else from working: everything is sealed by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from core import log
from core.errors import SealdockError
from devices.detect import Arrival, Kind
from devices.recorder import Recorder
from ingest import erase_open
from ingest.copying import SealingLine
from ingest.docking import DockingSession, SessionState
from ingest.erase_gate import Gates, Reason
from ingest.erase_line import CardOpenError, Reach
from ingest.erase_run import AT_ONCE, UNDER_WAY, ErasingRun, rows_of
from ingest.error import UnpluggedError
from ingest.outcome import Outcome
from ingest.recording import RecordingState, move
from ingest.status import Tile, TileState
from vault.store.medium import CancelledError

LOOK_EVERY_S = 0.25
STALLED_S = 300.0  # without any answer of the worker: the rest waits for the next docking
PROVABLE = frozenset({Reason.UNOPENED, Reason.UNCOPIED})  # what the worker can still change
NOT_YET = PROVABLE | {Reason.GRACE, Reason.UNWITNESSED}
SHOWN = ("files_done", "files_total", "bytes_done", "bytes_total")
_log = log.get(__name__)


@dataclass(frozen=True)
class Erasing:
    """The policy at work; a bay calls it once everything has its receipt (ingest.workplace.Erase)."""

    line: SealingLine
    gates: Gates
    reach: Reach
    stop: Event = field(default_factory=Event)
    stalled_s: float = STALLED_S

    def __call__(self, arrival: Arrival, recorder: Recorder, outcome: Outcome, tile: Tile) -> None:
        """Erase what may go. Raises ClearingInterruptedError, CancelledError or CardOpenError; the rest is told."""
        if not self._is_erasable_session(arrival, recorder, outcome):
            return
        run = ErasingRun(self.line, self.gates.reader, self.gates.policy, recorder, outcome, tile, self.stop)
        try:
            run.settle_cut()
            covered = self.gates.covered() if self.gates.policy.witnessed else 0
            due = self._due(run, covered)
            if not due:
                return
            with _clearing(tile, len(due)):
                ready = self._proven(run, due, covered)
                if ready:
                    run.clear(self.reach, arrival.node.name, ready, covered)
        except (UnpluggedError, CancelledError, CardOpenError):
            raise
        except SealdockError as cause:
            _log.error("nothing more is erased", session=outcome.session_id, code=cause.code, why=str(cause))

    def _is_erasable_session(self, arrival: Arrival, recorder: Recorder, outcome: Outcome) -> bool:
        """A whole session with a disk that the kernel mounted; MTP and emulated media have no way of erasing."""
        is_disk = (
            arrival.kind is Kind.VOLUME and arrival.emulated_by is None and recorder.transport == "kernel"
        )
        if not is_disk or outcome.failures or outcome.damaged:
            _log.info("nothing is erased", session=outcome.session_id, transport=recorder.transport)
            return False
        with self.line.db.reading() as session:
            row = session.get_one(DockingSession, outcome.session_id)
            return row.state == SessionState.COMPLETE and not row.quarantined

    def _due(self, run: ErasingRun, covered: int) -> list[str]:
        """Recordings that may go, but for what the worker still has to prove; the worker is asked here."""
        ids, due = [*run.outcome.sealed, *run.outcome.known], list[str]()
        for start in range(0, len(ids), AT_ONCE):
            with self.line.db.writing() as session:
                for row in rows_of(session, ids[start : start + AT_ONCE]):
                    if row.state in UNDER_WAY:  # its recorder says no serial
                        move(session, row, "keep", "begun anew")
                    if row.state != RecordingState.RECEIPTED:
                        continue
                    why = self.gates.judge(session, row, covered)
                    if why in NOT_YET and self.gates.unproven(session, row.id):
                        erase_open.ask(session, row.id, run.outcome.session_id)
                    if why is None or why in PROVABLE:
                        due.append(row.id)
                    else:
                        run.kept[row.id] = why.value
        return due

    def _proven(self, run: ErasingRun, due: Sequence[str], covered: int) -> list[str]:
        """Wait for the worker; those that it has proven. Silent for long, it leaves the rest on the card."""
        waiting, ready, since = list(due), list[str](), monotonic()
        while waiting:
            run.left = len(waiting)
            run.check()
            with self.line.db.reading() as session:
                why = {
                    one.id: self.gates.judge(session, one, covered)
                    for one in rows_of(session, waiting[:AT_ONCE])
                    if self.gates.unproven(session, one.id) is None
                }
            answered = {one for one, said in why.items() if said not in PROVABLE}
            ready += [one for one in why if why[one] is None]
            run.kept |= {one: said.value for one, said in why.items() if said is not None and one in answered}
            waiting = [one for one in waiting if one not in answered]
            since = monotonic() if answered else since
            if waiting and monotonic() - since > self.stalled_s:
                run.kept |= dict.fromkeys(waiting, Reason.UNOPENED.value)
                break
            if waiting and not answered and self.stop.wait(LOOK_EVERY_S):
                raise CancelledError
        return ready


@contextmanager
def _clearing(tile: Tile, count: int) -> Iterator[None]:
    """The tile while files are erased; afterwards it shows the session's own figures again."""
    before = {name: getattr(tile.status, name) for name in SHOWN}
    tile.show(state=TileState.CLEARING, files_done=0, files_total=count, bytes_done=0, bytes_total=0)
    try:
        yield
    finally:
        tile.show(file=None, **before)
