"""The segment index, checked against FFmpeg's own reader and against nonsense."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.footage import clip

from media.fragment import FragmentedStream, FragmentError, boxes, child


def cut(content: bytes, size: int) -> tuple[bytes, bytes]:
    """Head and body of a stream that comes in pieces of `size` bytes."""
    stream = FragmentedStream()
    body = b"".join(
        piece for i in range(0, len(content), size) for piece in stream.feed(content[i : i + size])
    )
    return stream.head(), body


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_head_and_body_are_the_stream_with_an_index_between(size: int) -> None:
    content = clip("fragmented").read_bytes()
    head, body = cut(content, size)
    kinds = [kind for kind, _ in boxes(memoryview(head + body))]
    assert kinds[:3] == [b"ftyp", b"moov", b"sidx"]
    assert content.endswith(body)
    assert head[: len(content) - len(body)] == content[: -len(body)]


def test_the_index_points_at_every_fragment_and_ends_with_the_file() -> None:
    head, body = cut(clip("fragmented").read_bytes(), 1 << 16)
    sidx = child(memoryview(head), b"sidx")
    timescale, count = struct.unpack_from(">I", sidx, 8)[0], struct.unpack_from(">H", sidx, 30)[0]
    lines = [struct.unpack_from(">III", sidx, 32 + 12 * i) for i in range(count)]
    place = 0
    for size, _, sap in lines:
        assert body[place + 4 : place + 8] == b"moof"
        assert sap == 0x90000000
        place += size
    assert body[place + 4 : place + 8] in {b"mfra", b""}
    assert sum(duration for _, duration, _ in lines) / timescale == pytest.approx(4.0, abs=0.2)


def test_a_stream_that_breaks_off_has_no_head() -> None:
    content = clip("fragmented").read_bytes()
    with pytest.raises(FragmentError):
        cut(content[: len(content) // 2], 4096)
    with pytest.raises(FragmentError):
        cut(content[:40], 4096)
    with pytest.raises(FragmentError):
        FragmentedStream().head()


@given(st.data())
def test_changed_streams_fail_with_one_error_or_give_a_head(data: st.DataObject) -> None:
    content = bytearray(clip("fragmented").read_bytes()[:40_000])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    with suppress(FragmentError):
        assert cut(bytes(content), 1 << 16)[0].startswith(content[:4])


@given(st.binary(max_size=400))
def test_nonsense_fails_with_one_error(content: bytes) -> None:
    with pytest.raises(FragmentError):
        cut(content, 64)
