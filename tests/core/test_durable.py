from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.durable import (
    AlreadyExistsError,
    create_once,
    fsync_directory,
    make_directory,
    rename_into,
    replace,
    settle_directory,
)

if TYPE_CHECKING:
    from .conftest import CallOracle

ROOT = Path(__file__).resolve().parents[2]
DISK_SAYS_NO = OSError(errno.EIO, "Input/output error")


def names(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def test_a_created_file_is_whole_read_only_and_alone(tmp_path: Path) -> None:
    create_once(tmp_path / "receipt", b"sealed")
    assert (tmp_path / "receipt").read_bytes() == b"sealed"
    assert stat.S_IMODE((tmp_path / "receipt").stat().st_mode) == 0o440
    assert (tmp_path / "receipt").stat().st_nlink == 1
    assert names(tmp_path) == {"receipt"}


def test_creating_twice_is_refused_and_leaves_the_first(tmp_path: Path) -> None:
    create_once(tmp_path / "receipt", b"first")
    with pytest.raises(AlreadyExistsError) as refused:
        create_once(tmp_path / "receipt", b"second")
    assert refused.value.parameters == {"path": tmp_path / "receipt"}
    assert (tmp_path / "receipt").read_bytes() == b"first"
    assert names(tmp_path) == {"receipt"}


@pytest.mark.parametrize("kind", ["dangling link", "directory", "fifo"])
def test_whatever_holds_the_name_is_never_overwritten_or_followed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "receipt"
    {"dangling link": lambda: path.symlink_to(tmp_path / "elsewhere"), "directory": path.mkdir,
     "fifo": lambda: os.mkfifo(path)}[kind]()  # fmt: skip
    with pytest.raises(AlreadyExistsError):
        create_once(path, b"second")
    assert names(tmp_path) == {"receipt"}


def test_of_many_writers_exactly_one_creates_the_file(tmp_path: Path) -> None:
    def attempt(number: int) -> int | None:
        try:
            create_once(tmp_path / "vault.json", str(number).encode())
        except AlreadyExistsError:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(attempt, range(64)) if number is not None]
    assert len(winners) == 1
    assert (tmp_path / "vault.json").read_bytes() == str(winners[0]).encode()


def test_a_file_is_durable_before_it_has_its_name_and_the_name_before_we_return(
    tmp_path: Path, oracle: CallOracle
) -> None:
    create_once(tmp_path / "checkpoint", b"x")
    assert oracle.names() == ["write", "fsync file", "link", "unlink", "fsync directory"]
    assert oracle.calls[-1] == ("fsync directory", str(tmp_path))


def test_finding_the_file_already_there_makes_its_name_durable_too(
    tmp_path: Path, oracle: CallOracle
) -> None:
    (tmp_path / "tile").write_bytes(b"left by a process that died before its last step")
    with pytest.raises(AlreadyExistsError):
        create_once(tmp_path / "tile", b"x")
    assert ("fsync directory", str(tmp_path)) in oracle.calls


def test_replacing_is_durable_before_the_rename_and_after_it(tmp_path: Path, oracle: CallOracle) -> None:
    (tmp_path / "checkpoint").write_bytes(b"old")
    replace(tmp_path / "checkpoint", b"new")
    assert oracle.names() == ["write", "fsync file", "replace", "fsync directory"]
    assert (tmp_path / "checkpoint").read_bytes() == b"new"
    assert names(tmp_path) == {"checkpoint"}


@pytest.mark.parametrize("write", [create_once, replace])
@pytest.mark.parametrize("call", ["write", "fsync file"])
def test_a_failing_disk_is_reported_and_nothing_half_written_stays(
    tmp_path: Path, oracle: CallOracle, write: Callable[[Path, bytes], None], call: str
) -> None:
    oracle.failing, oracle.error = call, DISK_SAYS_NO
    with pytest.raises(OSError, match="Input/output error") as failed:
        write(tmp_path / "object", b"x")
    assert failed.value.errno == errno.EIO
    assert names(tmp_path) == set()
    assert oracle.names().count("fsync file") <= 1, "an fsync that failed is never retried on the same file"


def test_a_full_disk_while_replacing_keeps_the_old_content(tmp_path: Path, oracle: CallOracle) -> None:
    (tmp_path / "checkpoint").write_bytes(b"old")
    oracle.failing, oracle.error = "write", OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        replace(tmp_path / "checkpoint", b"new")
    assert (tmp_path / "checkpoint").read_bytes() == b"old"
    assert names(tmp_path) == {"checkpoint"}


