"""What the sandboxed tool may say, and what it may not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.error import EmptyFileError, MalformedIndexError, MediaError, TruncatedFileError
from media.section import MAGIC, parse

LIMITS = {"fact": 100, "post": 10}


def section(name: bytes, content: bytes = b"") -> bytes:
    return name + struct.pack(">I", len(content)) + content


DONE = section(b"done")


def test_sections_come_back_by_name() -> None:
    raw = MAGIC + section(b"fact", b"{}") + section(b"post", b"x") + DONE
    assert parse(raw, LIMITS) == {"fact": b"{}", "post": b"x"}


@pytest.mark.parametrize(
    "raw",
    [
        b"", MAGIC, MAGIC + b"fact", MAGIC + section(b"fact", b"{}"), b"other" + DONE,
        MAGIC + section(b"fact", b"x" * 101) + DONE, MAGIC + section(b"evil", b"") + DONE,
        MAGIC + section(b"fact", b"1") + section(b"fact", b"1") + DONE, MAGIC + DONE + b"more",
        MAGIC + b"fact\x00\x00\x00\x09{}" + DONE, MAGIC + section(b"done", b"x"),
        MAGIC + section(b"\xff\xfe\xfd\xfc") + DONE,
        MAGIC + section(b"no  ", b"who knows") + DONE, MAGIC + b"fact\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_anything_else_is_not_believed(raw: bytes) -> None:
    with pytest.raises(MalformedIndexError):
        parse(raw, LIMITS)


def test_a_refusal_is_its_own_error() -> None:
    with pytest.raises(TruncatedFileError):
        parse(MAGIC + section(b"no  ", b"truncated") + DONE, LIMITS)
    with pytest.raises(EmptyFileError):
        parse(MAGIC + section(b"fact", b"{}") + section(b"no  ", b"empty") + DONE, LIMITS)


@given(st.binary(max_size=200))
def test_no_bytes_raise_another_error(raw: bytes) -> None:
    try:
        parse(MAGIC + raw, LIMITS)
    except MediaError:
        return
    assert raw.endswith(DONE)
