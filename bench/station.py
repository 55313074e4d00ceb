"""A vault with its sequencer in this process, and ways to fill its log that are honest about what they leave out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ulid import ULID

from core.bell import Bell
from core.clock import new_id, stamp, utc_now
from core.db import Database
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.formats.pack import Private
from vault.founding import initialise
from vault.log.outbox import Projections, Submitter
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.log.writer import BATCH_LIMIT, LogWriter
from vault.store.deposit import Deposit, Depositor
from vault.store.keys import bucket_for, ensure_bucket
from vault.store.medium import Buffers
from vault.store.objects import Vault
from vault.vaultd import Vaultd

POOL_BYTES = 64 * 2**20  # as dockd has it
PASSPHRASE = b"a passphrase for one bench"


class Station:
    """A vault, its database and its processes' keys."""

    def __init__(self, place: Path) -> None:
        place.mkdir(exist_ok=True)
        self.identity = initialise(place / "vault", place / "keys", PASSPHRASE)
        self.vault = Vault.open(place / "vault")
        self.db = Database(f"sqlite:///{place / 'station.db'}")
        self.db.create_tables()
        self.keys = place / "keys"
        self.bell = place / "bell"
        self.ear = Bell(self.bell)
        self.submitter = Submitter(self.key("dockd"), Projections(), self.bell)
        self.bucket = bucket_for(utc_now())
        ensure_bucket(self.vault, self.bucket)
        self.buffers = Buffers(POOL_BYTES)
        self.depositor = Depositor(self.vault, self.buffers)
        self.vaultd = self.sequencer()

    def key(self, name: str) -> SigningKey:
        """A process key of this station."""
        return SigningKey.read(self.keys / f"{name}.key")

    def sequencer(self) -> Vaultd:
        """A vaultd that is not started yet."""
        return Vaultd(self.vault, self.db, self.key("log"), self.key("vaultd"), Rules(), self.bell)

    def deposit(self, source: Path) -> Deposit:
        """Seal a file into incoming/."""
        with source.open("rb", buffering=0) as stream:
            return self.depositor.deposit(stream, self.bucket, expected_size=source.stat().st_size)

    def submit(self, deposit: Deposit, name: str) -> None:
        """Ask for the deposit's place on the log."""
        draft = Draft("ingest", facts={"origin": "hand"}, body={"name": name}, deposit=deposit)
        with self.db.writing() as session:
            self.submitter.submit(session, draft)

    def sequence(self, entries: int = 1) -> None:
        """Run the started vaultd until it put so many entries of deposits on the log."""
        target = self.vaultd._reader.size + entries  # noqa: SLF001  # a bench looks behind the counter
        while self.vaultd._reader.size < target:  # noqa: SLF001
            if not self.vaultd.step():
                self.ear.wait(1.0)

    def close(self) -> None:
        """Let go of everything."""
        self.vaultd.close()
        self.ear.close()
        self.db.close()


@contextmanager
def writing(station: Station) -> Iterator[LogWriter]:
    """The log's own writer, while no vaultd runs."""
    writer = LogWriter(station.vault, station.key("log"))
    try:
        yield writer
    finally:
        writer.close()


def views(count: int) -> Iterator[Leaf]:
    """Entries as a busy console makes them: about one of the entries before, without a private body."""
    start, last = time.time() - count / 100, new_id()
    for place in range(count):
        entry_id = str(ULID.from_timestamp(start + place / 100))
        yield Leaf(
            id=entry_id, type="view", time=stamp(utc_now()), by="console", actor=last, about=(last,),
            facts={"purpose_code": "case", "case": last},
        )  # fmt: skip
        last = entry_id


def fill(station: Station, leaves: Iterator[Leaf], told: Callable[[int], None] | None = None) -> None:
    """Put entries on the log by its own writer, in full batches, each one durable."""
    with writing(station) as writer:
        batch: list[tuple[Leaf, Private]] = []
        for leaf in leaves:
            batch.append((leaf, Private()))
            if len(batch) == BATCH_LIMIT:
                writer.append(batch)
                batch = []
                if told:
                    told(writer.size)
        if batch:
            writer.append(batch)
