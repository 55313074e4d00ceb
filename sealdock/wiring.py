"""The one place where packages meet: from settings to the objects of each process.

Importing this module registers every table. A process gets exactly the keys it may use: `submitter("dockd")` reads
`dockd.key` and nothing else, so under systemd each user can read only its own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from zoneinfo import ZoneInfo

import casework.keeping.retention
import casework.log_rule
import casework.projection
import ingest.log_rule
import ingest.projection
import vault.anchor.rule
import vault.care.fixity
import vault.care.rule
import vault.ceremony.rule
import vault.log.bucket_rule
import vault.log.report_rule
import vault.retention.rule
import webconsole.auth.account
from casework.people.officer import officer_names
from core import log
from core.bell import Bell
from core.db import Database
from core.durable import make_directory
from core.errors import SealdockError
from core.settings import MEBIBYTE, Settings, load
from devices.detect import Detector, Kind, UdevDetector
from devices.emulation import EmulationDetector
from devices.error import ProfileError
from devices.mtp.recorder import mtp_opener
from devices.profile import Profile, load_profiles
from devices.serial.attempt import Attempts
from devices.serial.secret import PasswordStore
from ingest import erase_open, proxies
from ingest.admission import admit_all
from ingest.copying import SealingLine
from ingest.dockd import Dockd
from ingest.inbox import Inbox
from ingest.lights import lamps_of, shining
from ingest.proxies import Workshop
from ingest.room import is_docking
from ingest.status import read_status
from ingest.turns import Turns
from ingest.unlocking import Unlock, unlocker
from sealdock.clearing import erase_by_policy
from sealdock.register_gate import RegisterGate
from sealdock.worker import Worker
from vault.anchor.assembly import anchord
from vault.anchor.entry import AnchorEntries
from vault.care.scrub import Scrubber
from vault.ceremony.extra import cosigners
from vault.formats.note import SigningKey
from vault.keyd import Keyd, KeydClient
from vault.log import rules as log_rules
from vault.log.ledger import LogReader
from vault.log.outbox import Projections, Submitter
from vault.log.rules import Rules
from vault.retention.execution import Hands, carry_out
from vault.retention.policy import Policy
from vault.sealer import Sealer, clear
from vault.store.deposit import Depositor
from vault.store.derived import DerivedStore
from vault.store.keys import Keyring
from vault.store.medium import LANE_BYTES, Buffers
from vault.store.objects import Vault
from vault.store.root import RootError, handed_over
from vault.store.root_kind import RootPlace
from vault.vaultd import Vaultd
from webconsole.context import ConsoleContext
from webconsole.serve import serve

_LOG = log.get("sealdock.wiring")


class MissingKeyError(SealdockError):
    """A process cannot read its own key."""

    code = "sealdock.missing_key"
    sentence = (
        "The key {path} cannot be read ({why}). Nothing was started or changed. `sealdock vault init` makes the keys; "
        "each process reads only its own, so run the command as that process's user."
    )


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
    def attempts(self) -> Path:
        """Where wrong passwords of recorders are noted; made when it is missing."""
        directory = self.settings.dock.attempts or self.settings.state / "dock" / "attempts"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    @cached_property
    def projections(self) -> Projections:
        """Which entry writes which rows, for live work and for the replay alike."""
        projections = Projections()
        webconsole.auth.account.register(projections)
        casework.projection.register(projections, self.settings.station.timezone)
        ingest.projection.register(projections)
        proxies.register(projections)
        vault.care.fixity.register(projections)
        return projections

    @cached_property
    def policy(self) -> Policy:
        """Why footage is kept longer, and who may approve: what retention asks the packages above."""
        policy = Policy()
        casework.keeping.retention.register(policy)
        return policy

    @cached_property
    def rules(self) -> Rules:
        """What vaultd checks against the log alone."""
        rules = Rules()
        log_rules.register(rules)
        casework.log_rule.register(rules)
        ingest.log_rule.register(rules)
        vault.log.bucket_rule.register(rules)
        vault.log.report_rule.register(rules)
        vault.ceremony.rule.register(rules)
        vault.anchor.rule.register(rules)
        vault.care.rule.register(rules)
        vault.retention.rule.register(rules, self.policy)
        return rules

    def key(self, name: str) -> SigningKey:
        """A process's signing key. Raises MissingKeyError."""
        path = self.settings.keys / f"{name}.key"
        try:
            return SigningKey.read(path)
        except OSError as cause:
            raise MissingKeyError(path=path, why=cause.strerror) from cause

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
    def dock_status(self) -> Path:
        """The file in which the dock says what its bays are doing."""
        return self._run / "dock.json"

    def officer_name(self, number: str) -> str | None:
        """The name on a bay's tile."""
        with self.db.reading() as session:
            return officer_names(session, [number]).get(number)

    @property
    def _run(self) -> Path:
        make_directory(self.settings.run)
        return self.settings.run


def run_keyd(station: Station, stop: threading.Event) -> None:
    """The key process; unlocked at once where systemd (or the demo) hands over a passphrase, a PIN or the root."""
    place = RootPlace.from_settings(station.settings.keyd)
    root = place.root(station.settings.keys)

    def opened(secret: bytes) -> Keyring:
        return Keyring.opened(station.vault, root.open(secret))

    keyd = Keyd(station.vault, opened, station.socket("keyd"))
    try:
        if (secret := handed_over(place.kind, place.credentials)) is not None:
            keyd.unlock(secret)
    except RootError as error:
        _LOG.critical("the credential does not unlock the root; waiting for a person", why=str(error))
    keyd.run(stop)


