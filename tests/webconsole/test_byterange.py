from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webconsole.byterange import LARGEST_PIECE, Span, UnsatisfiableRangeError, requested_span

SIZES = st.integers(0, 3 * LARGEST_PIECE)


def reference(header: str, content: bytes) -> bytes | str | None:
    """RFC 9110 section 14.1.2 on real bytes, one range, no limit on the piece."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    assert match is not None
    first, last = match.groups()
    if not first:
        chosen = content[-int(last) :] if int(last) else b""
    else:
        if last and int(last) < int(first):
            return None
        chosen = content[int(first) : int(last) + 1] if last else content[int(first) :]
    return chosen or "unsatisfiable"


@given(
    size=st.integers(0, 300),
    first=st.one_of(st.none(), st.integers(0, 400)),
    last=st.one_of(st.none(), st.integers(0, 400)),
)
def test_a_small_range_is_what_slicing_says(size: int, first: int | None, last: int | None) -> None:
    if first is None and last is None:
        return
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    content = bytes(i % 251 for i in range(size))
    expected = reference(header, content)
    if expected == "unsatisfiable":
        with pytest.raises(UnsatisfiableRangeError):
            requested_span(header, size)
        return
    span = requested_span(header, size)
    assert (None if span is None else content[span.start : span.stop]) == expected


@given(size=SIZES, start=st.integers(0, 4 * LARGEST_PIECE))
def test_an_open_range_gets_at_most_one_piece(size: int, start: int) -> None:
    if start >= size:
        with pytest.raises(UnsatisfiableRangeError):
            requested_span(f"bytes={start}-", size)
        return
    span = requested_span(f"bytes={start}-", size)
    assert span is not None
    assert span.start == start
    assert span.length == min(LARGEST_PIECE, size - start)
    assert span.content_range == f"bytes {span.start}-{span.stop - 1}/{size}"


@given(header=st.text(max_size=60) | st.text(alphabet="bytes=-, 0123456789", max_size=30), size=SIZES)
def test_any_header_is_a_span_inside_the_file_or_ignored_or_unsatisfiable(header: str, size: int) -> None:
    try:
        span = requested_span(header, size)
    except UnsatisfiableRangeError:
        return
    assert span is None or 0 <= span.start < span.stop <= size


@pytest.mark.parametrize(
    "header", [None, "", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-5", "bytes=a-b"]
)
def test_what_is_no_single_range_is_answered_whole(header: str | None) -> None:
    assert requested_span(header, 100) is None


def test_the_unit_is_not_case_sensitive() -> None:
    assert requested_span("Bytes=0-0", 10) == Span(0, 1, 10)
