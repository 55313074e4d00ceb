"""A receipt that a person keeps: the file, what to hand over beside it, and what a page of paper carries.

A receipt under a checkpoint that an outsider vouched for (a time stamp, a cosignature) is worth more than one
under a newer checkpoint that nobody else has seen, so the earliest vouched-for checkpoint that covers the entry
is taken where there is one. Either way the receipt is verified before it is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.evidence.recording import Recording
from casework.paper.window import Outsiders, Window, first_over, log_keys, window_of
from vault.audit.anchor import Anchor
from vault.formats.checkpoint import Checkpoint
from vault.formats.cosignature import with_lines
from vault.formats.entry import Leaf
from vault.formats.merkle import DirectoryTiles, inclusion_proof
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt
from vault.log.index import EntryAbout, EntryRow
from vault.log.ledger import LogReader


@dataclass(frozen=True)
class KeptReceipt:
    """A verified receipt and what it is worth."""

    receipt: Receipt  # with every signature there is over its checkpoint
    on_paper: Receipt  # the same without long signatures of the station's own further keys
    checkpoint: Checkpoint
    key: VerifierKey
    window: Window
    stamps: tuple[Path, ...]  # time stamps over that checkpoint, to hand over beside the file

    @property
    def leaf(self) -> Leaf:
        """The entry."""
        return self.receipt.leaf

    @property
    def index(self) -> int:
        """Its place on the log."""
        return self.receipt.proof.index

    @property
    def file_name(self) -> str:
        """What to call the file."""
        return f"{self.leaf.id}.tlog-proof"


def keep(log: LogReader, outsiders: Outsiders, index: int) -> KeptReceipt:
    """The receipt of entry `index`, made and verified now. Raises VaultError."""
    newest, note = log.checkpoint()
    leaf = Leaf.parse(log.raw(index, newest.size))
    tiles = DirectoryTiles(log.vault.log_path, newest.size)
    vouched = first_over(log, outsiders, index)
    if vouched is None:
        receipt = Receipt.build(leaf, index, inclusion_proof(tiles, index, newest.size), note)
        return _checked(log, outsiders, receipt, receipt, ())
    anchor, _ = vouched
    hashes = inclusion_proof(tiles, index, anchor.size)
    stamps = tuple(path for kind, _, path in anchor.files() if kind == "timestamp")
    whole = Receipt.build(leaf, index, hashes, anchor.gathered())
    return _checked(log, outsiders, whole, Receipt.build(leaf, index, hashes, _short(anchor)), stamps)


def session_entry(session: Session, recording_id: str) -> int | None:
    """Where the log says that the docking session of a recording ended, None while it does not."""
    return session.scalar(
        select(EntryRow.index)
        .join(EntryAbout, EntryAbout.index == EntryRow.index)
        .where(EntryAbout.subject_id == recording_id, EntryRow.type == "session")
        .order_by(EntryRow.index)
        .limit(1)
    )


def _checked(
    log: LogReader, outsiders: Outsiders, receipt: Receipt, on_paper: Receipt, stamps: tuple[Path, ...]
) -> KeptReceipt:
    key = _signer(log, on_paper.proof.checkpoint_note)
    checkpoint = receipt.examine(key).checkpoint
    on_paper.verify(key)
    window = window_of(log, outsiders, receipt.proof.index)
    return KeptReceipt(receipt, on_paper, checkpoint, key, window, stamps)


def _signer(log: LogReader, note: bytes) -> VerifierKey:
    """The log's key that signed a checkpoint: today's, or one before a handover."""
    return next(iter(Note.parse(note).signers(log_keys(log))), log.vault.verifier)


def _short(anchor: Anchor) -> bytes:
    """The anchored checkpoint with the outsiders' cosignatures and nothing that a code has no room for."""
    return with_lines(
        anchor.note(), *(path.read_bytes() for kind, _, path in anchor.files() if kind == "cosignature")
    )


def session_recordings(session: Session, leaf: Leaf) -> list[Recording]:
    """The recordings that a `session` entry is about, in its order; none for any other entry."""
    if leaf.type != "session":
        return []
    found = session.scalars(select(Recording).where(Recording.id.in_(leaf.about)))
    known = {recording.id: recording for recording in found}
    return [known[one] for one in leaf.about if one in known]
