"""Putting things right after a crash, and bringing home what no session waits for any more.

Invariants: after `recover` no row says that a dead process is doing something; nothing that the log holds is
copied again and nothing that it does not hold is believed sealed. Every step may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from core import log
from core.db import Database
from ingest.docking import DockingSession, SessionState, interrupt_session, release_session
from ingest.error import NotSealedError, ReceiptError
from ingest.receipt import Answer, CopyAgainError, look, receive
from ingest.recording import ON_THE_WAY, IngestRecording, RecordingState, move
from vault.log.outbox import pending_ids
from vault.store.deposit import sweep_incoming
from vault.store.objects import Vault

CRASHED = "the dock was stopped"
_log = log.get(__name__)


def recover(db: Database, vault: Vault) -> None:
    """At the start of the only dockd: what a dead process was doing is interrupted, its parts swept."""
    with db.writing() as session:
        for row in session.scalars(
            select(IngestRecording)
            .join(DockingSession, DockingSession.id == IngestRecording.session_id)
            .where(IngestRecording.state == RecordingState.COPYING, DockingSession.origin != "hand")
        ):
            move(session, row, "interrupt", CRASHED)
        for docking in session.scalars(
            select(DockingSession).where(
                DockingSession.state == SessionState.OFFLOADING, DockingSession.origin != "hand"
            )
        ):
            interrupt_session(session, docking, CRASHED)
        for docking in session.scalars(
            select(DockingSession).where(
                DockingSession.state.in_([SessionState.COMPLETE, SessionState.PARTIAL])
            )
        ):
            release_session(session, docking.id)
        swept = sweep_incoming(vault, pending_ids(session))
    if swept:
        _log.info("half-written copies removed", count=len(swept))
    reconcile(db, vault, busy=())


def reconcile(db: Database, vault: Vault, busy: Collection[str]) -> int:
    """Take in the log's answers to recordings of sessions that are not `busy`; gives how many still wait.

    A receipt that does not prove its deposit is logged, and stands in the row's reason, until somebody has mended it.
    """
    with db.reading() as session:
        waiting = {
            row.id
            for row in session.scalars(select(IngestRecording).where(IngestRecording.state.in_(ON_THE_WAY)))
            if row.session_id not in busy
        }
        answers = look(session, waiting)
    for answer in answers:
        try:
            receive(db, vault, answer)
        except (CopyAgainError, NotSealedError):
            continue  # its row and its reason are written; a later docking copies it again
        except ReceiptError as cause:
            _note(db, answer, cause)
    return len(waiting) - len(answers)


def _note(db: Database, answer: Answer, cause: ReceiptError) -> None:
    """Say it once and not every few seconds: the same answer is looked at again until it is a better one."""
    with db.writing() as session:
        row = session.get_one(IngestRecording, answer.id)
        if row.reason == str(cause.parameters["why"]):
            return
        row.reason = str(cause.parameters["why"])
    _log.error("a receipt does not prove its deposit", recording=answer.id, why=str(cause))
