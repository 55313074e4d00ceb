"""A row of noise is that row's matter; every other submission is read and sequenced as ever."""

from __future__ import annotations

import pytest
from crash.house import House
from sqlalchemy import select, text

from vault.log.column import NO_TIME
from vault.log.outbox import OutboxRow, RowState, pending_ids

NOISE = "cast(x'ff41fe' as text)"


def put(house: House, **columns: str) -> None:
    """A row as whoever owns the database's file could write it; values are SQL."""
    row = {
        "id": "'x'", "type": "'case'", "note": "'no note'", "state": "'pending'", "reason": "''",
        "made_at": "'2026-11-23 06:05:04.000000'",
    } | columns  # fmt: skip
    with house.db.writing() as session:
        session.execute(text(f"INSERT INTO outbox ({', '.join(row)}) VALUES ({', '.join(row.values())})"))  # noqa: S608  # ours


@pytest.mark.parametrize(
    "columns",
    [
        {"note": NOISE},
        {"note": "x'ff00'"},
        {"note": "5"},
        {"body": "'{no'"},
        {"body": NOISE},
        {"body": f"'{'[' * 5000}'"},
        {"body": "7"},
        {"body": "'text'", "key_slot": "'text'"},
        {"id": NOISE},
        {"type": NOISE},
        {"reason": NOISE},
        {"made_at": "'yesterday'"},
        {"made_at": NOISE},
        {"made_at": "17.5"},
        {"key_slot": "8"},
    ],
)
def test_noise_in_one_row_stops_no_other(house: House, columns: dict[str, str]) -> None:
    before = house.case()
    put(house, **columns)
    after = house.case()
    house.settle()
    assert [house.row(entry).state for entry in (before, after)] == [RowState.SEQUENCED] * 2
    strange = [row for row in house.rows() if row.id not in {before, after}]
    assert [row.state for row in strange] == [RowState.REFUSED]
    assert strange[0].body is None
    refusals = [leaf for leaf in house.reader.leaves() if leaf.type == "refusal"]
    assert len(refusals) == 1


def test_two_rows_of_noise_are_refused_once_each(house: House) -> None:
    put(house, id=NOISE, note="'one'")
    put(house, id="'strange'", note=NOISE)
    house.settle()
    assert {row.state for row in house.rows()} == {RowState.REFUSED}
    assert len([leaf for leaf in house.reader.leaves() if leaf.type == "refusal"]) == 2


def test_noise_reads_as_nothing_anybody_signed(house: House) -> None:
    put(house, note=NOISE, body=NOISE, made_at=NOISE)
    [row] = house.rows()
    assert (row.note, row.body, row.made_at) == ("\ufffdA\ufffd", {}, NO_TIME)


def test_what_is_whole_reads_as_it_was_written(house: House) -> None:
    entry = house.case(body={"title": "案件"})
    row = house.row(entry)
    assert row.body is not None
    assert row.body["fields"] == {"title": "案件"}
    assert row.made_at.tzinfo is not None
    with house.db.reading() as session:
        chosen = select(OutboxRow.id).where(OutboxRow.type == "case")
        assert session.scalars(select(OutboxRow.seq).where(OutboxRow.id.in_(chosen))).all() == [row.seq]
        assert pending_ids(session) == {entry}
