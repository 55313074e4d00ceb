"""Where evidence from outside is kept: log/anchors/<size>, written once and durable (docs/formats/anchors.md).

Invariant: a checkpoint is pinned with the log's own Ed25519 lines and no others, before anything is asked about it: so
a size has the same bytes whoever pins it. One size has one root for ever: a log that shows another root for a pinned
size, or fewer entries than were pinned, was rolled back or forked on this very machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.durable import AlreadyExistsError, create_once, make_directory
from vault.audit.anchor import ANCHORS, CHECKPOINT, Anchor, anchors
from vault.error import VaultError
from vault.formats.checkpoint import Checkpoint
from vault.formats.handover import read_handovers, trusted_keys
from vault.formats.merkle import DirectoryTiles, tree_root
from vault.formats.note import Note, VerifierKey
from vault.log.ledger import LogReader


class HistoryError(VaultError):
    """The log is not the continuation of a checkpoint that was anchored here earlier."""

    code = "vault.anchor_history"
    sentence = (
        "The log is no continuation of the checkpoint of {size} entries that was anchored from it ({why}). It was "
        "rolled back or rewritten. Stop the station, keep both checkpoints ({place}) and compare receipts with "
        "`sealdock vault verify --against`."
    )


class OtherEvidenceError(VaultError):
    """Another file lies where evidence should go."""

    code = "vault.anchor_taken"
    sentence = "{path} already holds other evidence, which is never overwritten. Nothing was changed."


@dataclass(frozen=True)
class AnchorStore:
    """The anchors of one vault, as the process that gathers them sees them."""

    reader: LogReader

    @property
    def directory(self) -> Path:
        """The vault."""
        return self.reader.vault.path

    def log_keys(self) -> list[VerifierKey]:
        """Every key that ever signed this log, from the founding's to today's. Raises VaultError."""
        return trusted_keys(self.reader.vault.founding_key, read_handovers(self.directory))

    def newest(self) -> Anchor | None:
        """The anchor of the largest size."""
        return next(self.newest_first(), None)

    def newest_first(self) -> Iterator[Anchor]:
        """Every anchor that has its checkpoint, largest first."""
        return (one for one in reversed(anchors(self.directory)) if (one.place / CHECKPOINT).exists())

    def pin(self, note: bytes) -> Anchor:
        """Keep `note`, the log's signed head, so that evidence can be gathered for it. Raises HistoryError.

        Lines beside the log's own are left out: they carry a time or chance in them.
        """
        parsed = Note.parse(note)
        checkpoint, signed = Checkpoint.parse(parsed.text), parsed.signers(self.log_keys())
        own = [one.line for one in parsed.signatures if any(key.made(one) for key in signed)]
        anchor = Anchor(self.directory, checkpoint.size)
        make_directory(anchor.place)
        try:
            create_once(anchor.place / CHECKPOINT, f"{parsed.text}\n".encode() + b"".join(own))
        except AlreadyExistsError as cause:
            if Note.parse(anchor.note()).text != checkpoint.text():
                raise HistoryError(size=anchor.size, why="its root is another", place=anchor.place) from cause
        return anchor

    def keep(self, anchor: Anchor, kind: str, name: str, raw: bytes) -> Path:
        """Keep evidence over `anchor`'s checkpoint. The same bytes again are no error. Raises OtherEvidenceError."""
        path = anchor.path(kind, name)
        try:
            create_once(path, raw)
        except AlreadyExistsError as cause:
            if path.read_bytes() != raw:
                raise OtherEvidenceError(path=path) from cause
        return path

    def check_history(self, head: Checkpoint) -> None:
        """The log that `head` ends continues the newest anchored checkpoint. Raises HistoryError or TileError."""
        anchor = self.newest()
        if anchor is None:
            return
        stored = Checkpoint.parse(Note.parse(anchor.note()).text)
        why = ""
        if stored.size > head.size:
            why = f"it now has only {head.size}"
        elif tree_root(DirectoryTiles(self.directory / "log", head.size), stored.size) != stored.root:
            why = f"the first {stored.size} entries are not what they were"
        if why:
            raise HistoryError(size=stored.size, why=why, place=f"{ANCHORS}/{anchor.size}/{CHECKPOINT}")
