"""The faster way of writing canonical JSON against the library written for the standard: never a byte apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum, StrEnum

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from core import canonical
from core.canonical import CanonicalError, decode, encode

LARGEST = 2**53 - 1


class Number(IntEnum):
    ONE = 1


class Word(StrEnum):
    ONE = "one"


class Text(str):
    __slots__ = ()


any_text = st.text(st.characters())  # lone surrogates too
strange = st.sampled_from([Number.ONE, Word.ONE, Text("x"), b"bytes", {1, 2}, object(), 1 + 2j])
leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-LARGEST - 1, LARGEST + 1)
    | st.floats()
    | any_text
)
keys = any_text | st.integers() | st.none() | st.booleans()
anything = st.recursive(
    leaf | strange,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner),
    max_leaves=12,
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def outcome(write: Callable[[object], bytes], value: object) -> bytes | None:
    try:
        return write(value)
    except (CanonicalError, rfc8785.CanonicalizationError, UnicodeEncodeError):
        return None


@given(anything)
@example({"\ufb33": 1, "\U0001f600": 2})
@example({"a": Number.ONE, "b": Word.ONE})
@example([True, 1, 1.0, -0.0, LARGEST, -LARGEST])
@example('\x7f\x80\u2028\u2029\x00\x1f"\\/')
@example({True: 1})
def test_every_value_is_written_or_refused_as_the_library_does(value: object) -> None:
    assert outcome(encode, value) == outcome(rfc8785.dumps, value)  # type: ignore[arg-type]


@given(plain)
def test_plain_values_are_written_as_the_library_does(value: object) -> None:
    assert encode(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(st.dictionaries(any_text, anything))
def test_what_the_faster_way_reads_the_slower_reads_alike(value: dict[str, object]) -> None:
    raw = outcome(encode, value)
    if raw is None:
        return
    quick = canonical._decode_plain(raw)  # the two ways are compared
    assert quick is None or quick == canonical._decode_any(raw)
    try:
        assert encode(decode(raw)) == raw
    except CanonicalError:
        assert quick is None  # a float beyond 2**53 has the spelling of a whole number that is too large


@given(st.dictionaries(st.text(max_size=3), plain, max_size=4), st.data())
def test_bytes_that_were_changed_are_judged_alike(value: dict[str, object], draw: st.DataObject) -> None:
    raw = bytearray(encode(value))
    at = draw.draw(st.integers(0, len(raw) - 1))
    raw[at : at + draw.draw(st.integers(0, 2))] = draw.draw(
        st.sampled_from([b"", b" ", b"0", b"1.0", b"-0", b'"', b","])
    )
    changed = bytes(raw)
    quick = canonical._decode_plain(changed)
    if quick is not None:
        assert rfc8785.dumps(quick) == changed
        assert json.loads(changed) == quick


@pytest.mark.parametrize(
    "value", [{"a": 1, "b": [True, None, "x"]}, {"\u4fdd": "\u9669\u5e93"}, {"n": -LARGEST}]
)
def test_what_entries_consist_of_takes_the_faster_way(value: dict[str, object]) -> None:
    assert canonical._decode_plain(encode(value)) == value


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1.5}',
        b'{"a":9007199254740993}',
        b'{"a":-0}',
        '{"\U0001f600":1}'.encode(),
        b'{"a":1} ',
        b" {}",
        b"[]",
        b"",
    ],
)
def test_everything_else_takes_the_slower_way(raw: bytes) -> None:
    assert canonical._decode_plain(raw) is None
