"""A desk (database and outbox, nothing sealed) and a station (a real vault, vaultd and keyd) for casework."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy.orm import Session

from casework.case import CaseFacts, open_case
from casework.disclosure import request_disclosure
from casework.exhibit import link_many
from casework.package.build import Package, Packager
from casework.package.door import OriginalDoor
from casework.people import OfficerFacts, register_officer, register_unit
from casework.projection import register
from casework.viewing import record_view
from core.clock import new_id, utc_now
from core.db import Database
from vault.deposit import Depositor
from vault.founding import initialise
from vault.keyd import Keyd, KeydClient
from vault.keys import bucket_for, ensure_bucket
from vault.ledger import LogReader
from vault.medium import Buffers
from vault.note import SigningKey
from vault.objects import Vault
from vault.outbox import Projections, Submitter
from vault.rules import Rules
from vault.submission import Draft
from vault.vaultd import Vaultd

PASSPHRASE = b"a passphrase for a second"
ZONE = "Asia/Shanghai"
MP4, HEVC, NOTE = b"an H.264 original" * 9000, b"an HEVC original" * 7000, b"not media at all"
PLAYABLE = b"a copy that browsers play" * 3000


@dataclass
class Desk:
    """Where a custodian works: entries wait in the outbox, projections are written."""

    db: Database
    submitter: Submitter
    projections: Projections
    actor: str


@dataclass
class Station(Desk):
    """A desk with a vault behind it; `settle` does vaultd's rounds until nothing waits."""

    vault: Vault
    vaultd: Vaultd
    keys: Path
    dock: Submitter
    worker: Submitter
    log: LogReader
    keyd: KeydClient

    def settle(self) -> None:
        while self.vaultd.step() or self.vaultd._accepted:
            pass

    def ingest(self, name: str, content: bytes, **fields: Any) -> str:
        """Seal an original as the dock does."""
        bucket = bucket_for(utc_now())
        ensure_bucket(self.vault, bucket)
        deposit = Depositor(self.vault, Buffers()).deposit(BytesIO(content), bucket)
        with self.db.writing() as session:
            return ingest_entry(session, self.dock, name, deposit=deposit, **fields)

    def packager(self, renditions: dict[str, bytes] | None = None) -> Packager:
        def open_rendition(recording_id: str, _grant: int) -> tuple[BytesIO, int, str] | None:
            raw = (renditions or {}).get(recording_id)
            return None if raw is None else (BytesIO(raw), len(raw), sha256(raw).hexdigest())

        return Packager(
            db=self.db, log=self.log, signer=SigningKey.read(self.keys / "console.key"),
            organisation="某县应急管理局", zone=ZONE,
            open_original=OriginalDoor(self.vault, self.keyd), open_rendition=open_rendition,
        )  # fmt: skip


def ingest_entry(session: Session, dock: Submitter, name: str, *, deposit: Any, **fields: Any) -> str:
    body = {
        "name": name, "path": f"DCIM/{name}", "size": deposit.size, "officer_number": "060123",
        "recorder_serial": "X1A0123", "started_at": "2026-11-20T09:15:00", "clock_source": "recorder",
        "bay": 1, "profile": "generic-dcim", "damaged": False, **fields,
    }  # fmt: skip
    media = body.pop("media", "video")
    facts = {"origin": "dock", "media": media, "session": new_id()}
    return dock.submit(session, Draft(type="ingest", facts=facts, body=body, deposit=deposit))


