from __future__ import annotations

import pytest
from bureau.desk import Desk
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.cases.case import CaseFacts, open_case
from casework.evidence.exhibit import (
    AlreadyLinkedError,
    BulkLimitError,
    NotLinkedError,
    apply_link,
    exhibits,
    link,
    link_history,
    link_many,
    links_of,
    unlink,
)
from casework.evidence.recording import get_recording
from casework.field import ChoiceError, EmptyFieldError
from casework.subject import UnknownSubjectError
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, OutboxRow


def open_one(session: Session, desk: Desk, number: str = "12", stage: str = "evidence") -> str:
    return open_case(
        session, desk.submitter, desk.actor, CaseFacts(number, "t", "penalty", "2026-11-20", stage)
    )


def test_a_recording_becomes_an_exhibit_under_the_cases_stage(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        link(session, desk.submitter, desk.actor, recording, case_id, note="现场检查")
    with desk.db.reading() as session:
        (found,) = exhibits(session, case_id)
        assert (found.recording.id, found.exhibit.stage, found.exhibit.note) == (
            recording,
            "evidence",
            "现场检查",
        )
        assert found.exhibit.linked_by == desk.actor
        assert found.recording.is_linked
        assert [each.case.number for each in links_of(session, recording)] == ["12"]


def test_a_link_revised_three_times_shows_each_past_state(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        link(session, desk.submitter, None, recording, case_id, note="one")
        unlink(session, desk.submitter, None, recording, case_id, note="two")
        link(session, desk.submitter, None, recording, case_id, note="three", stage="service")
    with desk.db.reading() as session:
        history = [(each.action, each.note, each.stage) for each in link_history(session, recording)]
        assert history == [
            ("link", "one", "evidence"),
            ("unlink", "two", "evidence"),
            ("link", "three", "service"),
        ]
        assert exhibits(session, case_id)[0].exhibit.stage == "service"


def test_a_recording_stays_linked_while_any_case_has_it(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        one, other = open_one(session, desk, "1"), open_one(session, desk, "2")
        link(session, desk.submitter, None, recording, one)
        link(session, desk.submitter, None, recording, other)
        unlink(session, desk.submitter, None, recording, one, note="wrong case")
        assert get_recording(session, recording).is_linked
        unlink(session, desk.submitter, None, recording, other, note="wrong case")
        session.expire_all()
        assert not get_recording(session, recording).is_linked


def test_bulk_makes_one_entry_an_item_and_leaves_what_is_linked(desk: Desk) -> None:
    recordings = desk.replayed(5)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        link(session, desk.submitter, None, recordings[0], case_id, note="first")
        made = link_many(session, desk.submitter, None, [*recordings, recordings[1]], case_id, note="bulk")
        assert len(made) == 4
        rows = session.scalars(select(OutboxRow.id).where(OutboxRow.type == "link")).all()
        assert set(made) < set(rows)
        assert len(rows) == 5
        assert [each.note for each in link_history(session, recordings[0])] == ["first"]


def test_bulk_is_all_or_nothing(desk: Desk) -> None:
    recordings = desk.replayed(2)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
    with pytest.raises(UnknownSubjectError), desk.db.writing() as session:
        link_many(session, desk.submitter, None, [*recordings, "none"], case_id)
    with desk.db.reading() as session:
        assert exhibits(session, case_id) == []
        assert session.scalars(select(OutboxRow.id).where(OutboxRow.type == "link")).all() == []


def test_what_cannot_be_linked(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        for wrong in ([], [str(number) for number in range(501)]):
            with pytest.raises(BulkLimitError):
                link_many(session, desk.submitter, None, wrong, case_id)
        with pytest.raises(NotLinkedError):
            unlink(session, desk.submitter, None, recording, case_id, note="never was")
        with pytest.raises(ChoiceError):
            link(session, desk.submitter, None, recording, case_id, stage="lunch")
        link(session, desk.submitter, None, recording, case_id)
        with pytest.raises(AlreadyLinkedError):
            link(session, desk.submitter, None, recording, case_id)
        with pytest.raises(EmptyFieldError):
            unlink(session, desk.submitter, None, recording, case_id, note=" ")
        with pytest.raises(UnknownSubjectError):
            link(session, desk.submitter, None, recording, "none")


def test_an_entry_seen_twice_counts_once(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        entry = link(session, desk.submitter, None, recording, case_id)
        facts = {"action": "link", "case": case_id, "recording": recording, "stage": "evidence"}
        leaf = Leaf(
            entry, "link", "2026-11-23T08:00:00.000000Z", "console", None, (recording, case_id), facts
        )
        apply_link(session, AppliedEntry(leaf, {"note": ""}, 9))
        assert len(link_history(session, recording)) == 1


def test_exhibits_stand_in_the_order_of_the_stages(desk: Desk) -> None:
    recordings = desk.replayed(3)
    with desk.db.writing() as session:
        case_id = open_one(session, desk)
        for recording, stage in zip(recordings, ("service", "filing", "decision"), strict=True):
            link(session, desk.submitter, None, recording, case_id, stage=stage)
        assert [each.exhibit.stage for each in exhibits(session, case_id)] == [
            "filing",
            "decision",
            "service",
        ]
