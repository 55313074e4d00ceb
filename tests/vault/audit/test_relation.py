from __future__ import annotations

import random

import pytest

from core.clock import new_id
from vault.audit import relation
from vault.audit.relation import Relations, Rewrapped, record


@pytest.fixture(params=[1 << 17, 7])
def small_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """In memory, and in many runs on the disk that are read in tiny blocks."""
    monkeypatch.setattr(relation, "_RUN", request.param)
    monkeypatch.setattr(relation, "_BLOCK", 3)
    return int(request.param)


def judged(records: list[bytes]) -> list[object]:
    relations = Relations()
    for one in records:
        relations.add(one)
    found = list(relations.judged())
    relations.close()
    return found


def test_ids_that_stand_once_say_nothing(small_runs: int) -> None:
    ids = [new_id() for _ in range(500)]
    random.shuffle(ids)
    assert judged([record(one, relation.ENTRY, index) for index, one in enumerate(ids)]) == []


def test_repeated_ids_are_found_wherever_they_lie(small_runs: int) -> None:
    ids = [new_id() for _ in range(300)]
    entries = [record(one, relation.ENTRY, index) for index, one in enumerate(ids)]
    twice = [record(ids[place], relation.ENTRY, 300 + count) for count, place in enumerate((0, 7, 150, 299))]
    found = judged([*entries, *twice])
    assert {(one.code, one.entry, one.why) for one in found} == {  # type: ignore[attr-defined]
        ("verify.id", 300, "entry 0"), ("verify.id", 301, "entry 7"), ("verify.id", 302, "entry 150"),
        ("verify.id", 303, "entry 299"),
    }  # fmt: skip


def test_an_id_with_more_records_than_a_block_is_judged_as_one(small_runs: int) -> None:
    one = new_id()
    records = [record(one, relation.SEALING, 0), record(one, relation.NO_OBJECT, 0)]
    records += [record(one, relation.OBJECT_REWRAPPED, index) for index in range(1, 40)]
    records += [record(new_id(), relation.ENTRY, index) for index in range(40, 60)]
    finding, rewrapped = judged(records)
    assert finding.code == "verify.object"  # type: ignore[attr-defined]
    assert rewrapped == Rewrapped(0, 39, None)


@pytest.mark.parametrize(
    ("gap", "allowed", "refused"),
    [
        (relation.NO_BODY_KEY, relation.BODY_REWRAPPED, relation.OBJECT_REWRAPPED),
        (relation.NO_OBJECT_KEY, relation.OBJECT_REWRAPPED, relation.BODY_REWRAPPED),
        (relation.NO_OBJECT, relation.DISPOSED, relation.OBJECT_REWRAPPED),
        (relation.NO_OBJECT_BUCKET, relation.DISPOSED, relation.BODY_REWRAPPED),
        (relation.NO_BODY_BUCKET, relation.DISPOSED, relation.DESTROYED),
    ],
)
def test_only_what_a_later_entry_says_allows_a_gap(gap: bytes, allowed: bytes, refused: bytes) -> None:
    one = new_id()
    known = [record(one, relation.SEALING, 5), record(one, gap, 5)]

    def failures(tag: bytes, index: int) -> list[object]:
        found = judged([*known, record(one, tag, index)])
        return [each for each in found if not isinstance(each, Rewrapped)]

    assert failures(allowed, 6) == []
    assert failures(allowed, 4) != []
    assert failures(refused, 6) != []


def test_a_file_that_no_entry_seals_is_a_notice(small_runs: int) -> None:
    sealed, stray, plain = new_id(), new_id(), new_id()
    found = judged([
        record(sealed, relation.SEALING, 0), record(sealed, relation.FILE, 0), record(stray, relation.FILE, 0),
        record(plain, relation.ENTRY, 1), record(plain, relation.FILE, 0),
    ])  # fmt: skip
    assert {(one.code, one.file) for one in found} == {  # type: ignore[attr-defined]
        ("notice.extra_object", relation.object_file(stray)), ("notice.extra_object", relation.object_file(plain)),
    }  # fmt: skip
