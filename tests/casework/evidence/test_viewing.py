from __future__ import annotations

from datetime import timedelta

import pytest
from bureau.desk import Desk
from sqlalchemy import select, update

from casework.access.permission import Permission
from casework.evidence.viewing import (
    GRANT_LIFE,
    SUBJECTS_A_MINUTE,
    DenialCount,
    Viewing,
    ViewLimitError,
    flush_denied,
    grant_for,
    record_denied,
    record_view,
)
from casework.field import ChoiceError, LongFieldError
from core.canonical import decode
from core.clock import new_id, utc_now
from vault.formats.note import Note
from vault.log.outbox import OutboxRow, RowState


def submitted(desk: Desk, kind: str) -> list[dict[str, object]]:
    with desk.db.reading() as session:
        notes = session.scalars(select(OutboxRow.note).where(OutboxRow.type == kind).order_by(OutboxRow.seq))
        return [decode(Note.parse(note.encode()).text.removesuffix("\n").encode()) for note in notes]


def test_the_same_viewing_within_a_minute_is_one_entry(desk: Desk) -> None:
    recordings = desk.replayed(2)
    with desk.db.writing() as session:
        first = record_view(session, desk.submitter, desk.actor, recordings, "original", "case", "核对")
        assert (
            record_view(session, desk.submitter, desk.actor, recordings[:1], "original", "case", "核对")
            == first
        )
    (entry,) = submitted(desk, "view")
    assert entry["facts"] == {"purpose_code": "case", "rendition": "original"}
    assert entry["about"] == sorted(recordings)
    assert "核对" not in str(entry)  # the reason is private


@pytest.mark.parametrize(
    "other",
    [
        {"rendition": "proxy"}, {"purpose_code": "hearing"}, {"purpose": "something else"}, {"actor": new_id()},
        {"recordings": [new_id()]},
    ],
)  # fmt: skip
def test_another_viewing_is_another_entry(desk: Desk, other: dict[str, object]) -> None:
    (recording,) = desk.replayed(1)
    usual = {
        "actor": desk.actor, "recordings": [recording], "rendition": "original", "purpose_code": "case", "purpose": "",
    }  # fmt: skip
    with desk.db.writing() as session:
        first = record_view(session, desk.submitter, **usual)
        assert record_view(session, desk.submitter, **{**usual, **other}) != first


def test_after_a_minute_it_is_another_entry_and_for_six_hours_the_same_grant(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        first = record_view(session, desk.submitter, desk.actor, [recording], "original", "case")
        session.execute(update(Viewing).values(at=utc_now() - timedelta(minutes=2)))
        assert grant_for(session, desk.actor, recording, "original") == first
        assert record_view(session, desk.submitter, desk.actor, [recording], "original", "case") != first
        session.execute(update(Viewing).values(at=utc_now() - GRANT_LIFE))
        assert grant_for(session, desk.actor, recording, "original") is None


def test_a_grant_is_for_one_person_one_recording_one_rendition(desk: Desk) -> None:
    recordings = desk.replayed(2)
    with desk.db.writing() as session:
        record_view(session, desk.submitter, desk.actor, recordings[:1], "proxy", "own")
        assert grant_for(session, desk.actor, recordings[0], "proxy")
        assert grant_for(session, desk.actor, recordings[0], "original") is None
        assert grant_for(session, desk.actor, recordings[1], "proxy") is None
        assert grant_for(session, new_id(), recordings[0], "proxy") is None


def test_an_entry_that_the_log_refused_grants_nothing(desk: Desk) -> None:
    (recording,) = desk.replayed(1)
    with desk.db.writing() as session:
        first = record_view(session, desk.submitter, desk.actor, [recording], "original", "case")
        session.execute(update(OutboxRow).where(OutboxRow.id == first).values(state=RowState.REFUSED))
        assert grant_for(session, desk.actor, recording, "original") is None
        assert record_view(session, desk.submitter, desk.actor, [recording], "original", "case") != first


def test_what_is_no_viewing(desk: Desk) -> None:
    with desk.db.writing() as session:
        for wrong in ([], [new_id() for _ in range(257)]):
            with pytest.raises(ViewLimitError):
                record_view(session, desk.submitter, desk.actor, wrong, "poster", "own")
        with pytest.raises(ChoiceError):
            record_view(session, desk.submitter, desk.actor, [new_id()], "negative", "own")
        with pytest.raises(ChoiceError):
            record_view(session, desk.submitter, desk.actor, [new_id()], "poster", "curiosity")
        with pytest.raises(LongFieldError):
            record_view(session, desk.submitter, desk.actor, [new_id()], "poster", "own", "x" * 501)


def test_refusals_are_counted_and_entered_once_the_minute_is_over(desk: Desk) -> None:
    subject = new_id()
    with desk.db.writing() as session:
        for _ in range(200):
            record_denied(session, desk.submitter, desk.actor, Permission.RECORDING_WATCH, subject)
        assert flush_denied(session, desk.submitter) == []  # the minute may have turned, then below says so
    with desk.db.writing() as session:
        flush_denied(session, desk.submitter, utc_now() + timedelta(minutes=1))
        assert session.scalars(select(DenialCount)).all() == []
    entries = submitted(desk, "denied")
    assert 1 <= len(entries) <= 2
    assert sum(entry["facts"]["count"] for entry in entries) == 200  # type: ignore[index]
    assert {(entry["actor"], tuple(entry["about"])) for entry in entries} == {(desk.actor, (subject,))}  # type: ignore[arg-type]


def test_somebody_who_tries_everything_fills_one_line(desk: Desk) -> None:
    with desk.db.writing() as session:
        for _ in range(SUBJECTS_A_MINUTE * 3):
            record_denied(session, desk.submitter, desk.actor, Permission.RECORDING_WATCH, new_id())
        record_denied(session, desk.submitter, None, Permission.LOG_VIEW, "../../etc/passwd")
        flush_denied(session, desk.submitter, utc_now() + timedelta(minutes=1))
    entries = submitted(desk, "denied")
    assert len(entries) <= 2 * (SUBJECTS_A_MINUTE + 2)
    assert sum(entry["facts"]["count"] for entry in entries) == SUBJECTS_A_MINUTE * 3 + 1  # type: ignore[index]
    assert "passwd" not in str(entries)