def run_vaultd(station: Station, stop: threading.Event) -> None:
    """The vault's only writer."""
    Vaultd(
        station.vault, station.db, station.key("log"), station.key("vaultd"), station.rules,
        station.bell("vaultd"), projections=station.projections, cosigners=cosigners(station.settings.keys),
    ).run(stop)  # fmt: skip


def known_profiles(station: Station) -> tuple[Profile, ...]:
    """The shipped profiles and the site's own; a mistake among the site's is told and leaves the shipped ones."""
    try:
        return load_profiles(site=station.settings.dock.profiles)
    except ProfileError as error:
        _LOG.critical("the site's profiles are left out until they are mended", why=str(error))
        return load_profiles()


def sealing_line(station: Station) -> SealingLine:
    """What a bay, a hand and the inbox seal with."""
    pool_bytes = station.settings.dock.buffers_mib * MEBIBYTE
    return SealingLine(
        station.vault, station.db, Depositor(station.vault, Buffers(pool_bytes)), station.submitter("dockd"),
        station.settings.station.timezone, reserve_bytes=station.settings.fixity.reserve_mib * MEBIBYTE,
        turns=Turns(lanes=max(1, pool_bytes // LANE_BYTES)),
    )  # fmt: skip


def run_dockd(station: Station, stop: threading.Event) -> None:
    """The dock: real recorders through udev, emulated ones where the settings name a directory for them."""
    settings, line, profiles = station.settings, sealing_line(station), known_profiles(station)
    detectors: list[Detector] = [UdevDetector()]
    if settings.dock.emulation:
        detectors.append(EmulationDetector(settings.dock.emulation))
    make_directory(settings.dock.mounts)
    gate = RegisterGate(station.db)
    dock = Dockd(
        line, bays=settings.dock.bays, profiles=profiles, detectors=detectors,
        mounts=settings.dock.mounts, status_path=station.dock_status, station=settings.station.name,
        officer_name=station.officer_name, inbox=Inbox(settings.inbox, line) if settings.inbox else None,
        unlock=_unlocker(station), openers={Kind.STILL_IMAGE: mtp_opener(profiles)},
        erase=erase_by_policy(settings, station.reader, line, stop), holder=gate.holder,
        admit=gate.admit if settings.dock.unregistered == "ask" else admit_all,
    )  # fmt: skip
    with shining(station.dock_status, lamps_of(settings.dock.lights)):
        dock.run(stop)


def _unlocker(station: Station) -> Unlock | None:
    """What speaks to recorders over a serial line; none without a store of passwords."""
    dock = station.settings.dock
    if dock.passwords is None:
        return None
    zone = ZoneInfo(station.settings.station.timezone)
    return unlocker(PasswordStore(dock.passwords), Attempts(station.attempts), zone)


def run_worker(station: Station, stop: threading.Event) -> None:
    """Index and proxies."""
    workshop = Workshop(
        db=station.db, vault=station.vault, reader=station.reader, keyd=station.keyd("worker"),
        derived=station.derived, signer=station.key("worker"), submitter=station.submitter("worker"),
        lenses=station.settings.run / "lenses", settings=station.settings.media,
    )  # fmt: skip
    workshop.sweep()
    works = dict.fromkeys(proxies.KINDS, partial(proxies.handle, workshop=workshop))
    works[erase_open.KIND] = partial(
        erase_open.handle, workshop=workshop, second_copy=station.settings.fixity.second_copy
    )
    scrubbing = threading.Thread(target=scrubber(station).run, args=(stop,), name="scrub")
    scrubbing.start()
    try:
        Worker(station.db, works, Bell(station.bell("worker"))).run(stop)
    finally:
        stop.set()
        scrubbing.join()


def scrubber(station: Station) -> Scrubber:
    """What proves sealed objects again and again, within the budget of the settings."""
    fixity = station.settings.fixity
    return Scrubber(
        station.vault, station.db, station.submitter("worker"),
        bytes_per_second=fixity.budget_mib_s * MEBIBYTE, days=fixity.days,
        is_docking=lambda: is_docking(read_status(station.dock_status)),
    )  # fmt: skip


def run_anchord(station: Station, stop: threading.Event) -> None:
    """Time stamps and cosignatures from outside, and this station's own witness."""
    entries = AnchorEntries(station.db, station.submitter("anchord"))
    anchord(station.settings, station.reader, entries).run(stop)


def run_sealer(station: Station, stop: threading.Event) -> None:
    """Immutable files, and disposals that are on the log."""
    hands = Hands(station.db, station.submitter("sealer"), station.policy, station.derived, clear)
    erase = partial(carry_out, station.vault, station.reader, hands=hands)
    Sealer(station.vault, erase, immutable=station.settings.sealer.immutable).run(stop)


def console_context(station: Station) -> ConsoleContext:
    """What the console, and a command that acts in its place, works with."""
    return ConsoleContext(
        settings=station.settings, db=station.db, vault=station.vault, reader=station.reader,
        submitter=station.submitter("console"), keyd=station.keyd("console"), derived=station.derived,
        signer=station.key("console"),
    )  # fmt: skip


def run_console(station: Station) -> None:
    """The web console; returns when it was told to stop."""
    serve(console_context(station))
