from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bureau.desk import ZONE
from crash.house import Foundation, House, found
from keeping.people import HALF_A_YEAR, Keeping

from casework.access.permission import Role
from casework.evidence.recording import Recording
from casework.field import FieldError
from casework.keeping.preview import due, released
from casework.keeping.projection import HeldRecording, LegalHold, holds, place_hold
from casework.keeping.retention import APPROVERS, evidence_policy
from casework.projection import register
from core.clock import new_id, utc_now
from vault.log.index import reindex
from vault.log.outbox import Submitter
from vault.log.submission import Draft
from vault.retention.chronicle import Chronicle
from vault.retention.past import Past
from vault.retention.schedule import RetentionClass, Schedule


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def keeping(foundation: Foundation, tmp_path: Path) -> Iterator[Keeping]:
    house = House.copy(foundation, tmp_path / "house")
    register(house.projections, ZONE)
    keeping = Keeping(house)
    keeping.begin()
    yield keeping
    house.close()


def sealed(keeping: Keeping, content: bytes, **fields: object) -> str:
    body = {"name": "a.mp4", "path": "DCIM/a.mp4", "officer_number": "060123", **fields}
    facts = {"origin": "hand", "media": "video", "session": new_id()}
    return keeping.submit(
        "dockd", Draft("ingest", facts=facts, body=body, deposit=keeping.house.deposit(content))
    )


def seen(keeping: Keeping, recording: str, rendition: str) -> None:
    facts = {"purpose_code": "case", "rendition": rendition}
    keeping.submit("console", Draft("view", about=(recording,), facts=facts))


def schedule(days: int, version: int = 2) -> Schedule:
    return Schedule(version, utc_now(), (RetentionClass("ordinary", days, "依据"),))


def test_the_preview_names_what_is_due_and_sets_apart_what_nobody_saw_or_claimed(keeping: Keeping) -> None:
    """D39"""
    watched, poster, nobodys = (
        sealed(keeping, b"1"),
        sealed(keeping, b"22"),
        sealed(keeping, b"333", officer_number=None),
    )
    held, evidence = sealed(keeping, b"4"), sealed(keeping, b"5")
    seen(keeping, watched, "original")
    seen(keeping, poster, "poster")
    seen(keeping, nobodys, "proxy")
    keeping.hold(held)
    facts = {"recording": evidence, "case": new_id(), "action": "link", "stage": "evidence"}
    keeping.submit("console", Draft("link", about=(evidence, facts["case"]), facts=facts))
    past = Past(keeping.house.reader, proving=False)
    [standing] = Chronicle(past, keeping.policy).schedules()
    with keeping.house.db.reading() as session:
        early = due(session, past, keeping.policy, standing, keeping.now(), {})
        keeping.ahead = HALF_A_YEAR
        found = due(session, past, keeping.policy, standing, keeping.now(), {watched: 7_200_000})
    assert early.recordings == ()
    assert [each.id for each in found.recordings] == [watched, poster, nobodys]
    assert [each.id for each in found.apart] == [poster, nobodys]
    assert (found.hours, found.bytes_of_unknown_length) == (2.0, 5)
    assert {each.retention_class for each in found.recordings} == {"ordinary"}
    assert found.as_json()["apart"] == [poster, nobodys]


def test_a_change_of_schedule_says_exactly_what_it_would_release(keeping: Keeping) -> None:
    recording = sealed(keeping, b"1")
    past = Past(keeping.house.reader, proving=False)
    keeping.ahead = HALF_A_YEAR
    with keeping.house.db.reading() as session:
        shorter = released(session, past, keeping.policy, schedule(400, 1), schedule(184), keeping.now(), {})
        longer = released(session, past, keeping.policy, schedule(184, 1), schedule(400), keeping.now(), {})
    assert [each.id for each in shorter.recordings] == [recording]
    assert longer.recordings == ()


def test_a_hold_is_a_row_once_the_log_has_it_and_goes_with_its_release(keeping: Keeping) -> None:
    two = [keeping.person("custodian"), keeping.person("head")]
    recordings = (sealed(keeping, b"1"), sealed(keeping, b"2"))
    house = keeping.house
    with house.db.writing() as session:
        console = Submitter(house.key("console"), house.projections, house.bell)
        hold = place_hold(
            session, console, two[0], recordings, reason="复议", owner="法制科", review_on="2027-03-01"
        )
    with house.db.reading() as session:
        assert holds(session) == []
    house.settle()
    with house.db.reading() as session:
        [(row, kept)] = holds(session)
    assert (row.entry_id, row.owner, row.reason, row.actor) == (hold, "法制科", "复议", two[0])
    assert set(kept) == set(recordings)
    facts: dict[str, object] = {"hold": hold}
    facts["approvals"] = keeping.approvals("release", recordings[:1], facts, two[1:])
    keeping.submit("console", Draft("release", about=recordings[:1], facts=facts))
    for _ in range(2):
        with house.db.reading() as session:
            assert [kept for _, kept in holds(session)] == [[recordings[1]]]
            assert session.query(LegalHold).count() == session.query(HeldRecording).count() == 1
        reindex(house.vault, house.keyring, house.db, house.projections)


@pytest.mark.parametrize(
    "changed", [{"reason": ""}, {"owner": " "}, {"review_on": "soon"}, {"review_on": None}]
)
def test_a_hold_says_why_for_whom_and_until_when(keeping: Keeping, changed: dict[str, str]) -> None:
    said = {"reason": "复议", "owner": "法制科", "review_on": "2027-03-01", **changed}
    console = Submitter(keeping.house.key("console"), keeping.house.projections, keeping.house.bell)
    with pytest.raises(FieldError), keeping.house.db.writing() as session:
        place_hold(session, console, new_id(), (new_id(),), **said)  # type: ignore[arg-type]


def test_a_disposal_takes_names_out_of_the_row_and_one_that_was_refused_takes_none(keeping: Keeping) -> None:
    two = [keeping.person("custodian"), keeping.person("head")]
    recording = sealed(keeping, b"1")
    assert keeping.why(keeping.dispose([recording], two)) != ""
    assert names(keeping, recording) == ("a.mp4", "060123", False)
    keeping.ahead = HALF_A_YEAR
    assert keeping.why(keeping.dispose([recording], two)) == ""
    assert names(keeping, recording) == ("", None, True)


def names(keeping: Keeping, recording: str) -> tuple[str, str | None, bool]:
    with keeping.house.db.reading() as session:
        row = session.get_one(Recording, recording)
        return row.name, row.officer_number, row.is_disposed


def test_who_decides_over_evidence_and_never_the_administrator(keeping: Keeping) -> None:
    assert Role.ADMINISTRATOR not in APPROVERS
    policy = evidence_policy()
    made = {role: keeping.account(role.value) for role in Role}
    both = keeping.account("custodian", "administrator")
    past = Past(keeping.house.reader)
    may = {role for role, account in made.items() if policy.may_approve(past, account, "dispose")}
    assert may == APPROVERS
    assert not policy.may_approve(past, both, "dispose")
    assert not policy.may_approve(past, new_id(), "dispose")
