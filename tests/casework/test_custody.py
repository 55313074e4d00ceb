from __future__ import annotations

import csv
import io
from dataclasses import replace

from bureau.desk import Disclosed, Station

from casework.custody import CSV_COLUMNS, as_csv, as_json, chain
from casework.package.content import CustodyExtract
from casework.permission import Permission
from casework.viewing import flush_denied, record_denied, record_view
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
