"""Large files past the page cache: every byte once, every sealed chunk whole, and no error lost in the helper."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from vault.audit import stretch
from vault.audit.stretch import STRETCH, WHOLE_LIMIT, Stretches, open_medium
from vault.formats.age import SEALED_CHUNK_SIZE

SIZES = (
    1, 4095, 4096, 4097, SEALED_CHUNK_SIZE, STRETCH - 1, STRETCH, STRETCH + 1, 2 * STRETCH, 2 * STRETCH + 4097,
    129 * SEALED_CHUNK_SIZE, 3 * STRETCH - SEALED_CHUNK_SIZE - 1,
)  # fmt: skip
MEMORY = Path("/dev/shm")  # noqa: S108  # a tmpfs on every Linux
REFUSALS = (errno.EIO, errno.EBADMSG, errno.ESTALE)


def written(path: Path, size: int) -> bytes:
    content = os.urandom(size)
    path.write_bytes(content)
    return content


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = open_medium(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def read(descriptor: int, size: int, stretches: Stretches | None = None) -> tuple[bytes, list[bytes]]:
    """All pieces joined, and the runs of chunks."""
    pieces, runs = [], []
    with closing((stretches or Stretches()).read(descriptor, size)) as found:
        for piece, chunks in found:
            pieces.append(bytes(piece))
            runs.append(bytes(chunks))
    return b"".join(pieces), runs


def descriptors() -> int:
    gc.collect()  # what earlier tests left open
    return len(list(Path("/proc/self/fd").iterdir()))


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("verify-ahead")}


def left(before: set[threading.Thread]) -> set[threading.Thread]:
    """Helpers made since, once those that nobody needs had time to go."""
    for _ in range(100):
        gc.collect()
        if helpers() <= before:
            break
        time.sleep(0.02)
    return helpers() - before


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_comes_once_and_every_chunk_whole(tmp_path: Path, size: int) -> None:
    content = written(tmp_path / "x", size)
    with opened(tmp_path / "x") as descriptor:
        whole, runs = read(descriptor, size)
    assert whole == b"".join(runs) == content
    assert all(len(run) % SEALED_CHUNK_SIZE == 0 for run in runs[:-1])
    assert all(len(run) <= WHOLE_LIMIT for run in runs)


def test_the_buffers_serve_one_file_after_another(tmp_path: Path) -> None:
    stretches = Stretches()
    for size in (2 * STRETCH + 5, 7, STRETCH + 1):
        content = written(tmp_path / "x", size)
        with opened(tmp_path / "x") as descriptor:
            whole, runs = read(descriptor, size, stretches)
        assert whole == b"".join(runs) == content


def test_nothing_is_read_of_nothing(tmp_path: Path) -> None:
    written(tmp_path / "x", 0)
    with opened(tmp_path / "x") as descriptor:
        assert read(descriptor, 0) == (b"", [])


def test_a_file_system_that_knows_no_direct_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = stretch.open_regular

    def refuse(path: Path, flags: int = 0) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags)

    content = written(tmp_path / "x", STRETCH + 5)
    monkeypatch.setattr(stretch, "open_regular", refuse)
    with opened(tmp_path / "x") as descriptor:
        assert not is_direct(descriptor)
        assert read(descriptor, len(content))[0] == content


@pytest.mark.skipif(not MEMORY.is_mount(), reason="no tmpfs here")
def test_a_file_in_memory(tmp_path: Path) -> None:
    """tmpfs refuses O_DIRECT on older kernels and takes it on newer ones."""
    place = MEMORY / f"sealdock-{tmp_path.name}-{os.getpid()}"
    try:
        content = written(place, 2 * STRETCH + 77)
        with opened(place) as descriptor:
            assert read(descriptor, len(content))[0] == content
    finally:
        place.unlink()


def test_a_disk_that_wants_other_pages_is_read_through_the_cache(tmp_path: Path) -> None:
    content = written(tmp_path / "x", 10_000)
    with opened(tmp_path / "x") as descriptor:
        if not is_direct(descriptor):
            pytest.skip("this file system takes no O_DIRECT at all")
        room = memoryview(bytearray(20_001))[1:]  # no address that a disk would take
        stretch._fill(descriptor, room, 0, len(content))
        assert room[: len(content)] == content
        assert not is_direct(descriptor)


def test_any_other_refusal_to_open_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_medium(tmp_path / "x")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        open_medium(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    before = descriptors()
    with pytest.raises(OSError, match="not a regular file"):
        open_medium(tmp_path / "pipe")
    assert descriptors() == before


@pytest.mark.timeout(20)
@pytest.mark.parametrize("missing", [1, STRETCH - 1, STRETCH, STRETCH + 9])
def test_a_file_that_is_shorter_than_promised_is_an_error(tmp_path: Path, missing: int) -> None:
    size = 2 * STRETCH + 100
    written(tmp_path / "x", size - missing)
    with opened(tmp_path / "x") as descriptor, pytest.raises(OSError, match="shorter"):
        read(descriptor, size)


@pytest.mark.parametrize("size", [1, STRETCH - 5, STRETCH, STRETCH + 1])
def test_what_a_file_has_beyond_the_promise_is_never_given(tmp_path: Path, size: int) -> None:
    content = written(tmp_path / "x", 2 * STRETCH)
    with opened(tmp_path / "x") as descriptor:
        whole, runs = read(descriptor, size)
    assert whole == b"".join(runs) == content[:size]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("place", [0, STRETCH, 2 * STRETCH])
def test_a_disk_that_fails_is_told_by_whichever_thread_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, place: int
) -> None:
    content = written(tmp_path / "x", 3 * STRETCH)
    really, stretches = os.preadv, Stretches()

    def fail(descriptor: int, rooms: list[memoryview], offset: int) -> int:
        if offset == place:
            raise OSError(code, os.strerror(code))
        return really(descriptor, rooms, offset)

    with opened(tmp_path / "x") as descriptor:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match=os.strerror(code)) as found:
            read(descriptor, len(content), stretches)
        assert found.value.errno == code
        monkeypatch.undo()
        assert read(descriptor, len(content), stretches)[0] == content  # the buffers are as good as before


@pytest.mark.timeout(20)
def test_who_stops_early_leaves_nobody_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "x", 2 * STRETCH)
    really, begun, may_go, done = os.preadv, threading.Event(), threading.Event(), threading.Event()

    def slow(descriptor: int, rooms: list[memoryview], offset: int) -> int:
        if offset:
            begun.set()
            may_go.wait(10)
        count = really(descriptor, rooms, offset)
        if offset:
            done.set()
        return count

    monkeypatch.setattr(os, "preadv", slow)
    with opened(tmp_path / "x") as descriptor:
        pieces = Stretches().read(descriptor, 2 * STRETCH)
        next(pieces)
        assert begun.wait(10)
        threading.Timer(0.1, may_go.set).start()
        pieces.close()
        assert done.is_set()


def test_neither_threads_nor_descriptors_are_left(tmp_path: Path) -> None:
    content = written(tmp_path / "x", STRETCH + 1)
    before, running = descriptors(), helpers()
    for _ in range(5):
        with opened(tmp_path / "x") as descriptor:
            read(descriptor, len(content))
    assert not left(running)
    assert descriptors() == before


def test_a_small_file_needs_no_helper(tmp_path: Path) -> None:
    written(tmp_path / "x", STRETCH)
    running, stretches = helpers(), Stretches()
    with opened(tmp_path / "x") as descriptor:
        read(descriptor, STRETCH, stretches)
    assert helpers() <= running
