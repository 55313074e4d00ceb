"""A ceremony holds the log: vaultd stands still, the log's key is in hand, and what is done goes straight on the log.

Why not through the outbox: a rotation decides who may submit and who signs, and it must not depend on a daemon that
holds the old answer in memory, nor on a database that may be lost. The writer's lock keeps vaultd out until the end.
Every entry still passes the log rules of its type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core.clock import new_id, stamp, utc_now
from vault.ceremony.owner import as_owner_of
from vault.ceremony.past import Past
from vault.ceremony.rule import ceremony_rules
from vault.error import VaultError
from vault.formats.cosignature import Cosigner
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.log.ledger import LogReader
from vault.log.rules import Lookup
from vault.log.submission import FACTS_BUCKET, Draft, exact
from vault.log.writer import BATCH_LIMIT, LogWriter
from vault.reception import Batch
from vault.store.keys import seal_body
from vault.store.objects import Vault

LOG_KEY = "log.key"
NEXT = ".next"  # a key that is made and not yet in force
_BY = "vaultd"


class CeremonyError(VaultError):
    """A ceremony that cannot go on."""

    code = "vault.ceremony"
    sentence = (
        "The ceremony cannot go on ({why}). What is on the log stays as it is and no key was lost; mend the cause and "
        "give the same command again, it goes on where it stopped."
    )


@dataclass(frozen=True)
class Said:
    """An entry to be made: its type, its public facts, and private ones for the facts bucket."""

    type: str
    facts: Mapping[str, Any]
    body: Mapping[str, Any] | None = None
    about: tuple[str, ...] = ()


class Ceremony:
    """The log of one vault, held until `close`; `past` is what it says of keys, kept up with what is entered."""

    def __init__(self, vault: Vault, keys_directory: Path, cosigners: Sequence[Cosigner] = ()) -> None:
        """Raises SecondWriterError while vaultd runs, LogKeyError, or OSError for a key that cannot be read."""
        self.vault, self.keys = vault, keys_directory
        self.reader = LogReader(vault)
        self._rules, self._lookup = ceremony_rules(), Lookup()
        key = SigningKey.read(keys_directory / LOG_KEY)
        with as_owner_of(vault.log_path):
            self._writer = LogWriter(vault, key, cosigners)
        try:
            self.past = Past.read(self.reader)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Entries on the log."""
        return self._writer.size

    def enter(self, said: Sequence[Said]) -> list[Leaf]:
        """Put entries on the log, durable and signed on return; all at once when they fit one batch.

        Raises RefusedError for what the rules do not take, LogWriteError for a disk that refuses.
        """
        leaves: list[Leaf] = []
        for start in range(0, len(said), BATCH_LIMIT):
            batch = Batch(self.reader, self._lookup, self.size)
            for one in said[start : start + BATCH_LIMIT]:
                entry = self._entry(one)
                self._rules.check(batch, entry[0])
                batch.items.append(entry)
            with as_owner_of(self.vault.log_path):
                self._writer.append(batch.items)
            for index, (leaf, _) in enumerate(batch.items, batch.start):
                self.past.take(index, leaf)
                leaves.append(leaf)
        return leaves

    def close(self) -> None:
        """Let vaultd have the log again."""
        self._writer.close()
        self._lookup.close()

    def _entry(self, said: Said) -> tuple[Leaf, Private]:
        if said.body is None:
            leaf = Leaf(
                id=new_id(),
                type=said.type,
                time=stamp(utc_now()),
                by=_BY,
                about=said.about,
                facts=dict(said.facts),
            )
            return leaf, Private()
        draft = Draft(said.type, facts=said.facts, body=said.body, body_bucket=FACTS_BUCKET)
        submission, salted = exact(draft, _BY)
        commitment, stored, slot = seal_body(self.vault, salted or {}, FACTS_BUCKET)
        return submission.sealed_with(commitment), Private(stored, slot)
