"""Reading back what lies on the medium: the right digest with the next buffer on its way."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from vault.store import medium
from vault.store.medium import CancelledError, MediumError, Reader

ROOM = medium._READ_BACK_ROOM
SIZES = (0, 1, 4095, 4096, 4097, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM, 3 * ROOM + 4097)


def written(path: Path, size: int) -> bytes:
    content = os.urandom(size)
    path.write_bytes(content)
    return content


class Failing(Reader):
    """A disk that refuses to give back what lies at one place."""

    def __init__(self, place: int, code: int, times: int = 1 << 30) -> None:
        super().__init__()
        self.place, self.code, self.times = place, code, times

    def fetch(self, descriptor: int, room: memoryview, place: int) -> int:
        if place == self.place and self.times:
            self.times -= 1
            raise OSError(self.code, os.strerror(self.code))
        return super().fetch(descriptor, room, place)


class Short(Reader):
    """A kernel that gives less than was asked for, as it may."""

    def fetch(self, descriptor: int, room: memoryview, place: int) -> int:
        return super().fetch(descriptor, room[: 64 * 1024], place)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [Reader, Short])
def test_size_and_digest_are_those_of_the_file(tmp_path: Path, kind: type[Reader], size: int) -> None:
    content = written(tmp_path / "x", size)
    found = kind().digest(tmp_path / "x")
    assert (found.size, found.sha256) == (size, sha256(content).hexdigest())


def test_one_reader_reads_one_file_after_another(tmp_path: Path) -> None:
    reader = Reader()
    for size in (3 * ROOM, 5, ROOM + 7, 0):
        content = written(tmp_path / "x", size)
        assert reader.digest(tmp_path / "x").sha256 == sha256(content).hexdigest()


@pytest.mark.parametrize("refused", ["open", "read"])
def test_where_nothing_is_read_directly_the_cache_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    content, dropped = written(tmp_path / "x", 2 * ROOM + 3), []
    really, advise = os.open, os.posix_fadvise

    def refuse(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags, *rest)

    def note(descriptor: int, offset: int, length: int, advice: int) -> None:
        dropped.append(advice)
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    if refused == "open":
        monkeypatch.setattr(os, "open", refuse)
    reader = Reader() if refused == "open" else Failing(ROOM, errno.EINVAL, times=1)
    assert reader.digest(tmp_path / "x").sha256 == sha256(content).hexdigest()
    assert dropped == [os.POSIX_FADV_DONTNEED]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", [0, ROOM, 2 * ROOM])
def test_a_bad_medium_is_told_by_whichever_thread_reads(tmp_path: Path, place: int) -> None:
    content, reader = written(tmp_path / "x", 3 * ROOM), Failing(place, errno.EIO, times=1)
    with pytest.raises(MediumError, match="Input/output error"):
        reader.digest(tmp_path / "x")
    assert reader.digest(tmp_path / "x").sha256 == sha256(content).hexdigest()


@pytest.mark.parametrize("place", [0, ROOM])
def test_what_says_nothing_of_the_medium_stays_what_it_is(tmp_path: Path, place: int) -> None:
    written(tmp_path / "x", 2 * ROOM)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        Failing(place, errno.ENOMEM).digest(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        Reader().digest(tmp_path / "y")


@pytest.mark.timeout(20)
def test_who_cancels_waits_for_one_buffer_at_most(tmp_path: Path) -> None:
    written(tmp_path / "x", 4 * ROOM)
    cancel, places = threading.Event(), []

    class Counting(Reader):
        def fetch(self, descriptor: int, room: memoryview, place: int) -> int:
            places.append(place)
            cancel.set()
            return super().fetch(descriptor, room, place)

    with pytest.raises(CancelledError):
        Counting().digest(tmp_path / "x", cancel)
    assert places == [0, ROOM]


def descriptors() -> int:
    gc.collect()  # what earlier tests left open
    return len(list(Path("/proc/self/fd").iterdir()))


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")}


def test_neither_threads_nor_descriptors_are_left(tmp_path: Path) -> None:
    written(tmp_path / "x", 2 * ROOM)
    before, running = descriptors(), helpers()
    for reader in (Reader(), Failing(ROOM, errno.EIO), Failing(0, errno.EIO)):
        for _ in range(3):
            with suppress(MediumError):
                reader.digest(tmp_path / "x")
    del reader
    for _ in range(100):
        gc.collect()
        if helpers() <= running:
            break
        time.sleep(0.02)
    assert helpers() <= running
    assert descriptors() == before
