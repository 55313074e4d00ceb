"""What the dock hears of casework's register and ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from casework.equipment.asset import RecorderAsset
from casework.equipment.issue import hand_out
from casework.equipment.recorder import care, register_recorder
from casework.people.officer import Officer, OfficerFacts, register_officer
from casework.projection import register
from core.clock import new_id, utc_now
from core.db import Database
from ingest.admission import Standing
from sealdock.register_gate import RegisterGate
from vault.formats.note import SigningKey
from vault.log.outbox import Projections, Submitter

SERIAL = "X1A0123"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'register.db'}")
    made.create_tables()
    yield made
    made.close()


@pytest.fixture
def submitter(tmp_path: Path) -> Submitter:
    projections = Projections()
    register(projections, "Asia/Shanghai")
    return Submitter(SigningKey.generate("console"), projections, tmp_path / "bell")


def test_the_register_answers_for_what_it_has_and_not_for_what_is_lost(
    db: Database, submitter: Submitter
) -> None:
    gate = RegisterGate(db)
    assert gate.admit("") is Standing.NAMELESS
    assert gate.admit(SERIAL) is Standing.UNREGISTERED
    with db.writing() as session:
        recorder = register_recorder(session, submitter, None, SERIAL)
    assert gate.admit(SERIAL) is Standing.REGISTERED
    for event, standing in (
        ("send_to_repair", Standing.REGISTERED),
        ("report_lost", Standing.LOST),
        ("find", Standing.REGISTERED),
        ("retire", Standing.RETIRED),
        ("reinstate", Standing.REGISTERED),
    ):
        with db.writing() as session:
            care(session, submitter, None, recorder, event)
        assert gate.admit(SERIAL) is standing


def test_one_that_was_only_seen_is_not_registered(db: Database) -> None:
    with db.writing() as session:
        session.add(RecorderAsset(id=new_id(), serial=SERIAL, model="", state="docked", version=new_id()))
    assert RegisterGate(db).admit(SERIAL) is Standing.UNREGISTERED


def test_the_holder_is_who_had_it_at_that_moment(db: Database, submitter: Submitter) -> None:
    gate, now = RegisterGate(db), utc_now()
    with db.writing() as session:
        register_recorder(session, submitter, None, SERIAL)
        facts = OfficerFacts("060123", "执法员甲", None, "ZF-1", "2099-12-31")
        officer = session.get_one(Officer, register_officer(session, submitter, None, facts))
        hand_out(session, submitter, officer, SERIAL, "patrol", now)
    assert gate.holder(SERIAL, now + timedelta(hours=1)) == "060123"
    assert gate.holder(SERIAL, now - timedelta(hours=1)) is None
    assert gate.holder("X1A0999", now) is None
