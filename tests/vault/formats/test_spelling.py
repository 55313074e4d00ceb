"""The grammar of an entry against the long way round: whatever it accepts, that accepts, and reads the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.clock import parse_stamp, stamp
from vault.formats import spelling
from vault.formats.entry import BodyCommitment, EntryError, Leaf, ObjectCommitment, is_stamp
from vault.formats.payload import sealed_size

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ulids = st.from_regex(spelling.ULID, fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
buckets = st.from_regex(spelling.BUCKET, fullmatch=True)
moments = st.datetimes(timezones=st.just(UTC)).map(stamp)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=8)
    | st.just(',"id":"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
objects = st.builds(
    lambda size, *digest, bucket: ObjectCommitment(digest[0], size, digest[1], sealed_size(size), bucket, digest[2]),
    st.integers(0, 1 << 50), digests, digests, digests, bucket=buckets,
)  # fmt: skip
leaves = st.builds(
    Leaf,
    id=ulids,
    type=st.from_regex(spelling.TYPE, fullmatch=True),
    time=moments,
    by=st.from_regex(spelling.NAME, fullmatch=True),
    actor=st.none() | ulids,
    about=st.lists(ulids, unique=True, max_size=3).map(tuple),
    facts=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6), values, max_size=4
    ).filter(lambda facts: "\\ud" not in repr(facts)),
    object=st.none() | objects,
    body=st.none() | st.builds(BodyCommitment, digests, digests, buckets, digests),
)


def slowly(raw: bytes) -> Leaf | None:
    try:
        return Leaf._parse_slowly(raw)  # the two ways are compared
    except EntryError:
        return None


def parsed(raw: bytes) -> Leaf | None:
    try:
        return Leaf.parse(raw)
    except EntryError:
        return None


@given(leaves)
def test_an_entry_reads_the_same_both_ways(leaf: Leaf) -> None:
    raw = leaf.canonical()
    read = Leaf.parse(raw)
    assert read == slowly(raw) == leaf
    assert (read.canonical(), read.hash()) == (raw, leaf.hash())


@settings(max_examples=400)
@given(leaves, st.data())
def test_an_entry_that_was_changed_is_judged_the_same_both_ways(leaf: Leaf, draw: st.DataObject) -> None:
    raw = leaf.canonical()
    at = draw.draw(st.integers(0, len(raw)))
    piece = draw.draw(
        st.sampled_from(
            [b"", b" ", b"0", b"-", b"9", b"a", b"U", b'"', b",", b"}", b"{}", b"\xc3\xa9", b"\n", b'"x":1,']
        )
        | st.integers(0, len(raw)).map(lambda start: raw[start : start + 20])
    )
    changed = raw[:at] + piece + raw[at + draw.draw(st.integers(0, 3)) :]
    assert parsed(changed) == slowly(changed)


@given(
    st.text(max_size=30) | moments | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fullmatch=True)
)
@example("2026-02-29T00:00:00.000000Z")
@example("0000-01-01T00:00:00.000000Z")
@example("2026-11-23T24:00:00.000000Z")
@example("2026-11-23T23:59:60.000000Z")
@example("2026-11-23T06:05:04.000123z")
@example("\u0662026-11-23T06:05:04.000123Z")
@example("2026-11-23T06:05:04.000123Z\n")
def test_a_time_is_one_exactly_when_the_clock_reads_it(text: str) -> None:
    assert is_stamp(text) == clock_reads(text)


def clock_reads(text: str) -> bool:
    try:
        return stamp(parse_stamp(text)) == text
    except ValueError:
        return False


def test_the_clock_of_this_moment_is_a_time() -> None:
    assert is_stamp(stamp(datetime.now(UTC)))


@pytest.mark.parametrize("noise", [None, 5, b"2026", [], ("x",)])
def test_what_is_no_text_is_nothing(noise: Any) -> None:
    for is_one in (
        spelling.is_ulid,
        spelling.is_type,
        spelling.is_name,
        spelling.is_bucket,
        spelling.is_sha256,
        is_stamp,
    ):
        assert not is_one(noise)


WHOLE = Leaf(
    id=ULID, type="ingest", time="2026-11-23T06:05:04.000123Z", by="dockd", facts={"note": ',"id":"'}
)


def test_what_the_log_holds_every_day_takes_the_faster_way() -> None:
    assert spelling.read(WHOLE.canonical()) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"facts":{"note":",\\"id\\":\\""},', b'"facts":{},'),
        (b'"facts":{"note":",\\"id\\":\\""},', b'"facts":[],'),
        (b'"facts":{"note":",\\"id\\":\\""},', b'"facts":{"b":1,"a":2},'),
        (b"11-23", b"02-30"),
        (b'"v":1}', b'"v":1}\n'),
        (b'"v":1}', b'"v":2}'),
        (b'{"by"', b'{ "by"'),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_with_a_reason(old: bytes, new: bytes) -> None:
    raw = WHOLE.canonical().replace(old, new)
    assert raw != WHOLE.canonical()
    assert spelling.read(raw) is None
    with pytest.raises(EntryError):
        Leaf.parse(raw)


def test_sizes_that_do_not_fit_are_refused_the_faster_way_too() -> None:
    sealed = ObjectCommitment("a" * 64, 70_000, "b" * 64, sealed_size(70_000), "A-2026-11", "c" * 64)
    raw = Leaf(id=ULID, type="ingest", time=WHOLE.time, by="dockd", object=sealed).canonical()
    for old, new in ((b'"size":70000', b'"size":70001'), (b"70000", b"9999999999999999")):
        changed = raw.replace(old, new)
        assert spelling.read(changed) is not None
        with pytest.raises(EntryError):
            Leaf.parse(changed)


def test_a_subject_named_twice_is_refused_the_faster_way_too() -> None:
    raw = Leaf(id=ULID, type="view", time=WHOLE.time, by="console", about=(ULID,)).canonical()
    changed = raw.replace(f'["{ULID}"]'.encode(), f'["{ULID}","{ULID}"]'.encode())
    assert spelling.read(changed) is not None
    with pytest.raises(EntryError):
        Leaf.parse(changed)
