"""The receipts of a package: all under the one checkpoint that the package carries; and what outsiders saw.

For each sealed recording that an anchored checkpoint covers, the package also carries that checkpoint as the log
signed it, the time stamps and cosignatures beside it, and a receipt of the recording under it. They are handed
over as they lie in the vault: whoever receives them judges them with the authority's own certificates.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.field import CaseworkError
from casework.package.bag import Member
from casework.package.content import HANDOVERS, receipt_path
from vault.audit.anchor import anchors
from vault.formats.entry import Leaf
from vault.formats.handover import follow, read_handovers
from vault.formats.merkle import DirectoryTiles, inclusion_proof
from vault.formats.proof import Receipt
from vault.log.index import EntryRow
from vault.log.ledger import LogReader

ANCHORS = "data/anchors"


class NoProcessKeyError(CaseworkError):
    """The log does not say whose key submitted an export."""

    code = "casework.no_process_key"
    sentence = (
        "The log registers no key for '{name}', so a package made by it could not be checked. "
        "Nothing was handed out; verify the vault and rebuild the index."
    )


class ReceiptShelf:
    """Makes each receipt once, checks it as a court would, and keeps it."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self.checkpoint, self.note = log.checkpoint()
        self._tiles = DirectoryTiles(log.vault.log_path, self.checkpoint.size)
        self._kept: dict[int, Receipt] = {}
        self._anchors = anchors(log.vault.path)

    def prove(self, index: int) -> Leaf:
        """Put the receipt of an entry on the shelf; the entry, as the signed tree holds it. Raises VaultError."""
        if index not in self._kept:
            leaf = Leaf.parse(self._log.raw(index, self.checkpoint.size))
            hashes = inclusion_proof(self._tiles, index, self.checkpoint.size)
            receipt = Receipt.build(leaf, index, hashes, self.note)
            receipt.verify(self._log.vault.verifier)
            self._kept[index] = receipt
        return self._kept[index].leaf

    def members(self) -> list[Member]:
        """The receipts as files, and the outside evidence over the recordings."""
        files = {receipt_path(receipt.leaf.id): receipt.raw() for receipt in self._kept.values()}
        files |= {f"{HANDOVERS}/{size}": raw for size, raw in self._handovers()}
        for index, receipt in self._kept.items():
            if receipt.leaf.object is not None:
                files.update(self._outside(index, receipt.leaf))
        return [Member.of_bytes(path, raw) for path, raw in files.items()]

    def _handovers(self) -> Iterator[tuple[int, bytes]]:
        """How the log's key of today follows from that of the founding, for whoever was given an earlier one."""
        raws = read_handovers(self._log.vault.path)
        for step, raw in zip(follow(self._log.vault.founding_key, raws), raws, strict=True):
            yield step.size, raw

    def _outside(self, index: int, leaf: Leaf) -> dict[str, bytes]:
        """The earliest anchored checkpoint over an entry with a stamp or cosignature, and the receipt under it."""
        for anchor in self._anchors:
            evidence = [path for kind, _, path in anchor.files() if kind != "signature"]
            if not index < anchor.size <= self.checkpoint.size or not evidence:
                continue
            folder = f"{ANCHORS}/{anchor.size}"
            hashes = inclusion_proof(self._tiles, index, anchor.size)
            receipt = Receipt.build(leaf, index, hashes, anchor.gathered())
            return {
                f"{folder}/checkpoint": anchor.note(),
                f"{folder}/{leaf.id}.tlog-proof": receipt.raw(),
                **{f"{folder}/{path.name}": path.read_bytes() for path in evidence},
            }
        return {}


def process_key_index(session: Session, log: LogReader, export_index: int) -> int:
    """The entry that registered the key under which an export was submitted. Raises NoProcessKeyError."""
    name = log.leaf(export_index).by
    registered = session.scalars(
        select(EntryRow.index)
        .where(EntryRow.type == "key", EntryRow.index < export_index)
        .order_by(EntryRow.index.desc())
    )
    for index in registered:
        if log.leaf(index).facts.get("name") == name:
            return index
    raise NoProcessKeyError(name=name)
