"""The lens, with the real kernel behind it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from media import lens
from media.error import MediaCrashedError
from media.lens import present, sweep
from media.sandbox import run
from media.walls import Limits, Task
from vault.formats.payload import PayloadError, PayloadReader, seal_payload, sealed_size

CONTENT = os.urandom((3 << 20) + 12_345)
LIMITS = Limits(output_bytes=8 << 20, idle=False)


def test_a_tool_reads_every_byte_through_it(tmp_path: Path) -> None:
    with present(io.BytesIO(CONTENT), len(CONTENT), tmp_path / "lenses") as path:
        assert run(Task(["cat", "/in/x"], {"x": path}), LIMITS) == CONTENT
    assert list((tmp_path / "lenses").iterdir()) == []


def test_any_place_can_be_read_first(tmp_path: Path) -> None:
    with present(io.BytesIO(CONTENT), len(CONTENT), tmp_path) as path, path.open("rb", buffering=0) as file:
        for place in (3_000_000, 5, len(CONTENT) - 3, 1_000_001, 0):
            file.seek(place)
            assert file.read(7) == CONTENT[place : place + 7]


def test_two_readers_at_once_get_their_own_bytes(tmp_path: Path) -> None:
    with present(io.BytesIO(CONTENT), len(CONTENT), tmp_path) as path:
        script = "cmp /in/x /in/x && for i in 1 2 3 4; do sha256sum < /in/x & done; wait"
        sums = run(Task(["bash", "-c", script], {"x": path}), LIMITS).split()
    assert len(set(sums[::2])) == 1


def test_it_shows_one_read_only_file_to_its_owner(tmp_path: Path) -> None:
    with present(io.BytesIO(b"x"), 1, tmp_path) as path:
        assert (
            [p.name for p in path.parent.iterdir()] == [path.name] if hasattr(path.parent, "walk") else True
        )
        assert path.stat().st_mode & 0o777 == 0o400
        assert (path.stat().st_uid, path.stat().st_size) == (os.getuid(), 1)
        with pytest.raises(OSError, match=r"Read-only|Permission"):
            path.open("r+b")
        with pytest.raises(OSError, match=r"Read-only|not permitted|Function not implemented"):
            path.unlink()
        with pytest.raises(FileNotFoundError):
            (path.parent / "other").stat()


def test_a_closed_pipe_still_ends_no_process_afterwards(tmp_path: Path) -> None:
    """libfuse takes Python's ignoring of SIGPIPE for its own, and would give the signal its deadly meaning back."""
    with present(io.BytesIO(b"x"), 1, tmp_path):
        pass
    lines = Path("/proc/self/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    assert ignored >> (signal.SIGPIPE - 1) & 1


def test_an_empty_recording_is_an_empty_file(tmp_path: Path) -> None:
    with present(io.BytesIO(b""), 0, tmp_path) as path:
        assert run(Task(["wc", "-c", "/in/x"], {"x": path}), LIMITS).split()[0] == b"0"


def test_bytes_that_do_not_authenticate_never_reach_the_tool(tmp_path: Path) -> None:
    sealed = bytearray(seal_payload(b"k" * 16, b"n" * 16, CONTENT))
    assert len(sealed) == sealed_size(len(CONTENT))
    sealed[2_000_000] ^= 1
    stored = tmp_path / "x.chunks"
    stored.write_bytes(sealed)
    with (
        PayloadReader.open(stored, b"k" * 16, b"n" * 16) as reader,
        pytest.raises(PayloadError),
        present(reader, reader.size, tmp_path / "lenses") as path,
    ):
        run(Task(["cat", "/in/x"], {"x": path}), LIMITS)
    assert list((tmp_path / "lenses").iterdir()) == []


def test_a_recording_that_ends_early_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    with (
        pytest.raises((OSError, MediaCrashedError)),
        present(io.BytesIO(CONTENT), len(CONTENT) + 100_000, tmp_path) as path,
    ):
        run(Task(["cat", "/in/x"], {"x": path}), LIMITS)


def test_it_is_gone_after_an_error_while_a_tool_still_holds_it(tmp_path: Path) -> None:
    with (
        ExitStack() as held,
        pytest.raises(ZeroDivisionError),
        present(io.BytesIO(CONTENT), len(CONTENT), tmp_path) as path,
    ):
        _ = 1 // held.enter_context(path.open("rb")).seek(0)
    assert list(tmp_path.iterdir()) == []


def test_signals_of_the_worker_are_left_alone(tmp_path: Path) -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("term"))
    try:
        with present(io.BytesIO(CONTENT), len(CONTENT), tmp_path) as path:
            os.kill(os.getpid(), signal.SIGTERM)
            assert path.read_bytes()[:9] == CONTENT[:9]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["term"]


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[Path]:
    """A directory that keeps no mount, even when a test fails half-way."""
    yield tmp_path
    sweep(tmp_path)


def test_what_a_killed_worker_left_is_swept_away(swept: Path) -> None:
    script = (
        "import io, sys, os, signal; from pathlib import Path; from media.lens import present\n"
        "with present(io.BytesIO(b'x' * 99), 99, Path(sys.argv[1])) as path:\n"
        "    print(path, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    house = Path(lens.__file__).parents[1]
    killed = subprocess.run(
        [sys.executable, "-c", script, str(swept)], capture_output=True, text=True, check=False, cwd=house
    )
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.strip().removesuffix("/original") in Path("/proc/self/mountinfo").read_text()
    assert sweep(swept) == 1
    assert str(swept) not in Path("/proc/self/mountinfo").read_text()
    assert list(swept.iterdir()) == []
    assert sweep(swept) == 0
    assert sweep(swept / "never-made") == 0
