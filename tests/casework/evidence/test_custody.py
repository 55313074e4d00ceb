from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from bureau.desk import Disclosed, Station
from sqlalchemy import event

from casework.access.permission import Permission
from casework.evidence import custody
from casework.evidence.custody import CSV_COLUMNS, as_csv, as_json, chain, chain_line, chain_page
from casework.evidence.viewing import flush_denied, record_denied, record_view
from casework.package.content import CustodyExtract
from core.clock import utc_now


def test_every_hand_a_recording_passed_through(disclosed: Disclosed) -> None:  # D25
    station, recording = disclosed.station, disclosed.recordings[0]
    with station.db.reading() as session:
        lines = chain(session, station.log, recording)
    kinds = [line.type for line in lines]
    assert kinds[:4] == ["ingest", "link", "view", "export"]
    assert [line.index for line in lines] == sorted(line.index for line in lines if line.index is not None)
    by_kind = {line.type: line for line in lines[:4]}
    assert (by_kind["ingest"].by, by_kind["ingest"].actor) == ("dockd", None)
    assert (by_kind["view"].actor_name, by_kind["view"].reason) == ("证据管理员甲", "听证准备")
    assert by_kind["view"].facts["purpose_code"] == "hearing"
    assert by_kind["link"].reason == "=现场检查"
    assert by_kind["export"].reason == "行政诉讼举证"


def test_what_waits_is_shown_without_proof(station: Station) -> None:
    recording = station.ingest("waits.mp4", b"waits")
    with station.db.reading() as session:
        (line,) = chain(session, station.log, recording)
        assert (line.type, line.index, line.has_proof) == ("ingest", None, False)
    station.settle()
    with station.db.reading() as session:
        (line,) = chain(session, station.log, recording)
        assert line.has_proof


def test_denied_attempts_stand_in_the_chain(station: Station) -> None:
    recording = station.ingest("denied.mp4", b"denied")
    with station.db.writing() as session:
        for _ in range(3):
            record_denied(session, station.submitter, station.actor, Permission.RECORDING_WATCH, recording)
        flush_denied(session, station.submitter, utc_now().replace(year=2099))
    station.settle()
    with station.db.reading() as session:
        denied = [line for line in chain(session, station.log, recording) if line.type == "denied"]
    assert sum(line.facts["count"] for line in denied) == 3


def test_exports_say_what_the_screen_says(station: Station) -> None:
    recording = station.ingest("exports.mp4", b"exports")
    with station.db.writing() as session:
        record_view(
            session,
            station.submitter,
            station.actor,
            [recording],
            "original",
            "case",
            '=HYPERLINK("x")\nand more',
        )
    station.settle()
    with station.db.reading() as session:
        lines = chain(session, station.log, recording)
    extract = CustodyExtract.model_validate_json(as_json(recording, lines))
    assert [line.entry for line in extract.lines] == [line.entry_id for line in lines]
    rows = list(csv.DictReader(io.StringIO(as_csv(lines).decode("utf-8-sig"), newline="")))
    assert [row["index"] for row in rows] == [str(line.index) for line in lines]
    assert rows[1]["reason"] == '\'=HYPERLINK("x")\nand more'  # a spreadsheet shows it and does not run it
    assert tuple(rows[0]) == CSV_COLUMNS


def test_a_sheet_runs_nothing(station: Station) -> None:
    recording = station.ingest("sheet.mp4", b"sheet")
    with station.db.reading() as session:
        (line,) = chain(session, station.log, recording)
    for start in "=+-@\t\r":
        rows = list(
            csv.reader(
                io.StringIO(as_csv([replace(line, actor_name=f"{start}1+1")]).decode("utf-8-sig"), newline="")
            )
        )
        assert rows[1][CSV_COLUMNS.index("actor_name")] == f"'{start}1+1"


def test_a_long_chain_comes_in_pages_and_names_cost_one_query(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody, "PAGE_SIZE", 3)
    recording = station.ingest("pages.mp4", b"pages")
    with station.db.writing() as session:
        for number in range(4):
            record_view(
                session, station.submitter, station.actor, [recording], "original", "case", f"Look {number}"
            )
        record_view(session, station.submitter, station.actor, [recording], "poster", "case")
    station.settle()
    asked: list[str] = []
    event.listen(station.db.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    with station.db.reading() as session:
        first = chain_page(session, station.log, recording)
        assert sum("FROM actor_name" in statement for statement in asked) == 1
        assert first.next_after is not None
        second = chain_page(session, station.log, recording, after=first.next_after)
        whole = chain(session, station.log, recording)
        own = chain_page(session, station.log, recording, types={"ingest"})
    assert (first.entries, first.in_lists, len(first.lines)) == (6, 1, 3)
    assert second.next_after is None
    assert [*first.lines, *second.lines] == [
        line for line in whole if line.facts.get("rendition") != "poster"
    ]
    assert all(line.actor_name == "证据管理员甲" for line in whole if line.actor)
    assert [line.type for line in own.lines] == ["ingest"]


def test_what_was_seen_in_lists_is_there_when_asked_for(station: Station) -> None:
    recording, other = station.ingest("lists.mp4", b"lists"), station.ingest("other.mp4", b"other")
    with station.db.writing() as session:
        entry = record_view(session, station.submitter, station.actor, [recording], "poster", "case")
    for settle in (lambda: None, station.settle):  # while it waits, and once it has its place
        settle()
        with station.db.reading() as session:
            assert [line.type for line in chain_page(session, station.log, recording).lines] == ["ingest"]
            page = chain_page(session, station.log, recording, with_lists=True)
            assert [line.type for line in page.lines] == ["ingest", "view"]
            assert (page.entries, page.in_lists) == (2, 1)
            line = chain_line(session, station.log, recording, entry)
            assert line == page.lines[1]
            assert chain_line(session, station.log, other, entry) is None
