"""A desk, a station and one disclosed package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import pytest
from bureau.desk import HEVC, MP4, NOTE, PASSPHRASE, PLAYABLE, ZONE, Desk, Disclosed, Station, account
from support.root import opener

from casework.cases.case import CaseFacts, open_case
from casework.evidence.exhibit import link_many
from casework.evidence.viewing import record_view
from casework.package.disclosure import request_disclosure
from casework.people.officer import OfficerFacts, register_officer
from casework.people.unit import register_unit
from casework.projection import register
from core.db import Database
from vault.formats.note import SigningKey
from vault.founding import initialise
from vault.keyd import Keyd, KeydClient
from vault.log.ledger import LogReader
from vault.log.outbox import Projections, Submitter
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.store.objects import Vault
from vault.vaultd import Vaultd


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


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    base = tmp_path_factory.mktemp("station")
    initialise(base / "vault", base / "keys", PASSPHRASE)
    vault = Vault.open(base / "vault")
    db = Database(f"sqlite:///{base / 'station.db'}")
    db.create_tables()
    projections = Projections()
    register(projections, ZONE)
    signers = {
        name: SigningKey.read(base / "keys" / f"{name}.key")
        for name in ("log", "vaultd", "console", "dockd", "worker")
    }
    submitters = {
        name: Submitter(signers[name], projections, base / "bell") for name in ("console", "dockd", "worker")
    }
    vaultd = Vaultd(
        vault, db, signers["log"], signers["vaultd"], Rules(), base / "bell", projections=projections
    )
    keyd, stop = Keyd(vault, opener(vault, base / "keys"), base / "keyd.sock"), Event()
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


@pytest.fixture(scope="session")
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
        case = CaseFacts(
            "演应急罚〔2026〕12号",
            "某零售点安全设施不合格案",
            "penalty",
            "2026-11-20",
            "evidence",
            unit,
            "某公司",
        )
        case_id = open_case(session, station.submitter, station.actor, case)
        link_many(session, station.submitter, station.actor, recordings, case_id, note="=现场检查")
        record_view(
            session, station.submitter, station.actor, recordings[:1], "original", "hearing", "听证准备"
        )
        proxy = {"rendition": "proxy", "sha256": sha256(PLAYABLE).hexdigest(), "size": len(PLAYABLE)}
        derive = {"parent": recordings[1], "renditions": [proxy]}
        station.worker.submit(session, Draft(type="derive", about=(recordings[1],), facts=derive))
    station.settle()
    with station.db.writing() as session:
        package_id = request_disclosure(
            session,
            station.submitter,
            station.actor,
            case_id,
            recordings,
            recipient="某县人民法院",
            purpose="行政诉讼举证",
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
