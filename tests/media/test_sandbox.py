"""The walls, tried from inside by programs that want out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from media import sandbox, walls
from media.error import (
    MediaCrashedError,
    MediaTimeoutError,
    MediaTooLargeError,
    MediaToolMissingError,
    SandboxRefusedError,
)
from media.sandbox import run, stream
from media.walls import Limits, Task, find_program

QUICK = Limits(
    wall_s=20, cpu_s=10, memory_bytes=512 << 20, output_bytes=1 << 20, scratch_bytes=1 << 20, idle=False
)


def shell(script: str, limits: Limits = QUICK, **inputs: Path) -> str:
    return run(Task(["bash", "-c", script], inputs), limits).decode()


def python(script: str, tmp_path: Path, limits: Limits = QUICK) -> str:
    """`script` in our interpreter, as the index tool is run."""
    package = Path(sandbox.__file__).parent / "inside"
    task = walls.python_task(package, [], [], {})
    path = tmp_path / "script.py"
    path.write_text(script)
    path.chmod(0o644)
    argv = [*task.argv[:-1], "/in/script.py"]
    return run(Task(argv, {"script.py": path}, task.read_only), limits).decode()


def test_nothing_of_the_station_can_be_seen(tmp_path: Path) -> None:
    secret = tmp_path / "vault.json"
    secret.write_text("secret")
    seen = shell(
        f"cat /etc/shadow {secret} /proc/1/environ {Path(__file__)} 2>&1; ls -A / /etc /in /tmp; env"
    )
    assert "secret" not in seen
    assert "root:" not in seen
    assert seen.count("No such file or directory") == 4
    assert str(os.environ.get("HOME")) not in seen.replace("HOME=/tmp", "")


def test_there_is_no_network_of_any_kind(tmp_path: Path) -> None:
    script = (
        "import socket\n"
        "for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):\n"
        "    try:\n"
        "        socket.socket(family)\n"
        "        print('open')\n"
        "    except OSError as cause:\n"
        "        print(cause.errno)\n"
    )
    assert set(python(script, tmp_path).split()) == {"1"}  # EPERM, every time


def test_nothing_outside_can_be_written_and_inputs_are_read_only(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_bytes(b"evidence")
    original.chmod(0o666)
    script = "for p in /in/original /usr/x /etc/x /x /in/x; do echo no 2>/dev/null > $p || echo refused; done"
    assert shell(f"{script}; cat /in/original", original=original) == "refused\n" * 5 + "evidence"
    assert original.read_bytes() == b"evidence"


def test_the_tool_has_no_privileges_and_cannot_get_any() -> None:
    script = (
        "id -u; for want in 'unshare -U true' 'unshare -m true' 'mount -t tmpfs none /tmp' 'chroot / true';"
        " do $want 2>/dev/null && echo got || echo refused; done; su -c true 2>/dev/null || echo refused"
    )
    told = shell(script).split()
    assert told[1:] == ["refused"] * 5
    assert told[0] != "0"


def sleepers(seconds: str, count: int) -> list[psutil.Process]:
    """The processes that sleep so long, once there are so many."""
    deadline, found = time.monotonic() + 10, list[psutil.Process]()
    while len(found) < count and time.monotonic() < deadline:
        found = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]
    return found


def test_what_hangs_is_ended_with_everything_it_started() -> None:
    limits, began = Limits(wall_s=3, idle=False), time.monotonic()
    with stream(Task(["bash", "-c", "sleep 4321 & sleep 4321 & echo on; wait"]), limits) as running:
        pieces = iter(running)
        assert next(pieces) == b"on\n"
        inside = sleepers("4321", 2)
        with pytest.raises(MediaTimeoutError, match="bash was ended after 3 s"):
            next(pieces)
    assert time.monotonic() - began < 10
    assert psutil.wait_procs(inside, timeout=5)[1] == []
    assert len(inside) == 2


def test_leaving_early_leaves_nothing_behind() -> None:
    with stream(Task(["bash", "-c", "echo on; sleep 4322"]), QUICK) as running:
        assert next(iter(running)) == b"on\n"
        left = sleepers("4322", 1)
    assert left
    assert psutil.wait_procs(left, timeout=5)[1] == []


def test_what_burns_the_processor_is_ended() -> None:
    with pytest.raises(MediaTimeoutError):
        shell("while :; do :; done", Limits(wall_s=60, cpu_s=1, idle=False))


def test_what_eats_memory_is_ended(tmp_path: Path) -> None:
    with pytest.raises(MediaCrashedError) as caught:
        python("x = bytearray(800 << 20)", tmp_path)
    assert "MemoryError" in str(caught.value)


def test_what_writes_without_end_is_ended() -> None:
    with pytest.raises(MediaTooLargeError):
        shell("yes")


def test_complaints_without_end_do_not_fill_our_memory() -> None:
    with pytest.raises(MediaCrashedError) as caught:
        shell("head -c 20000000 /dev/zero | tr '\\0' 'x' >&2; echo last words >&2; exit 3")
    assert len(str(caught.value)) < 6000
    assert "last words" in str(caught.value)
    assert caught.value.parameters["status"] == 3


def test_the_memory_file_system_is_small() -> None:
    script = (
        "for i in 1 2 3; do head -c 900000 /dev/zero > /tmp/$i; done 2>/dev/null; du -cb /tmp/? | tail -1"
    )
    assert int(shell(script).split()[0]) <= QUICK.scratch_bytes


def test_a_fork_bomb_stays_small_and_dies_with_its_tool(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 500:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(60)\n"
        "        made += 1\n"
        "except BlockingIOError:\n"
        "    pass\n"
        "print(made, flush=True)\n"
        "os._exit(0)\n"
    )
    made = int(python(script, tmp_path, replace(QUICK, threads=40)))
    assert made < 40
    left = [p for p in psutil.process_iter(["cmdline"]) if "/in/script.py" in (p.info["cmdline"] or [])]
    assert psutil.wait_procs(left, timeout=5)[1] == []


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MediaToolMissingError) as caught:
        find_program("ffmpeg-that-is-not-there")
    assert caught.value.parameters["program"] == "ffmpeg-that-is-not-there"
    monkeypatch.setattr(walls, "SEARCHED", "/nowhere")
    walls.located.cache_clear()
    with pytest.raises(MediaToolMissingError, match=r"Debian package '(util-linux|bubblewrap)'"):
        run(Task(["true"]))
    walls.located.cache_clear()


def test_walls_that_cannot_be_built_are_the_machines_fault_and_not_the_files(tmp_path: Path) -> None:
    with pytest.raises(SandboxRefusedError):
        run(Task(["true"], {"original": tmp_path / "gone"}), QUICK)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_plain_user_gets_the_same_walls(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from media.sandbox import run\n"
        "from media.walls import Task\n"
        "tries = 'cat /etc/shadow 2>&1; unshare -U true 2>&1; echo x 2>&1 > /x; id -u; exit 0'\n"
        "print(run(Task(['bash', '-c', tries])).decode())\n"
    )
    house = tmp_path / "house"
    for package in ("core", "media"):
        (house / package).mkdir(parents=True)
        for source in Path(sandbox.__file__).parents[1].joinpath(package).glob("*.py"):
            (house / package / source.name).write_bytes(source.read_bytes())
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == "root" and directory.is_relative_to("/tmp/pytest-of-root"):  # noqa: S108
            directory.chmod(0o755)
    plain = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(house)], user=65534, group=65534, extra_groups=[],
        capture_output=True, text=True, check=True, env={}, cwd="/",
    )  # fmt: skip
    assert plain.stdout.count("No such file") == 1
    assert "Operation not permitted" in plain.stdout
    assert "65534" in plain.stdout
    assert sys.version_info >= (3, 11)
