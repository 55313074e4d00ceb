"""Carrying a disposal out: what the sealer does, once the entry is on the log.

  1. Nothing waits and the database is at the log's head, so that no projection still holds what is about to go; what
     SQLite keeps of earlier pages beside the database, names among them, is overwritten or let go of.
  2. The entry is proven on the signed log, and every rule of a disposal, both approvals among them, holds again.
  3. Key slots, copies of them and objects are erased (vault.retention.erasure).
  4. Derivatives go.
  5. The same happens to each copy of the vault that is named.
  6. A `destroy` entry says "erased", once.
A crash anywhere leaves a disposal that is on the log and not finished; carrying it out again ends it. Lack of space has
no part in this: nobody calls it but for an entry that two people signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import log
from core.clock import utc_now
from core.db import Database
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.log.index import EntryRow
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, RowState, Submitter, pending_ids
from vault.log.submission import Draft, read_submission
from vault.retention.chronicle import DESTROY
from vault.retention.erasure import Clear, Eraser
from vault.retention.order import Order, ordered, unfinished
from vault.retention.past import Past
from vault.retention.policy import Policy
from vault.retention.rule import Clock
from vault.store.derived import DerivedStore
from vault.store.objects import VAULT_FILE, NoVaultError, Vault

_LOG = log.get("vault.retention")
ERASED, UNREADABLE = "erased", "unreadable"


class NotSettledError(VaultError):
    """Something is still on its way to the log or from it."""

    code = "vault.not_settled"
    sentence = (
        "Nothing was erased: {waiting} submissions wait and the database has {entries} of {size} entries. Disposal "
        "runs only when all that was said is on the log and in the database; check that vaultd runs, and try again."
    )


class PagesLeftError(VaultError):
    """Somebody reads in the database, and its journal keeps what was scrubbed from it."""

    code = "vault.pages_left"
    sentence = (
        "The journal beside the database still holds pages from before names were taken out of it, because it is being "
        "read. Nothing was erased; the sealer tries again by itself."
    )


class WrongCopyError(VaultError):
    """A directory that is no copy of this vault."""

    code = "vault.wrong_copy"
    sentence = (
        "{path} is no copy of this vault ({why}). Nothing was erased in it, and what it holds of the recordings can "
        "still be opened; name the right directory and run the disposal again."
    )


@dataclass(frozen=True)
class Hands:
    """What the sealer works with; `clear` takes the immutable mark off a file, `copies` are backups of the vault."""

    db: Database
    submitter: Submitter
    policy: Policy
    derived: DerivedStore
    clear: Clear
    copies: tuple[Path, ...] = ()
    clock: Clock = field(default=utc_now)


def carry_out(vault: Vault, reader: LogReader, dispose_index: int, hands: Hands) -> str:
    """Erase what the `dispose` entry at `dispose_index` names; gives the id of the `destroy` entry that says so.

    Raises NotSettledError, NoOrderError, RefusedError, ApprovalError, WrongCopyError or EraseError; nothing is erased
    before every check is passed, and whatever was erased is erased again by the next try.
    """
    check_settled(hands.db, reader.size)  # 1, before the whole log is read, and for what was read
    past = Past(reader)
    check_settled(hands.db, past.head)
    let_go_of_pages(hands.db)
    order = ordered(past, dispose_index, hands.policy, hands.clock)  # 2
    copies = [check_copy(vault, copy) for copy in hands.copies]
    Eraser(vault.path, hands.clear).erase(order)  # 3
    for doomed in order.recordings:
        hands.derived.forget(doomed.id)  # 4
    for copy in copies:
        Eraser(copy, hands.clear).erase(order)  # 5
    _LOG.warning("recordings are erased", dispose=order.dispose.id, recordings=len(order.recordings))
    return _say_erased(past, order, hands)  # 6


def waiting(reader: LogReader) -> list[int]:
    """Indices of the disposals that are on the log and not carried out, oldest first: the sealer's work."""
    return unfinished(Past(reader))


def check_settled(db: Database, size: int) -> None:
    """Raises NotSettledError unless the outbox is empty and the projection has every entry of a log of `size`."""
    with db.reading() as session:
        pending = pending_ids(session)
        entries = session.scalar(select(func.count()).select_from(EntryRow)) or 0
    if pending or entries != size:
        raise NotSettledError(waiting=len(pending), entries=entries, size=size)


def let_go_of_pages(db: Database) -> None:
    """Put SQLite's write-ahead log into the database and empty it. Raises PagesLeftError while somebody reads.

    The pages in the database itself were overwritten (core.db, secure_delete). Another database is left to its keeper.
    """
    if db.engine.dialect.name != "sqlite":
        return
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    finally:
        connection.close()
    if is_busy:
        raise PagesLeftError


def check_copy(vault: Vault, path: Path) -> Path:
    """The vault directory of a copy: a backup has it inside. Raises WrongCopyError unless it is of the same vault."""
    inner = path / "vault"
    path = inner if (inner / VAULT_FILE).exists() else path
    try:
        copy = Vault.open(path)
    except NoVaultError as cause:
        raise WrongCopyError(path=path, why=str(cause.parameters["why"])) from cause
    if copy.id != vault.id:
        raise WrongCopyError(path=path, why=f"it is vault {copy.id}")
    if path.samefile(vault.path):
        raise WrongCopyError(path=path, why="it is the vault itself")
    return path


def say_destroyed(
    hands: Hands, dispose: Leaf, about: Sequence[str], state: str, buckets: Sequence[str] = ()
) -> str:
    """Submit a `destroy` entry; gives its id."""
    facts: dict[str, object] = {"dispose": dispose.id, "state": state, "buckets": list(buckets)}
    with hands.db.writing() as session:
        entry_id = hands.submitter.submit(session, Draft(DESTROY, about=tuple(about), facts=facts))
    hands.submitter.ring()
    return entry_id


def _say_erased(past: Past, order: Order, hands: Hands) -> str:
    said = said_of(past, order.dispose, ERASED)
    if said:
        return said[0].id
    with hands.db.reading() as session:
        if pending := _pending_destroy(session, order.dispose.id):
            return pending
    return say_destroyed(hands, order.dispose, order.dispose.about, ERASED)


def said_of(past: Past, dispose: Leaf, state: str) -> list[Leaf]:
    """The `destroy` entries of a disposal in that state."""
    entries = (past.leaf(place) for place in past.about(dispose.about[0], DESTROY))
    return [leaf for leaf in entries if leaf.facts["dispose"] == dispose.id and leaf.facts["state"] == state]


def _pending_destroy(session: Session, dispose_id: str) -> str | None:
    query = select(OutboxRow).where(OutboxRow.type == DESTROY, OutboxRow.state == RowState.PENDING)
    for row in session.scalars(query):
        leaf = read_submission(row.note.encode()).leaf
        if leaf.facts.get("dispose") == dispose_id and leaf.facts.get("state") == ERASED:
            return row.id
    return None