def account(session: Session, submitter: Submitter, name: str) -> str:
    """An account entry as the console makes it."""
    identity = new_id()
    facts = {"event": "created", "account": identity, "roles": ["custodian"]}
    body = {"username": f"user{identity[-4:].lower()}", "name": name}
    submitter.submit(session, Draft(type="account", about=(identity,), facts=facts, body=body))
    return identity


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    db = Database(f"sqlite:///{tmp_path / 'desk.db'}")
    db.create_tables()
    projections = Projections()
    register(projections, ZONE)
    submitter = Submitter(SigningKey.generate("console"), projections, tmp_path / "bell")
    with db.writing() as session:
        actor = account(session, submitter, "证据管理员")
    yield Desk(db, submitter, projections, actor)
    db.close()


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    base = tmp_path_factory.mktemp("station")
    initialise(base / "vault", base / "keys", PASSPHRASE)
    vault = Vault.open(base / "vault")
    db = Database(f"sqlite:///{base / 'station.db'}")
    db.create_tables()
    projections = Projections()
    register(projections, ZONE)
    signers = {name: SigningKey.read(base / "keys" / f"{name}.key") for name in ("log", "vaultd", "console", "dockd", "worker")}
    submitters = {name: Submitter(signers[name], projections, base / "bell") for name in ("console", "dockd", "worker")}
    vaultd = Vaultd(vault, db, signers["log"], signers["vaultd"], Rules(), base / "bell", projections=projections)
    keyd, stop = Keyd(vault, base / "keys", base / "keyd.sock"), Event()
    keyd.unlock(PASSPHRASE)
    server = Thread(target=keyd.run, args=(stop,))
    server.start()
    vaultd.start()
    with db.writing() as session:
        actor = account(session, submitters["console"], "证据管理员甲")
    yield Station(
        db=db, submitter=submitters["console"], projections=projections, actor=actor, vault=vault, vaultd=vaultd,
        keys=base / "keys", dock=submitters["dockd"], worker=submitters["worker"], log=LogReader(vault),
        keyd=KeydClient(base / "keyd.sock", signers["console"]),
    )  # fmt: skip
    vaultd.close()
    stop.set()
    server.join()
    db.close()


@dataclass
class Disclosed:
    """One case with three recordings, disclosed: what tests about packages share and never change."""

    station: Station
    case_id: str
    recordings: list[str]
    package: Package
    directory: Path

    @property
    def vkey(self) -> str:
        return self.station.vault.verifier.vkey


@pytest.fixture(scope="module")
def disclosed(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Disclosed:
    recordings = [
        station.ingest("X1A0123060123_20261120091500_00.MP4", MP4),
        station.ingest("现场 <b>检查</b>.mp4", HEVC, started_at="2026-11-20T10:15:00"),
        station.ingest("notes.txt", NOTE, media="other", started_at=None),
    ]
    station.settle()
    with station.db.writing() as session:
        unit = register_unit(session, station.submitter, station.actor, "430682000101", "执法大队一中队")
        facts = OfficerFacts("060123", "执法员甲", unit, "ZF-060123", "2029-12-31")
        register_officer(session, station.submitter, station.actor, facts)
        case = CaseFacts("演应急罚〔2026〕12号", "某零售点安全设施不合格案", "penalty", "2026-11-20", "evidence", unit, "某公司")
        case_id = open_case(session, station.submitter, station.actor, case)
        link_many(session, station.submitter, station.actor, recordings, case_id, note="=现场检查")
        record_view(session, station.submitter, station.actor, recordings[:1], "original", "hearing", "听证准备")
        proxy = {"rendition": "proxy", "sha256": sha256(PLAYABLE).hexdigest(), "size": len(PLAYABLE)}
        derive = {"parent": recordings[1], "renditions": [proxy]}
        station.worker.submit(session, Draft(type="derive", about=(recordings[1],), facts=derive))
    station.settle()
    with station.db.writing() as session:
        package_id = request_disclosure(
            session, station.submitter, station.actor, case_id, recordings, recipient="某县人民法院", purpose="行政诉讼举证"
        ).package_id
    station.settle()
    package = station.packager({recordings[1]: PLAYABLE}).package(package_id)
    directory = tmp_path_factory.mktemp("package") / package.folder
    package.build(directory)
    return Disclosed(station, case_id, recordings, package, directory)


@pytest.fixture
def copy(disclosed: Disclosed, tmp_path: Path) -> Path:
    """A copy of the package that a test may spoil."""
    return Path(shutil.copytree(disclosed.directory, tmp_path / "copy"))
