"""The one place where packages meet: from settings to the objects of each process.

Importing this module registers every table. A process gets exactly the keys it may use: `submitter("dockd")` reads
`dockd.key` and nothing else, so under systemd each user can read only its own.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import casework.projection
import ingest.projection
import ingest.proxies
import webconsole.auth.account
from casework.people import officer_names
from core.bell import Bell, ring
from core.db import Database
from core.durable import make_directory
from core.settings import Settings, load
from devices.detect import Detector, UdevDetector
from devices.emulation import EmulationDetector
from devices.profile import Profiles
from ingest.dockd import Dockd
from sealdock.worker import Worker
from vault.deposit import Depositor
from vault.derived import DerivedStore
from vault.keyd import Keyd, KeydClient
from vault.keys import Keyring
from vault.ledger import LogReader
from vault.medium import Buffers
from vault.note import SigningKey
from vault.objects import Vault
from vault.outbox import Projections, Submitter
from vault.rules import Rules
from vault.vaultd import Vaultd
from webconsole.context import ConsoleContext
from webconsole.serve import serve

PASSPHRASE_CREDENTIAL = "root-passphrase"  # noqa: S105  a systemd credential's name (systemd.exec, LoadCredential=)


@dataclass(frozen=True)
class Station:
    """Everything that this station's processes are made of, each part made when it is first asked for."""

    settings: Settings

    @classmethod
    def load(cls, path: Path) -> Station:
        """From a settings file. Raises SettingsError."""
        return cls(load(path))

    @cached_property
    def db(self) -> Database:
        """The projection and workspace."""
        make_directory(self.settings.state)
        return Database(self.settings.database_url)

    @cached_property
    def vault(self) -> Vault:
        """The vault directory. Raises NoVaultError."""
        return Vault.open(self.settings.vault)

    @cached_property
    def reader(self) -> LogReader:
        """The vault's log."""
        return LogReader(self.vault)

    @cached_property
    def derived(self) -> DerivedStore:
        """Derivatives."""
        return DerivedStore(self.settings.derived, self.vault)

    @cached_property
    def projections(self) -> Projections:
        """Which entry writes which rows, for live work and for the replay alike."""
        projections = Projections()
        webconsole.auth.account.register(projections)
        casework.projection.register(projections, self.settings.station.timezone)
        ingest.projection.register(projections)
        ingest.proxies.register(projections)
        return projections

    @cached_property
    def rules(self) -> Rules:
        """What vaultd checks against the log alone."""
        return Rules()

    def key(self, name: str) -> SigningKey:
        """A process's signing key."""
        return SigningKey.read(self.settings.keys / f"{name}.key")

    def submitter(self, process: str) -> Submitter:
        """Puts entries into the outbox as `process`."""
        return Submitter(self.key(process), self.projections, self.bell("vaultd"))

    def keyd(self, process: str) -> KeydClient:
        """Asks the key process as `process`."""
        return KeydClient(self.socket("keyd"), self.key(process))

    def bell(self, process: str) -> Path:
        """Where to ring for `process`."""
        return self._run / f"{process}.bell"

    def socket(self, process: str) -> Path:
        """Where `process` listens."""
        return self._run / f"{process}.sock"

    def close(self) -> None:
        """Give the database back."""
        if "db" in self.__dict__:
            self.db.close()

    @property
    def _run(self) -> Path:
        make_directory(self.settings.run)
        return self.settings.run


def run_keyd(station: Station, stop: threading.Event) -> None:
    """The key process; unlocked at once where systemd (or the demo) hands over the passphrase as a credential."""
    keyd = Keyd(station.vault, station.settings.keys, station.socket("keyd"))
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (passphrase := Path(credentials, PASSPHRASE_CREDENTIAL)).exists():
        keyd.unlock(passphrase.read_bytes())
    keyd.run(stop)


def run_vaultd(station: Station, stop: threading.Event) -> None:
    """The vault's only writer."""
    bell = Bell(station.bell("vaultd"))
    Vaultd(station.vault, station.db, station.key("log"), station.key("vaultd"), station.rules, bell).run(stop)


def run_dockd(station: Station, stop: threading.Event) -> None:
    """The dock."""
    raise NotImplementedError


def run_worker(station: Station, stop: threading.Event) -> None:
    """Index and proxies."""
    raise NotImplementedError


def run_console(station: Station) -> None:
    """The web console; returns when it was told to stop."""
    settings = station.settings
    context = ConsoleContext(
        settings=settings, db=station.db, vault=station.vault, reader=station.reader,
        submitter=station.submitter("console"), keyd=station.keyd("console"), derived=station.derived,
    )  # fmt: skip
    serve(context)
