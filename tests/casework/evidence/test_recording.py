from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bureau.desk import ZONE, Desk
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text as sql

from casework.cases.case import CaseFacts, open_case
from casework.evidence.exhibit import link_many
from casework.evidence.recording import (
    CursorError,
    RecordingFilter,
    _read_cursor,
    _started,
    apply_ingest,
    get_recording,
    list_recordings,
)
from casework.subject import UnknownSubjectError
from core.clock import new_id, stamp
from vault.formats.entry import Leaf, ObjectCommitment
from vault.log.outbox import AppliedEntry

SEALED = datetime(2026, 11, 23, 8, tzinfo=UTC)


def ingest(desk: Desk, count: int = 1, **fields: Any) -> list[str]:
    """Recordings as the replay of the log writes them."""
    apply, made = apply_ingest(ZONE), list[str]()
    with desk.db.writing() as session:
        for place in range(count):
            leaf = Leaf(
                id=new_id(), type="ingest", time=stamp(SEALED + timedelta(seconds=place)), by="dockd",
                facts={"origin": "dock", "media": fields.get("media", "video")},
                object=ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64),
            )  # fmt: skip
            body = {"name": f"clip_{place}.mp4", "path": "DCIM", "officer_number": "060123", **fields}
            apply(session, AppliedEntry(leaf, body, place))
            made.append(leaf.id)
    return made


def test_a_recorder_without_a_zone_keeps_the_stations_time(desk: Desk) -> None:
    (made,) = ingest(desk, started_at="2026-11-20T09:15:00", bay=3, damaged=True)
    with desk.db.reading() as session:
        found = get_recording(session, made)
        assert found.started_at == datetime(2026, 11, 20, 1, 15, tzinfo=UTC)
        assert (found.started_text, found.started_zone) == ("2026-11-20T09:15:00", ZONE)
        assert found.happened_at == found.started_at
        assert (found.bay, found.damaged, found.entry_index) == (3, True, None)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-11-20T09:15:00+02:00", datetime(2026, 11, 20, 7, 15, tzinfo=UTC)),
        ("2026-11-20T09:15:00Z", datetime(2026, 11, 20, 9, 15, tzinfo=UTC)),
        ("the day after", None),
        ("", None),
        (None, None),
        ("0001-01-01T00:00:00", None),
    ],
)
def test_times_that_recorders_write(written: str | None, moment: datetime | None) -> None:
    assert _started(written, ZONE)[0] == moment


def test_a_recording_without_a_start_stands_where_it_was_sealed(desk: Desk) -> None:
    (made,) = ingest(desk, started_at=None)
    with desk.db.reading() as session:
        assert get_recording(session, made).happened_at == SEALED


def test_pages_hold_every_recording_once_newest_first(desk: Desk) -> None:
    made = ingest(desk, 23) + ingest(desk, 9, started_at="2026-11-20T09:15:00")  # nine at one moment
    with desk.db.reading() as session:
        seen, cursor = list[tuple[datetime, str]](), None
        while True:
            page = list_recordings(session, RecordingFilter(), cursor=cursor, limit=5)
            seen += [(each.happened_at, each.id) for each in page.recordings]
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == sorted(seen, reverse=True)
    assert sorted(each for _, each in seen) == sorted(made)


def test_filters(desk: Desk) -> None:
    ingest(desk, 3)
    (photo,) = ingest(
        desk, media="image", officer_number="060999", recorder_serial="X1A0999", name="50%_off.jpg"
    )
    with desk.db.writing() as session:
        facts = CaseFacts("12", "t", "penalty", "2026-11-20")
        case_id = open_case(session, desk.submitter, None, facts)
        link_many(session, desk.submitter, None, [photo], case_id)
    with desk.db.reading() as session:

        def listed(**wanted: Any) -> list[str]:
            return [each.id for each in list_recordings(session, RecordingFilter(**wanted)).recordings]

        for wanted in (
            {"media": "image"}, {"officer_number": "060999"}, {"recorder_serial": "X1A0999"}, {"is_linked": True},
            {"case_id": case_id}, {"words": "50%_off"}, {"words": "060999"},
        ):  # fmt: skip
            assert listed(**wanted) == [photo], wanted
        assert len(listed(is_linked=False)) == 3
        assert len(listed()) == 4
        assert listed(since=SEALED + timedelta(hours=1)) == []
        assert len(listed(until=SEALED + timedelta(seconds=1))) == 2
        assert listed(words="' OR 1=1 --") == []


def test_replaying_an_entry_changes_nothing(desk: Desk) -> None:
    (made,) = ingest(desk)
    with desk.db.writing() as session:
        case_id = open_case(session, desk.submitter, None, CaseFacts("12", "t", "penalty", "2026-11-20"))
        link_many(session, desk.submitter, None, [made], case_id)
        before = vars(get_recording(session, made)).copy()
        leaf = Leaf(
            id=made, type="ingest", time=stamp(SEALED), by="dockd", facts={"origin": "dock", "media": "video"},
            object=ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64),
        )  # fmt: skip
        fields = {"name": "clip_0.mp4", "path": "DCIM", "officer_number": "060123"}
        apply_ingest(ZONE)(session, AppliedEntry(leaf, fields, 0))
        session.flush()
        after = vars(get_recording(session, made))
        assert {name: after[name] for name in before if not name.startswith("_")} == {
            name: value for name, value in before.items() if not name.startswith("_")
        }


@pytest.mark.parametrize("cursor", ["x", "////", "W10", "WyJhIiwgImIiXQ", "é", "A" * 5000])
def test_a_damaged_cursor_is_said_to_be_one(desk: Desk, cursor: str) -> None:
    with desk.db.reading() as session, pytest.raises(CursorError):
        list_recordings(session, RecordingFilter(), cursor=cursor)


@given(st.text(max_size=80))
def test_no_cursor_raises_anything_else(cursor: str) -> None:
    try:
        _read_cursor(cursor)
    except CursorError:
        return


def test_an_unknown_recording(desk: Desk) -> None:
    with desk.db.reading() as session, pytest.raises(UnknownSubjectError):
        get_recording(session, "none")


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RecordingFilter(), "ix_recording_happened"),
        (RecordingFilter(officer_number="060123"), "ix_recording_officer"),
        (RecordingFilter(recorder_serial="X1A0123"), "ix_recording_recorder"),
        (RecordingFilter(is_linked=False), "ix_recording_linked"),
    ],
)
def test_lists_are_read_from_an_index_and_never_sorted(
    desk: Desk, wanted: RecordingFilter, index: str
) -> None:
    from casework.evidence.recording import Recording, _narrowed  # noqa: PLC0415

    query = _narrowed(wanted).order_by(Recording.happened_at.desc(), Recording.id.desc()).limit(101)
    shown = str(query.compile(desk.db.engine, compile_kwargs={"literal_binds": True}))
    with desk.db.reading() as session:
        plan = [row[3] for row in session.execute(sql(f"EXPLAIN QUERY PLAN {shown}"))]
    assert any(index in line for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan
