"""Receipts as the dock checks them: what lets the tile turn green.

`check_receipt` holds these obligations; code is labelled with the numbers.
  1. The vault's own key signed the checkpoint and the proof leads to it (vault.formats.proof).
  2. The entry is the one that was submitted: same id, type `ingest`.
  3. It seals the very bytes that the dock hashed on their way from the recorder: same digest, same size.
The receipt itself stays in the vault's table and can always be made anew from the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import Database
from ingest.damage import Ranges
from ingest.error import IngestError, NotSealedError, ReceiptError
from ingest.recording import ON_THE_WAY, SEALED, UNFINISHED, IngestRecording, RecordingState, move
from vault.error import VaultError
from vault.formats.proof import Receipt
from vault.log.index import ReceiptRow, receipt_of
from vault.log.outbox import OutboxRow, RowState
from vault.store.objects import Vault

BATCH = 500  # ids in one query


@dataclass(frozen=True)
class Answer:
    """What the log said to one submission: its state, and the receipt once there is one."""

    id: str
    state: str
    reason: str
    receipt: bytes | None


class CopyAgainError(IngestError):
    """The stored object came back changed; the recorder still has the file, so it is simply copied again."""

    code = "ingest.copy_again"
    sentence = (
        "The disk gave back other bytes than were written for {path}. It is copied again from the recorder."
    )


def look(session: Session, entry_ids: Iterable[str]) -> list[Answer]:
    """The log's answers to these submissions, as far as there are any."""
    wanted, answers = list(entry_ids), list[Answer]()
    for start in range(0, len(wanted), BATCH):
        query = (
            select(OutboxRow.id, OutboxRow.state, OutboxRow.reason, ReceiptRow.text)
            .outerjoin(ReceiptRow, ReceiptRow.entry_id == OutboxRow.id)
            .where(OutboxRow.id.in_(wanted[start : start + BATCH]), OutboxRow.state != RowState.PENDING)
        )
        answers += [Answer(row.id, row.state, row.reason, row.text) for row in session.execute(query)]
    return answers


def check_receipt(raw: bytes, vault: Vault, recording: IngestRecording) -> int:
    """The entry's index, once 1 to 3 hold. Raises ReceiptError."""
    try:
        receipt = Receipt.parse(raw)
        leaf = receipt.verify(vault.speaker(receipt.proof.checkpoint_note))  # 1
    except VaultError as cause:
        raise ReceiptError(path=recording.shown_path, why=str(cause)) from cause
    if leaf.id != recording.id or leaf.type != "ingest" or leaf.object is None:  # 2
        raise ReceiptError(path=recording.shown_path, why="it is the receipt of another entry")
    if (leaf.object.sha256, leaf.object.size) != (recording.sha256, recording.size):  # 3
        raise ReceiptError(path=recording.shown_path, why="it seals other bytes")
    return receipt.proof.index


def receive(db: Database, vault: Vault, answer: Answer) -> None:
    """Move one recording on by the log's answer; safe to do twice.

    Raises CopyAgainError when the file must be copied again (its row is `found`), NotSealedError when the log
    will not take it, ReceiptError for a receipt that does not prove the deposit.
    """
    with db.writing() as session:
        row = session.get_one(IngestRecording, answer.id)
        failure = _apply(session, vault, row, answer)
    if failure is not None:
        raise failure


def _apply(session: Session, vault: Vault, row: IngestRecording, answer: Answer) -> IngestError | None:
    if row.state in SEALED:
        return None
    if row.state in UNFINISHED:  # another process took the same answer in before us
        return CopyAgainError(path=row.shown_path)
    if row.state not in ON_THE_WAY:
        return NotSealedError(path=row.shown_path, why=row.reason)
    if answer.state == RowState.SEQUENCED:
        return _seal(session, vault, row, answer)
    move(session, row, "mismatch", answer.reason)
    if answer.state == RowState.REFUSED:
        return NotSealedError(path=row.shown_path, why=answer.reason)
    move(session, row, "retry", answer.reason)
    return CopyAgainError(path=row.shown_path)


def _seal(session: Session, vault: Vault, row: IngestRecording, answer: Answer) -> IngestError | None:
    if row.state == RecordingState.SUBMITTED:
        move(session, row, "verify")
    if answer.receipt is None:
        return ReceiptError(path=row.shown_path, why="the log has no receipt for it")
    try:
        row.entry_index = check_receipt(answer.receipt, vault, row)
    except ReceiptError as cause:
        return cause
    move(session, row, "receive")
    row.receipted_at = utc_now()
    return None


def damaged_ranges(db: Database, recording_id: str) -> Ranges:
    """The holes of a recording that was sealed with holes, as its receipt has them; none before it has one."""
    with db.reading() as session:
        raw = receipt_of(session, recording_id)
    facts = Receipt.parse(raw).leaf.facts if raw else {}
    return tuple((start, end) for start, end in facts.get("damaged", ()))
