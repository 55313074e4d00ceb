"""Files of which some ranges cannot be read."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.recorder import RefusedFile
from devices.tree import Refusal
from ingest import damage
from ingest.damage import PAGE, TolerantStream, missing_bytes, refusal


class BadCard:
    """A file whose bad pages give EIO, also when a read only touches one."""

    def __init__(self, whole: bytes, bad: set[int], error: OSError | None = None) -> None:
        self.size, self._whole, self._bad, self._place = len(whole), whole, bad, 0
        self._error = error or OSError(errno.EIO, "Input/output error")
        self.failed = 0

    def readinto(self, buffer: memoryview, /) -> int:
        some = self._whole[self._place :][: len(buffer)]
        pages = range(self._place // PAGE, -(-(self._place + len(some)) // PAGE))
        if some and self._bad.intersection(pages):
            self.failed += 1
            raise self._error
        buffer[: len(some)] = some
        self._place += len(some)
        return len(some)

    def seek(self, offset: int) -> None:
        self._place = offset

    def close(self) -> None:
        """Nothing to let go of."""


def stays(_patience_s: float) -> bool:
    return False


def read(stream: TolerantStream, room: int) -> bytes:
    buffer, content = memoryview(bytearray(room)), b""
    while count := stream.readinto(buffer):
        content += bytes(buffer[:count])
    return content


@given(
    pages=st.integers(2, 60), tail=st.integers(1, PAGE), room=st.integers(1, 20 * PAGE),
    bad=st.sets(st.integers(0, 59), max_size=20),
)  # fmt: skip
def test_what_could_be_read_is_kept_and_what_could_not_is_zero_and_named(
    pages: int, tail: int, room: int, bad: set[int]
) -> None:
    whole = bytes(range(1, 251)) * PAGE
    whole = whole[: (pages - 1) * PAGE + tail]
    bad = {page for page in bad if page < pages}
    stream = TolerantStream(BadCard(whole, bad), stays)
    if bad == set(range(pages)):
        with pytest.raises(OSError, match="Input/output"):
            read(stream, room)
        return
    content = read(stream, max(room, PAGE))
    expected = bytearray(whole)
    for start, end in stream.ranges:
        expected[start:end] = bytes(end - start)
    assert content == bytes(expected)
    named = {page for start, end in stream.ranges for page in range(start // PAGE, -(-end // PAGE))}
    assert bad <= named
    assert len(named) <= 2 * len(bad) + 1 + len(stream.ranges)
    places = [place for one in stream.ranges for place in one]
    assert places == sorted(set(places))


def test_a_file_of_which_nothing_can_be_read_is_not_made_up() -> None:
    with pytest.raises(OSError, match="Input/output"):
        read(TolerantStream(BadCard(b"x" * 9000, {0, 1, 2}), stays), PAGE)


@pytest.mark.parametrize(
    ("error", "has_left"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ENODEV, "No such device"), False),
        (OSError(errno.EIO, str(Refusal.CHANGED)), False),
    ],
)
def test_a_pull_and_a_changed_file_are_no_damage(error: OSError, has_left: bool) -> None:  # noqa: FBT001
    stream = TolerantStream(BadCard(b"x" * 9000, {1}, error), lambda _patience_s: has_left)
    with pytest.raises(OSError, match=str(error.strerror)):
        read(stream, 9000)
    assert stream.ranges == ()


def test_a_pull_at_the_last_bad_range_is_seen_at_the_end() -> None:
    asked: list[float] = []

    def left_late(patience_s: float) -> bool:
        asked.append(patience_s)
        return len(asked) > 2

    stream = TolerantStream(BadCard(b"x" * 3 * PAGE, {2}), left_late)
    with pytest.raises(OSError, match="Input/output"):
        read(stream, 3 * PAGE)


def test_a_dead_zone_costs_few_failing_reads_and_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 4096
    card = BadCard(b"x" * size * PAGE, set(range(10, 2000)))
    stream = TolerantStream(card, stays)
    read(stream, 256 * PAGE)
    assert card.failed < 30
    assert missing_bytes(stream.ranges) < 2 * 1990 * PAGE
    monkeypatch.setattr(damage, "PATIENCE_S", -1.0)
    stream = TolerantStream(BadCard(b"x" * 100 * PAGE, {10}), stays)
    read(stream, 256 * PAGE)
    assert stream.ranges == ((10 * PAGE, 100 * PAGE),)


def test_no_more_ranges_than_an_entry_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "RANGES_LIMIT", 5)
    stream = TolerantStream(BadCard(b"x" * 100 * PAGE, set(range(0, 100, 2))), stays)
    read(stream, 8 * PAGE)
    assert len(stream.ranges) == 6
    assert stream.ranges[-1] == (10 * PAGE, 100 * PAGE)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Refusal.UNREADABLE_DIRECTORY, "ingest.unreadable_entry"),
        (Refusal.SAME_NAME, "ingest.unreadable_entry"),
        (Refusal.SYMLINK, "ingest.refused_file"),
    ],
)
def test_a_sick_card_is_told_from_an_entry_that_no_recorder_makes(reason: Refusal, code: str) -> None:
    said = refusal(RefusedFile(b"20261124", "20261124", reason.value))
    assert said.code == code
    assert str(said).startswith("20261124 ")
    assert reason.value.replace("_", " ") in str(said)
