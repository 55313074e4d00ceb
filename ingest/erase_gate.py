"""The gates that each recording passes before its file may be erased from a recorder.

Invariants: a recording that no gate can judge stays; the receipt is verified again under the log's key, not remembered.
What is judged here from rows is judged once more by vaultd from the log alone (ingest.erase_rule) and by the process
that erases (ingest.erase_evidence): this is where a reason is found to tell a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import utc_now
from core.db import Database
from core.settings import EraseSettings
from ingest.docking import DockingSession
from ingest.erase_rule import OPEN
from ingest.error import ReceiptError
from ingest.receipt import check_receipt
from ingest.recording import IngestRecording, RecordingState
from vault.formats.entry import Leaf
from vault.log.index import EntryAbout, EntryRow, receipt_of
from vault.log.ledger import LogReader
from vault.retention.chronicle import DISPOSE, HOLD, RELEASE

FREE = "free"
AT_ONCE = 500  # rows in one query


class Reason(StrEnum):
    """Why a file stays on its recorder."""

    NO_RECEIPT = "no_receipt"
    QUARANTINED = "quarantined"
    DISPOSED = "disposed"
    HELD = "held"
    GRACE = "grace"
    UNWITNESSED = "unwitnessed"
    UNOPENED = "unopened"
    UNCOPIED = "uncopied"


@dataclass(frozen=True)
class Gates:
    """The policy, and what it asks: `covered` is the size of the log that somebody outside has vouched for."""

    policy: EraseSettings
    reader: LogReader
    covered: Callable[[], int]

    def judge(self, session: Session, row: IngestRecording, covered: int) -> Reason | None:
        """Why the file of this recording stays; None when it may go.

        UNOPENED and UNCOPIED come last: they are what the worker can still change.
        """
        index = self._receipted(session, row)
        if index is None:
            return Reason.NO_RECEIPT
        said = self._said(session, row.id, (HOLD, RELEASE, DISPOSE, OPEN))
        if why := self._barred(session, row, said):
            return why
        if row.receipted_at is None or utc_now() < row.receipted_at + timedelta(days=self.policy.grace_days):
            return Reason.GRACE
        if self.policy.witnessed and index >= covered:
            return Reason.UNWITNESSED
        return self._unproven([leaf for leaf in said if leaf.type == OPEN])

    def _receipted(self, session: Session, row: IngestRecording) -> int | None:
        """Where the receipt says that the recording is on the log, verified now; None for anything less."""
        receipt = receipt_of(session, row.id)
        try:
            return check_receipt(receipt, self.reader.vault, row) if receipt is not None else None
        except ReceiptError:
            return None

    def _barred(self, session: Session, row: IngestRecording, said: Sequence[Leaf]) -> Reason | None:
        """What no waiting mends."""
        docking = session.get(DockingSession, row.session_id) if row.session_id else None
        if docking is not None and docking.quarantined:
            return Reason.QUARANTINED
        if any(leaf.type == DISPOSE for leaf in said):
            return Reason.DISPOSED
        released = {leaf.facts.get("hold") for leaf in said if leaf.type == RELEASE}
        is_held = any(leaf.type == HOLD and leaf.id not in released for leaf in said)
        return Reason.HELD if is_held else None

    def unproven(self, session: Session, recording_id: str) -> Reason | None:
        """What the worker has not shown of this recording yet; None when it has."""
        return self._unproven(self._said(session, recording_id, (OPEN,)))

    def _unproven(self, opened: Sequence[Leaf]) -> Reason | None:
        if not opened:
            return Reason.UNOPENED
        is_copied = any(leaf.facts["second_copy"] for leaf in opened)
        return Reason.UNCOPIED if self.policy.replicated and not is_copied else None

    def _said(self, session: Session, recording_id: str, types: Sequence[str]) -> list[Leaf]:
        """Entries of these types about a recording, oldest first."""
        places = session.scalars(
            select(EntryRow.index)
            .join(EntryAbout, EntryAbout.index == EntryRow.index)
            .where(EntryAbout.subject_id == recording_id, EntryRow.type.in_(types))
            .order_by(EntryRow.index)
        )
        return [self.reader.leaf(place) for place in places]


def tally(db: Database, gates: Gates) -> dict[str, int]:
    """How many recordings whose files are still on recorders each gate keeps there; `free` are kept by none."""
    covered = gates.covered() if gates.policy.witnessed else 0
    found, last = Counter[str](), ""
    while True:
        with db.reading() as session:
            some = (
                select(IngestRecording)
                .where(IngestRecording.state == RecordingState.RECEIPTED, IngestRecording.id > last)
                .order_by(IngestRecording.id)
                .limit(AT_ONCE)
            )
            rows = list(session.scalars(some))
            found.update(str(gates.judge(session, row, covered) or FREE) for row in rows)
        if not rows:
            return dict(found)
        last = rows[-1].id
