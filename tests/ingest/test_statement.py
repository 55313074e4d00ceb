"""The omission statement: whole, in pages, and put together again."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.canonical import Json, encode
from core.clock import new_id, stamp, utc_now
from devices.condition import Act, ClockReading, Condition
from devices.unwritten import Untouched
from ingest import statement as module
from ingest.log_rule import SessionFacts, StatementFacts
from ingest.sequence import NumberGap, TimeGap
from ingest.statement import (
    INLINE_BYTES,
    PAGE_BYTES,
    Fate,
    Rows,
    StatementError,
    condition_facts,
    joined,
    make_statement,
    sealable,
    untouched_facts,
)
from vault.store.keys import BODY_LIMIT

DAY = datetime(2026, 11, 23, 8)  # noqa: DTZ001  # a recorder's own clock has no zone


def made(count: int, *, gaps: int = 0) -> Json:
    rows = Rows()
    for number in range(count):
        rows.kept(Fate.TAKEN if number % 3 else Fate.NOT_REREAD, new_id(), None if number % 3 else number)
    number_gaps = [NumberGap("2026-11-23", 2 * n, 2 * n, new_id(), new_id()) for n in range(gaps)]
    time_gaps = [TimeGap(new_id(), new_id(), None, DAY + timedelta(minutes=n), 60) for n in range(gaps)]
    return make_statement({"session": new_id()}, rows, number_gaps, time_gaps, [])


def test_sixty_thousand_files_fit_into_bodies_and_come_back_whole() -> None:
    whole = made(60_000, gaps=1000)
    sealed = sealable(whole)
    assert 1 < len(sealed.pages) < 10
    assert len(encode(sealed.head)) < INLINE_BYTES
    assert all(len(encode(page.lists)) <= PAGE_BYTES + 1000 < BODY_LIMIT - 10_000 for page in sealed.pages)
    assert joined(sealed.head, [page.lists for page in sealed.pages]) == whole
    counts = sealed.counts()
    assert (counts["listed"], counts["omitted"], counts["number_gaps"]) == (60_000, 0, 1000)
    facts = {
        "session": whole["session"],
        "files": 60_000,
        "bytes": 1,
        "outcome": "complete",
        "statement": counts,
    }
    SessionFacts.model_validate_json(encode(facts))
    StatementFacts.model_validate_json(encode({"session": whole["session"], "page": 1, "pages": 4}))


def test_a_short_statement_is_the_body_itself() -> None:
    whole = made(10)
    sealed = sealable(whole)
    assert (sealed.head, sealed.pages) == (whole, ())
    assert joined(whole, []) == whole


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), gaps=st.integers(0, 30), page=st.integers(200, 3000))
def test_however_it_is_cut_it_is_the_same_statement(count: int, gaps: int, page: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INLINE_BYTES", 100)
        patch.setattr(module, "PAGE_BYTES", page)
        whole = made(count, gaps=gaps)
        sealed = sealable(whole)
        assert all(page.lists for page in sealed.pages)
        assert joined(sealed.head, [page.lists for page in sealed.pages]) == whole


def without_one(pages: list[Json]) -> list[Json]:
    return pages[:-1]


def in_another_order(pages: list[Json]) -> list[Json]:
    return pages[::-1]


def with_a_row_less(pages: list[Json]) -> list[Json]:
    return [{"files": pages[0]["files"][1:]}, *pages[1:]]


@pytest.mark.parametrize("changed", [without_one, in_another_order, with_a_row_less])
def test_pages_that_are_not_those_that_were_sealed_are_refused(changed: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INLINE_BYTES", 100)
        patch.setattr(module, "PAGE_BYTES", 500)
        sealed = sealable(made(30))
    with pytest.raises(StatementError, match="not the one that was sealed"):
        joined(sealed.head, changed([page.lists for page in sealed.pages]))
    forged = sealed.head | {"counts": {"taken": 1}}
    with pytest.raises(StatementError, match="do not make it"):
        joined(forged, [page.lists for page in sealed.pages])


def test_rows_without_room_are_counted_by_fate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_BYTES", 300)
    rows = Rows()
    for number in range(20):
        rows.omitted(Fate.LEFT_OUT, f"{number}" * 60, size=number)
    rows.uncounted(Fate.REFUSED, 3)
    assert rows.counts == {"left_out": 20, "refused": 3}
    assert len(rows.files) + rows.unlisted["left_out"] == 20
    assert rows.unlisted["refused"] == 3
    assert 1 <= len(rows.files) < 5


def test_what_a_recorder_did_not_say_is_not_made_up() -> None:
    assert condition_facts(None) == condition_facts(Condition()) == {"clock": "unknown"}


def test_what_a_recorder_said_and_what_was_asked_of_it_is_told() -> None:
    now = utc_now()
    reading = ClockReading(now + timedelta(seconds=91), now, now + timedelta(milliseconds=200))
    told = condition_facts(
        Condition(
            80, 5, 10, "V1.2", reading, acts=(Act("unlock", changed=True), Act("battery", changed=False))
        )
    )
    assert told == {
        "battery_percent": 80, "free_bytes": 5, "capacity_bytes": 10, "firmware": "V1.2",
        "clock": {"offset_ms": 90_900, "uncertainty_ms": 1100, "measured_at": stamp(reading.station_after)},
        "acts": [{"command": "unlock", "changed": True}, {"command": "battery", "changed": False}],
    }  # fmt: skip


def test_the_proof_of_no_writing_says_what_it_rests_on() -> None:
    assert untouched_facts(None) is None
    assert untouched_facts(Untouched("write_counter", sectors_written=0)) == {
        "method": "write_counter", "sectors_written": 0, "holds": True,
    }  # fmt: skip
    written = SimpleNamespace(method="write_counter", sectors_written=8, holds=False)
    assert untouched_facts(written) == {"method": "write_counter", "sectors_written": 8, "holds": False}
