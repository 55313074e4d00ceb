from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.canonical import CanonicalError, decode, encode

LARGEST = 2**53 - 1  # RFC 8785 section 3.2.2.3: integers a double can hold exactly

text = st.text(st.characters(exclude_categories=["Cs"]))
leaf = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | text
value = st.recursive(leaf, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)
facts = st.dictionaries(text, value)


@given(facts)
def test_facts_come_back_as_they_were(fact: dict[str, object]) -> None:
    assert decode(encode(fact)) == fact


@given(facts)
def test_the_order_of_keys_does_not_matter(fact: dict[str, object]) -> None:
    assert encode(dict(reversed(fact.items()))) == encode(fact)


@given(facts)
def test_another_spelling_of_the_same_facts_is_refused(fact: dict[str, object]) -> None:
    for other in (
        json.dumps(fact, indent=1).encode(),
        json.dumps(fact, ensure_ascii=True, sort_keys=True, separators=(", ", ": ")).encode(),
        encode(fact) + b"\n",
        b" " + encode(fact),
        encode(fact).decode().encode("utf-16"),
        b"\xef\xbb\xbf" + encode(fact),
    ):
        if other != encode(fact):
            with pytest.raises(CanonicalError):
                decode(other)


@given(st.binary(max_size=60))
def test_outside_bytes_give_facts_or_one_kind_of_error(raw: bytes) -> None:
    try:
        fact = decode(raw)
    except CanonicalError:
        return
    assert encode(fact) == raw


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        # RFC 8785 section 3.2.3: sorted by UTF-16 code units, so the surrogate pair goes before U+FB33
        ({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7},
         '{"\\r":2,"1":4,"\x80":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}'),
        ({"a": "\u20ac$\x0f\nA'B\"\\\\\"/"}, '{"a":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
        ({"numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27]},
         '{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'),
        ({}, "{}"),
    ],
)  # fmt: skip
def test_the_standards_own_examples(fact: dict[str, object], expected: str) -> None:
    assert encode(fact) == expected.encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"7", b"\xff\xfe", b'{"a":1,"a":1}', b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a":1.0}', b'{"a":1e2}', b'{"a":-0}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}',
        b'{"a":9007199254740993}', b'{"a":"\\u0041"}', b'{"a":"\\/"}', b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":' + b"9" * 5000 + b"}", b'{"a":' + b"[" * 100_000, b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"a":1}\n', b'{"a": 1}', b'{"a":1}{}',
    ],
)  # fmt: skip
def test_bytes_that_are_not_canonical_are_refused(raw: bytes) -> None:
    with pytest.raises(CanonicalError):
        decode(raw)


@pytest.mark.parametrize(
    "unsayable",
    [{"a": float("nan")}, {"a": float("inf")}, {"a": LARGEST + 1}, {"a": b"bytes"}, {"a": {1, 2}}, {1: "a"},
     {"a": "\ud800"}, {"\ud800": 1}, {"a": object()}],
)  # fmt: skip
def test_what_json_cannot_say_is_refused(unsayable: object) -> None:
    with pytest.raises(CanonicalError):
        encode(unsayable)


def test_a_value_nested_without_end_is_refused() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    with pytest.raises(CanonicalError):
        encode(endless)
