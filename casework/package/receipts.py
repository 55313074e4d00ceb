"""The receipts of a package: all under the one checkpoint that the package carries."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.field import CaseworkError
from casework.package.bag import Member
from casework.package.content import receipt_path
from vault.formats.entry import Leaf
from vault.formats.merkle import DirectoryTiles, inclusion_proof
from vault.formats.proof import Receipt
from vault.log.index import EntryRow
from vault.log.ledger import LogReader


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
        """The receipts as files."""
        return [
            Member.of_bytes(receipt_path(receipt.leaf.id), receipt.raw()) for receipt in self._kept.values()
        ]


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
