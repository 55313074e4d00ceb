"""A vault with its database and keys, and the processes around it, small enough to be made anew for every test."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import select

from core.db import Database
from core.settings import RootKind
from vault.audit.report import Report
from vault.audit.verify import verify_vault
from vault.ceremony.reading import rotate_recovery, rotate_root
from vault.ceremony.session import Ceremony
from vault.ceremony.signing import rotate_log, rotate_process
from vault.formats.age import Identity
from vault.formats.note import SigningKey
from vault.founding import VaultIdentity, initialise
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, Projections, RowState, Submitter
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.store.deposit import Deposit, Depositor
from vault.store.keys import Keyring, ensure_bucket
from vault.store.medium import LANE_BYTES, Buffers
from vault.store.objects import Vault
from vault.store.recovery import prove
from vault.store.root import CREDENTIAL_FILE, PassphraseRoot
from vault.store.root_kind import RootPlace
from vault.vaultd import Vaultd

PASSPHRASE = b"a passphrase for one test"
BUCKET = "A-2026-11"
LATER_ROOT = RootPlace(RootKind.CREDENTIAL)  # of a root that was rotated: costs no scrypt in a killed process


@dataclass(frozen=True)
class Foundation:
    """A vault as it is right after founding; tests work on copies, because founding takes a second (scrypt)."""

    directory: Path
    identity: VaultIdentity


def found(directory: Path) -> Foundation:
    """Make the vault that tests copy."""
    identity = initialise(directory / "vault", directory / "keys", PASSPHRASE)
    vault = Vault.open(directory / "vault")
    ensure_bucket(vault, BUCKET)
    return Foundation(directory, identity)


@dataclass
class House:
    """One vault, one database, and whoever submits to them."""

    directory: Path
    recovery_identity: str | None = None
    projections: Projections = field(default_factory=Projections)
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.vault = Vault.open(self.directory / "vault")
        self.keys = self.directory / "keys"
        self.bell = self.directory / "bell"
        database = self.directory / "house.db"
        is_new = not database.exists()
        self.db = Database(f"sqlite:///{database}")
        if is_new:
            self.db.create_tables()
        self.reader = LogReader(self.vault)
        self.buffers = Buffers(2 * LANE_BYTES)

    @classmethod
    def copy(cls, foundation: Foundation, directory: Path) -> House:
        shutil.copytree(foundation.directory, directory, dirs_exist_ok=True)
        return cls(directory, foundation.identity.recovery_identity)

    def close(self) -> None:
        self.db.close()

    def key(self, name: str) -> SigningKey:
        return SigningKey.read(self.keys / f"{name}.key")

    @property
    def keyring(self) -> Keyring:
        assert self.recovery_identity
        return Keyring.from_identity(self.vault, self.recovery_identity)

    def restart(self) -> None:
        """Know of the vault what a process that starts now does: a handover names another key of the log."""
        self.vault = Vault.open(self.directory / "vault")
        self.reader = LogReader(self.vault)

    def root(self) -> Identity:
        """The root that is in its place."""
        if (self.keys / CREDENTIAL_FILE).exists():
            return LATER_ROOT.root(self.keys).open(b"")
        return PassphraseRoot(self.keys).open(PASSPHRASE)

    def rotate(self, name: str, recovery: str = "") -> None:
        """As `sealdock key rotate` does: "log", "root", "recovery" (to that identity), or a process; all start anew."""
        if name == "log":
            rotate_log(self.vault, self.keys)
        else:
            with Ceremony(self.vault, self.keys) as ceremony:
                if name == "root":
                    rotate_root(ceremony, self.root, LATER_ROOT, b"")
                elif name == "recovery":
                    rotate_recovery(ceremony, self.root(), [prove(Identity.parse(recovery))])
                else:
                    rotate_process(ceremony, name)
        self.restart()

    def vaultd(self, **options: Any) -> Vaultd:
        return Vaultd(
            self.vault, self.db, self.key("log"), self.key("vaultd"), self.rules, self.bell,
            projections=self.projections, **options,
        )  # fmt: skip

    def submit(self, by: str, draft: Draft) -> str:
        with self.db.writing() as session:
            return Submitter(self.key(by), self.projections, self.bell).submit(session, draft)

    def case(self, *, body: Mapping[str, Any] | None = None, **options: Any) -> str:
        facts = {"event": "opened"}
        return self.submit("console", Draft("case", facts=facts, body=body or {"title": "案件"}, **options))

    def deposit(self, content: bytes, **options: Any) -> Deposit:
        return Depositor(self.vault, self.buffers).deposit(io.BytesIO(content), BUCKET, **options)

    def ingest(self, content: bytes) -> str:
        draft = Draft(
            "ingest", facts={"origin": "hand"}, body={"name": "a.mp4"}, deposit=self.deposit(content)
        )
        return self.submit("dockd", draft)

    def settle(self) -> None:
        """Run vaultd until nothing waits."""
        vaultd = self.vaultd()
        try:
            vaultd.start()
            while self.rows(RowState.PENDING):
                vaultd.step()
        finally:
            vaultd.close()

    def rows(self, *states: RowState) -> list[OutboxRow]:
        query = select(OutboxRow).order_by(OutboxRow.seq)
        with self.db.reading() as session:
            return list(session.scalars(query.where(OutboxRow.state.in_(states)) if states else query))

    def row(self, entry_id: str) -> OutboxRow:
        return next(row for row in self.rows() if row.id == entry_id)

    def verify(self) -> Report:
        return verify_vault(self.vault.path, self.vault.verifier)


def rotate_dying_at(directory: Path, steps: tuple[str, ...], at: int, name: str, recovery: str) -> None:
    """Rotate a key, killed before the `at`-th call of a function of `os` among `steps`; for crash.child."""
    left, lock = [at], Lock()

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            with lock:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    house = House(directory)
    for step in steps:
        setattr(os, step, counted(getattr(os, step)))
    house.rotate(name, recovery)
