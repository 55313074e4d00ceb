from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from bureau.desk import Desk
from sqlalchemy import select

from casework.cases.case import (
    CaseFacts,
    CaseFile,
    Kind,
    Stage,
    StaleCaseError,
    change_case,
    get_case,
    list_cases,
    open_case,
)
from casework.field import CaseworkError, ChoiceError, DateError, EmptyFieldError, FieldError
from casework.subject import TakenError, UnknownSubjectError
from core.clock import utc_now
from vault.formats.entry import Leaf
from vault.log.outbox import AppliedEntry, OutboxRow

FACTS = CaseFacts(
    "演应急罚〔2026〕12号",
    "某零售点安全设施不合格案",
    Kind.PENALTY,
    "2026-11-20",
    Stage.FILING,
    None,
    "某公司",
)


def test_the_seven_stages_stand_in_their_order() -> None:  # D23
    assert [stage.value for stage in Stage] == [
        "filing", "investigation", "evidence", "review", "decision", "service", "execution",
    ]  # fmt: skip


def test_a_case_is_opened_and_moves_on(desk: Desk) -> None:
    with desk.db.writing() as session:
        case_id = open_case(session, desk.submitter, desk.actor, FACTS)
        version = get_case(session, case_id).version
        change_case(session, desk.submitter, None, case_id, replace(FACTS, stage=Stage.EVIDENCE), version)
    with desk.db.reading() as session:
        case = get_case(session, case_id)
        assert (case.stage, case.opened_by, case.title) == ("evidence", desk.actor, FACTS.title)
        assert case.version != version
        bodies = session.scalars(select(OutboxRow.body).where(OutboxRow.type == "case")).all()
        assert [body["fields"]["stage"] for body in bodies if body] == ["filing", "evidence"]


def test_the_second_editor_is_told_and_nothing_is_lost(desk: Desk) -> None:
    with desk.db.writing() as session:
        case_id = open_case(session, desk.submitter, desk.actor, FACTS)
        seen_by_both = get_case(session, case_id).version
        change_case(session, desk.submitter, None, case_id, replace(FACTS, title="first"), seen_by_both)
    with desk.db.writing() as session:
        with pytest.raises(StaleCaseError):
            change_case(session, desk.submitter, None, case_id, replace(FACTS, title="second"), seen_by_both)
        assert get_case(session, case_id).title == "first"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"number": " "}, EmptyFieldError),
        ({"title": "x" * 201}, FieldError),
        ({"title": "a\x07"}, FieldError),
        ({"kind": "murder"}, ChoiceError),
        ({"stage": "closed"}, ChoiceError),
        ({"opened_on": ""}, EmptyFieldError),
        ({"opened_on": "20 November"}, DateError),
        ({"opened_on": (utc_now() + timedelta(days=3)).date()}, DateError),
        ({"unit_id": "nowhere"}, UnknownSubjectError),
        ({"party": "\u202egnp"}, FieldError),
    ],
)
def test_what_cannot_be_a_case(desk: Desk, change: dict[str, object], error: type[CaseworkError]) -> None:
    with desk.db.writing() as session:
        with pytest.raises(error):
            open_case(session, desk.submitter, None, replace(FACTS, **change))  # type: ignore[arg-type]
        assert list_cases(session).cases == []


def test_a_number_belongs_to_one_case(desk: Desk) -> None:
    with desk.db.writing() as session:
        open_case(session, desk.submitter, None, FACTS)
        other = open_case(session, desk.submitter, None, replace(FACTS, number="13"))
        with pytest.raises(TakenError):
            open_case(session, desk.submitter, None, FACTS)
        with pytest.raises(TakenError):
            change_case(session, desk.submitter, None, other, FACTS, get_case(session, other).version)


def test_lists_are_cut_into_pages_and_narrowed(desk: Desk) -> None:
    with desk.db.writing() as session:
        for number in range(25):
            stage = Stage.REVIEW if number % 5 == 0 else Stage.FILING
            open_case(
                session,
                desk.submitter,
                None,
                replace(FACTS, number=f"N{number:02}", party=f"100%_{number}", stage=stage),
            )
    with desk.db.reading() as session:
        seen, cursor = list[str](), None
        while True:
            page = list_cases(session, cursor=cursor, limit=10)
            seen += [case.number for case in page.cases]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(seen) == [f"N{number:02}" for number in range(25)]
        assert len(list_cases(session, stages=[Stage.REVIEW]).cases) == 5
        assert [case.number for case in list_cases(session, words="100%_7").cases] == ["N07"]
        assert list_cases(session, words="100%%").cases == []


def test_a_case_whose_body_is_gone_is_shown_as_disposed(desk: Desk) -> None:
    with desk.db.writing() as session:
        case_id = open_case(session, desk.submitter, None, FACTS)
        version = session.get_one(CaseFile, case_id).version
        leaf = Leaf(id=version, type="case", time="2026-11-23T00:00:00.000000Z", by="console", about=(case_id,),
                    facts={"event": "opened", "case": case_id})  # fmt: skip
        desk.projections.apply(session, AppliedEntry(leaf, None, 7))
        case = get_case(session, case_id)
        assert (case.is_disposed, case.title) == (True, "")


def test_an_unknown_case(desk: Desk) -> None:
    with desk.db.reading() as session, pytest.raises(UnknownSubjectError):
        get_case(session, "none")
