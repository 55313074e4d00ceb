"""Whether the receipts of a package hold (4 and 5 of casework.package.verify).

What comes out are entries that are on the log under the key; everything else in a package is compared with them.
"""

from __future__ import annotations

from casework.package.bag_check import BagCheck
from casework.package.content import CHECKPOINT, HANDOVERS, LOG_KEY, RECEIPTS, receipt_path
from core.errors import SealdockError
from vault.formats.checkpoint import Checkpoint, parse_checkpoint
from vault.formats.handover import FILE_LIMIT, SupersededError, spoken_by
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt

SMALL = 1024 * 1024  # bytes: keys, checkpoints and receipts are far below


class ProofCheck:
    """The key, the checkpoint and the receipts that hold; None and nothing where they do not."""

    def __init__(self, bag: BagCheck, outside: VerifierKey | None) -> None:
        self._bag, self._outside = bag, outside
        self._receipts: dict[str, Receipt] = {}
        self.key = self._choose_key()
        self.checkpoint: Checkpoint | None = None
        head = self._read_checkpoint(self.key) if self.key else None
        if self.key and head:
            self.checkpoint, note = head
            self._read_receipts(self.key, note)

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts that hold."""
        return tuple(self._receipts.values())

    def receipt(self, entry_id: str) -> Receipt | None:
        """A receipt that holds; that it is missing is a finding, that it is wrong was one before."""
        if receipt_path(entry_id) not in self._bag.sizes:
            self._bag.find("package.receipt_missing", receipt_path(entry_id))
        return self._receipts.get(entry_id)

    def _choose_key(self) -> VerifierKey | None:
        """The reader's key, or else the one that lies in the package and proves nothing by itself."""
        raw = self._bag.read(LOG_KEY, SMALL)
        inside = None
        if raw is not None:
            try:
                inside = VerifierKey.parse(raw.decode(errors="replace").partition("\n")[0])
            except SealdockError:
                self._bag.find("package.key", LOG_KEY)
        if self._outside is None:
            return inside
        today = self._handed_over(self._outside)
        if inside not in {None, today}:
            self._bag.find("package.other_key", LOG_KEY)
        return today

    def _handed_over(self, outside: VerifierKey) -> VerifierKey:
        """The key that the log had when the package was made, by the handovers in it.

        The reader may have been given that key, or the one of the founding, from which the handovers lead there.
        """
        paths = sorted(self._bag.below(HANDOVERS), key=lambda path: (len(path), path))
        raws = [raw for raw in (self._bag.read(path, FILE_LIMIT) for path in paths) if raw is not None]
        note = self._bag.read(CHECKPOINT, SMALL) if raws else None
        if note is None:
            return outside
        try:
            return spoken_by(note, outside, raws)
        except SupersededError:
            self._bag.find("package.superseded", CHECKPOINT)
        except SealdockError as cause:
            if not _is_signed_by(outside, note):  # else a later key, which no handover in here needs to prove
                self._bag.find("package.handover", HANDOVERS, why=why(cause))
        return outside

    def _read_checkpoint(self, key: VerifierKey) -> tuple[Checkpoint, bytes] | None:
        """4."""
        note = self._bag.read(CHECKPOINT, SMALL)
        if note is None:
            return None
        try:
            return parse_checkpoint(note, key), note
        except SealdockError as cause:
            self._bag.find("package.checkpoint", CHECKPOINT, why=why(cause))
            return None

    def _read_receipts(self, key: VerifierKey, note: bytes) -> None:
        """5."""
        for path in self._bag.below(RECEIPTS):
            raw = self._bag.read(path, SMALL)
            if raw is None:
                continue
            try:
                receipt = Receipt.parse(raw)
                leaf = receipt.verify(key)
            except SealdockError as cause:
                self._bag.find("package.receipt", path, why=why(cause))
                continue
            if path != receipt_path(leaf.id):
                self._bag.find("package.receipt_name", path, found=leaf.id)
            elif receipt.proof.checkpoint_note != note:
                self._bag.find("package.receipt_checkpoint", path)
            else:
                self._receipts[leaf.id] = receipt


def _is_signed_by(key: VerifierKey, note: bytes) -> bool:
    """Whether `key` truly signed the note. Raises nothing: whoever reads the checkpoint names what is wrong."""
    try:
        return key in Note.parse(note).signers([key])
    except SealdockError:
        return False


def why(cause: SealdockError) -> str:
    """The short reason in an error's parameters, or its code."""
    return str(cause.parameters.get("why", cause.code))