def test_a_directory_that_cannot_be_made_durable_is_an_error(tmp_path: Path, oracle: CallOracle) -> None:
    oracle.failing, oracle.error = "fsync directory", DISK_SAYS_NO
    with pytest.raises(OSError, match="Input/output error"):
        create_once(tmp_path / "object", b"x")


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, view: real(descriptor, view[:3]))
    create_once(tmp_path / "object", b"0123456789")
    assert (tmp_path / "object").read_bytes() == b"0123456789"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_the_same_order(tmp_path: Path) -> None:
    trace, target = tmp_path / "trace", tmp_path / "tiles" / "000"
    program = f"""
from pathlib import Path
from core.durable import create_once, make_directory
make_directory(Path({str(target.parent)!r}))
create_once(Path({str(target)!r}), b"tile")
"""
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,link,linkat,mkdir,rename,renameat2,unlink",
         sys.executable, "-c", program],
        check=True, cwd=ROOT,
    )  # fmt: skip
    ours = [line for line in trace.read_text().splitlines() if str(tmp_path) in line]
    calls = [line.split(maxsplit=1)[1].split("(")[0].replace("linkat", "link") for line in ours]
    assert calls == ["mkdir", "fsync", "fsync", "link", "unlink", "fsync"]
    assert f"<{tmp_path}>" in ours[1]
    assert ".tmp>" in ours[2]
    assert f"<{target.parent}>" in ours[5]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_fsync_failed_by_the_kernel_leaves_no_file(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from core.durable import create_once
create_once(Path({str(tmp_path / "object")!r}), b"x")
"""
    ended = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1",
         sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "OSError: [Errno 5]" in ended.stderr
    assert names(tmp_path) == set()


@pytest.mark.crash
@pytest.mark.parametrize("call", ["write", "fsync", "link", "unlink"])
def test_a_process_killed_at_any_step_leaves_the_whole_file_or_none(
    tmp_path: Path, call: str, elsewhere: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from core.durable import create_once
def die(*a, **k): os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], die)
create_once(Path(sys.argv[1]), b"x" * 100_000)
"""
    path = tmp_path / "object"
    killed = elsewhere(program, path, call)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert path.exists() == (call == "unlink")
    if path.exists():
        assert path.read_bytes() == b"x" * 100_000
    else:
        create_once(path, b"x" * 100_000)  # what the dead one left behind is in nobody's way
    assert path.read_bytes() == b"x" * 100_000


def test_making_a_directory_makes_every_new_name_durable(tmp_path: Path, oracle: CallOracle) -> None:
    make_directory(tmp_path / "a" / "b", mode=0o700)
    assert oracle.calls == [
        ("mkdir", str(tmp_path / "a")), ("fsync directory", str(tmp_path)),
        ("mkdir", str(tmp_path / "a" / "b")), ("fsync directory", str(tmp_path / "a")),
    ]  # fmt: skip
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    make_directory(tmp_path / "a" / "b")


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "objects")


def test_fsyncing_a_file_as_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        fsync_directory(tmp_path / "file")


def test_moving_a_finished_file_makes_both_directories_durable(tmp_path: Path, oracle: CallOracle) -> None:
    source, target = tmp_path / "incoming" / "x.part", tmp_path / "objects" / "x"
    source.parent.mkdir()
    target.parent.mkdir()
    source.write_bytes(b"chunks")
    oracle.calls.clear()
    rename_into(source, target)
    assert oracle.names() == ["link", "unlink", "fsync directory", "fsync directory"]
    assert [path for _, path in oracle.calls[-2:]] == [str(target.parent), str(source.parent)]
    assert (target.read_bytes(), source.exists()) == (b"chunks", False)


def test_moving_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(AlreadyExistsError):
        rename_into(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "new").read_bytes() == b"new"
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_move_cut_short_between_its_two_names_is_finished_by_doing_it_again(tmp_path: Path) -> None:
    source, target = tmp_path / "x.part", tmp_path / "x"
    source.write_bytes(b"chunks")
    target.hardlink_to(source)
    rename_into(source, target)
    assert names(tmp_path) == {"x"}
    assert target.read_bytes() == b"chunks"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(contents=st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_only_the_first_content_is_ever_there(tmp_path: Path, contents: list[bytes]) -> None:
    path = tmp_path / "once"
    path.unlink(missing_ok=True)
    for content in contents:
        try:
            create_once(path, content)
        except AlreadyExistsError:
            continue
    assert path.read_bytes() == contents[0]


def test_a_directory_that_is_found_is_settled_once(tmp_path: Path, oracle: CallOracle) -> None:
    """Whoever made `a` and `a/b` may have died before their names were durable."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    settle_directory(tmp_path / "a" / "b" / "c", tmp_path)
    synced = [path for call, path in oracle.calls if call == "fsync directory"]
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    settle_directory(tmp_path / "a" / "b" / "c", tmp_path)
    assert oracle.names().count("fsync directory") == 3
    shutil.rmtree(tmp_path / "a" / "b")
    settle_directory(tmp_path / "a" / "b" / "c", tmp_path)
    assert (tmp_path / "a" / "b" / "c").is_dir()
