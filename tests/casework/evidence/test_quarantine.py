"""What a custodian decides of a session in quarantine; rows are what the entries say, also after a reindex."""

from __future__ import annotations

import pytest
from bureau.desk import PASSPHRASE, Desk, Station
from bureau.sessions import dock, session_entry
from sqlalchemy import select

from casework.equipment.claim import claim_duty
from casework.evidence.quarantine import (
    Decision,
    QuarantineDecision,
    QuarantinedSession,
    SameDecisionError,
    among,
    count_undecided,
    decide,
    decided,
    quarantined,
    undecided,
)
from casework.field import FieldError
from casework.people.at_dock import Means
from casework.people.officer import Officer, OfficerFacts, register_officer
from casework.subject import UnknownSubjectError
from core.clock import new_id
from vault.formats.entry import Leaf
from vault.log.index import reindex
from vault.log.outbox import AppliedEntry, OutboxRow, RowState
from vault.log.submission import Draft
from vault.store.keys import Keyring


def taken(desk: Desk, claim: str = "", **fields: object) -> str:
    """A finished session in quarantine."""
    plain = session_entry(statement={"quarantine": {"standing": "lost"}}, **fields)
    facts = {**plain.leaf.facts, "quarantined": claim or new_id()}
    leaf = Leaf(id=plain.leaf.id, type="session", time=plain.leaf.time, by="dockd", facts=facts)
    dock(desk, AppliedEntry(leaf, plain.fields, None))
    return leaf.id


def test_only_what_was_taken_in_quarantine_waits(desk: Desk) -> None:
    dock(desk, session_entry())
    one = taken(desk)
    nameless = taken(desk, recorder_serial="")
    with desk.db.reading() as session:
        assert [each.session.id for each in undecided(session)] == [one, nameless]
        assert count_undecided(session) == 2
        assert quarantined(session, one).session.standing == "lost"
        assert set(among(session, [one, new_id()])) == {one}


def test_a_later_decision_counts_and_the_earlier_one_stays(desk: Desk) -> None:
    one = taken(desk)
    with desk.db.writing() as session:
        decide(session, desk.submitter, desk.actor, one, "not_duty", "a private trip")
    with desk.db.writing() as session:
        decide(session, desk.submitter, desk.actor, one, "accepted")
    with desk.db.reading() as session:
        assert undecided(session) == []
        found = decided(session)[0]
        assert found.standing is Decision.ACCEPTED
        assert [each.note for each in found.decisions] == ["", "a private trip"]


def test_nothing_is_decided_twice_alike_nor_without_a_reason_nor_of_what_is_not_there(desk: Desk) -> None:
    one = taken(desk)
    with desk.db.writing() as session:
        with pytest.raises(FieldError):
            decide(session, desk.submitter, desk.actor, one, "not_duty", " ")
        with pytest.raises(FieldError):
            decide(session, desk.submitter, desk.actor, one, "erase")
        with pytest.raises(UnknownSubjectError):
            decide(session, desk.submitter, desk.actor, new_id(), "accepted")
        decide(session, desk.submitter, desk.actor, one, "accepted")
        with pytest.raises(SameDecisionError):
            decide(session, desk.submitter, desk.actor, one, "accepted")


def test_what_the_log_refused_was_never_decided(desk: Desk) -> None:
    one = taken(desk)
    with desk.db.writing() as session:
        entry = decide(session, desk.submitter, desk.actor, one, "accepted")
        row = session.scalars(select(OutboxRow).where(OutboxRow.id == entry)).one()
        row.state = RowState.REFUSED
    with desk.db.reading() as session:
        assert count_undecided(session) == 1
        assert quarantined(session, one).standing is None


def test_after_a_reindex_the_decision_stands_as_before(station: Station) -> None:
    question = new_id()
    with station.db.writing() as session:
        officer = register_officer(session, station.submitter, None, OfficerFacts("060777", "执法员丙"))
        claim = claim_duty(session, station.submitter, session.get_one(Officer, officer), question, Means.PIN)
    facts = {"files": 1, "bytes": 9, "outcome": "complete", "session": question, "quarantined": claim}
    body = {"recorder_serial": "X1A0777", "statement": {"quarantine": {"standing": "unregistered"}}}
    with station.db.writing() as session:
        station.dock.submit(session, Draft(type="session", id=question, facts=facts, body=body))
    with station.db.writing() as session:
        decide(session, station.submitter, station.actor, question, "not_duty", "a private trip")
    station.settle()

    def rows() -> list[tuple[object, ...]]:
        with station.db.reading() as session:
            return [
                tuple(row)
                for table in (QuarantinedSession, QuarantineDecision)
                for row in session.execute(select(*table.__table__.columns))
            ]

    before = rows()
    assert len(before) == 2
    keyring = Keyring.unlock(station.vault, station.keys, PASSPHRASE)
    assert reindex(station.vault, keyring, station.db, station.projections).unavailable == ()
    assert rows() == before
    with station.db.reading() as session:
        one = quarantined(session, question)
    assert one.claim is not None
    assert (one.claim.officer_number, one.standing) == ("060777", Decision.NOT_DUTY)
