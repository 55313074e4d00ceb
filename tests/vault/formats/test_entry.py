from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.canonical import decode, encode
from vault.error import VaultError
from vault.formats.entry import (
    BodyCommitment,
    EntryError,
    Leaf,
    ObjectCommitment,
    is_ulid,
    pack_bundle,
    unpack_bundle,
)
from vault.formats.payload import sealed_size

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OTHER = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
TIME = "2026-11-23T06:05:04.000123Z"
SEALED = ObjectCommitment("a" * 64, 70_000, "b" * 64, sealed_size(70_000), "A-2026-11", "c" * 64)
BODY = BodyCommitment("d" * 64, "e" * 64, "facts", "f" * 64)
WHOLE = Leaf(
    id=ULID, type="ingest", time=TIME, by="dockd", actor=OTHER, about=(OTHER, ULID),
    facts={"origin": "dock", "media": "video", "n": 3, "list": [1, {"deep": True}]}, object=SEALED, body=BODY,
)  # fmt: skip
LEAST = Leaf(id=ULID, type="genesis", time=TIME, by="vaultd")


@pytest.mark.parametrize("leaf", [WHOLE, LEAST])
def test_an_entry_reads_back(leaf: Leaf) -> None:
    assert Leaf.parse(leaf.canonical()) == leaf


def test_what_is_not_there_is_left_out() -> None:
    assert decode(LEAST.canonical()) == {"by": "vaultd", "id": ULID, "time": TIME, "type": "genesis", "v": 1}


def test_one_entry_has_one_leaf_hash() -> None:
    assert Leaf.parse(WHOLE.canonical()).hash() == WHOLE.hash() != LEAST.hash()


def changed(**changes: Any) -> bytes:
    value = decode(WHOLE.canonical())
    for path, new in changes.items():
        *parents, last = path.split("__")
        place = value
        for parent in parents:
            place = place[parent]
        if new is ...:
            del place[last]
        else:
            place[last] = new
    return encode(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"v": ...},
        {"id": ...},
        {"id": ULID.lower()},
        {"id": "8" + ULID[1:]},
        {"id": ULID[:-1] + "U"},
        {"id": ULID + "\n"},
        {"id": 5},
        {"type": "Ingest"},
        {"type": ""},
        {"type": "x" * 33},
        {"by": "dock d"},
        {"by": None},
        {"time": "2026-11-23T06:05:04Z"},
        {"time": "2026-11-23T06:05:04.123Z"},
        {"time": "2026-11-23T06:05:04.000123+00:00"},
        {"time": "2026-1-3T6:5:4.000123Z"},
        {"time": 1},
        {"actor": None},
        {"actor": "somebody"},
        {"actor": [ULID]},
        {"about": []},
        {"about": ULID},
        {"about": [ULID, ULID]},
        {"about": [[ULID]]},
        {"about": None},
        {"facts": {}},
        {"facts": []},
        {"facts": "text"},
        {"facts": None},
        {"object": None},
        {"object": {}},
        {"object": "x"},
        {"object__size": -1},
        {"object__size": 70_001},
        {"object__size": True},
        {"object__size": 70_000.5},
        {"object__stored_size": 70_000},
        {"object__sha256": "A" * 64},
        {"object__sha256": "a" * 63},
        {"object__header_sha256": None},
        {"object__bucket": "../facts"},
        {"object__bucket": ".facts"},
        {"object__bucket": ""},
        {"object__bucket": 5},
        {"object__more": 1},
        {"object__bucket": ...},
        {"body": None},
        {"body__sha256": "g" * 64},
        {"body__size": 5},
        {"surprise": 1},
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EntryError):
        Leaf.parse(changed(**changes))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        WHOLE.canonical() + b"\n",
        WHOLE.canonical().replace(b'":', b'": ', 1),
        LEAST.canonical().replace(b'"v":1', b'"v":1.0'),
        LEAST.canonical().replace(b'{"by"', b'{"by":"vaultd","by"'),
        b'{"v":NaN}',
        b'{"v":1e999}',
        b'{"v":' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 20_000,
        b"\xff",
        b"x" * 65_536,
    ],
)
def test_another_spelling_is_refused(raw: bytes) -> None:
    with pytest.raises(EntryError):
        Leaf.parse(raw)


def test_an_entry_fits_its_bundle() -> None:
    room = 65_535 - len(replace(LEAST, facts={"x": ""}).canonical())
    assert len(replace(LEAST, facts={"x": "y" * room}).canonical()) == 65_535
    with pytest.raises(EntryError, match="65535"):
        replace(LEAST, facts={"x": "y" * (room + 1)})


def test_facts_nested_beyond_reason_are_refused() -> None:
    facts: Any = 1
    for _ in range(20):
        facts = [facts]
    with pytest.raises(EntryError, match="deeply"):
        replace(LEAST, facts={"x": facts})


def test_facts_that_json_cannot_say_are_refused() -> None:
    for value in (float("nan"), 2**60, object(), b"bytes", "\ud800"):
        with pytest.raises(EntryError):
            replace(LEAST, facts={"x": value})


def test_an_entry_may_name_a_session_of_256_recordings() -> None:
    about = tuple(f"01ARZ3NDEKTSV4RRFFQ69G{n:04d}" for n in range(256))
    assert Leaf.parse(replace(LEAST, about=about).canonical()).about == about


def test_ulids() -> None:
    assert is_ulid(ULID)
    assert not is_ulid(ULID + "\n")
    assert not is_ulid(None)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_reads_back(entries: list[bytes]) -> None:
    assert unpack_bundle(pack_bundle(entries)) == entries


@given(st.binary(max_size=400))
def test_any_bundle_is_read_or_refused(raw: bytes) -> None:
    try:
        entries = unpack_bundle(raw)
    except VaultError:
        return
    assert pack_bundle(entries) == raw


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
)
def test_any_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(VaultError):
        Leaf.parse(raw)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["v", "id", "type", "time", "by", "actor", "about", "facts", "object", "body"]), JSON
    )
)
def test_any_object_is_read_or_refused(value: dict[str, Any]) -> None:
    for candidate in (value, {**decode(WHOLE.canonical()), **value}):
        raw = encode(candidate)
        try:
            leaf = Leaf.parse(raw)
        except VaultError:
            continue
        assert leaf.canonical() == raw
