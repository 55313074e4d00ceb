from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.digest import sha256_hex
from ingest import plan
from ingest.plan import Edges, edges_of


class Content:
    """A stream over bytes that gives a few at a time."""

    def __init__(self, whole: bytes, step: int) -> None:
        self.size, self._whole, self._step, self._place = len(whole), whole, step, 0

    def readinto(self, buffer: memoryview, /) -> int:
        some = self._whole[self._place :][: min(self._step, len(buffer))]
        buffer[: len(some)] = some
        self._place += len(some)
        return len(some)

    def seek(self, offset: int) -> None:
        self._place = offset

    def close(self) -> None:
        """Nothing to let go of."""


@given(whole=st.binary(max_size=100), step=st.integers(1, 100))
def test_edges_seen_going_by_are_the_edges_read_later(whole: bytes, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "EDGE", 16)
        passing, stream = Edges(len(whole)), Content(whole, step)
        room, place = memoryview(bytearray(100)), 0
        while count := stream.readinto(room):
            passing.take(place, room[:count])
            place += count
        both = whole if len(whole) <= 32 else whole[:16] + whole[-16:]
        assert passing.hexdigest() == edges_of(Content(whole, step)) == sha256_hex(both)
