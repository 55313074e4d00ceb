"""The mount unit's side: the record before, and the answer when dockd asks, over a real socket and a real device."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from threading import Thread

import pytest
from emulation.card import make_exfat, run
from hypothesis import given
from hypothesis import strategies as st
from support.loop import attach, detach

from devices import card
from devices.card_record import SOCKET, ask, parse_line, read_record, record_path
from devices.mount import prepared
from devices.unwritten import compare


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "folder/DCIM").mkdir(parents=True)
    (tmp_path / "folder/DCIM/a.mp4").write_bytes(b"footage")
    loop = attach(make_exfat(tmp_path / "card.img", tmp_path / "folder"))
    yield loop
    detach(loop)


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    (tmp_path / "run/mounts").mkdir(parents=True)
    return tmp_path / "run/mounts"


@pytest.fixture
def answering(mounts: Path) -> Iterator[None]:
    """What systemd does with sealdock-card-answer.socket: one answer for each connection."""
    with socket(AF_UNIX, SOCK_STREAM) as listening:
        listening.bind(str(mounts.parent / SOCKET))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, connection.makefile("rb") as question, connection.makefile("wb") as reply:
                    card.answer(question, reply, mounts)

        server = Thread(target=serve, daemon=True)
        server.start()
        yield
        listening.shutdown(2)
        server.join(5)


@pytest.mark.usefixtures("answering")
def test_the_dock_asks_and_the_answer_shows_that_nothing_was_written(device: Path, mounts: Path) -> None:
    card.before(device.name, mounts, "exfat")
    before, after = read_record(mounts, device.name), ask(mounts, device.name)
    shown = compare(before, after)
    assert shown is not None
    assert (shown.method, shown.holds) == ("write_counter+tables", True)
    with device.open("r+b", buffering=0) as written:
        written.write(written.read(512) and b"\0" * 512)
    later = compare(before, ask(mounts, device.name))
    assert later is not None
    assert not later.holds


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("name", ["sda", "../../etc/shadow", "loop0; rm", "", "x" * 500])
def test_nothing_is_said_of_a_device_that_was_not_mounted_for_the_dock(mounts: Path, name: str) -> None:
    assert ask(mounts, name) is None
    with socket(AF_UNIX, SOCK_STREAM) as raw:
        raw.connect(str(mounts.parent / SOCKET))
        raw.sendall(name.encode() + b"\n")
        with raw.makefile("rb") as answer:
            assert answer.read() == b""


def test_where_nobody_answers_nothing_is_shown(device: Path, mounts: Path) -> None:
    card.before(device.name, mounts, "exfat")
    assert ask(mounts, device.name) is None


def test_a_tree_is_taken_only_for_the_disk_that_it_was_made_for(device: Path, mounts: Path) -> None:
    root = mounts / device.name
    root.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", str(root))
    try:
        assert prepared(mounts, device) is None  # a mount without a record is not ours
        card.before(device.name, mounts, "exfat")
        assert prepared(mounts, device) is not None
        stale = json.loads(record_path(mounts, device.name).read_bytes()) | {"disk": "diskseq 1"}
        record_path(mounts, device.name).write_text(json.dumps(stale), encoding="utf-8")
        assert (
            prepared(mounts, device) is None
        )  # the disk that had this name before: its dead mount lists as empty
    finally:
        run("umount", str(root))


def test_the_program_opens_nothing_but_what_it_is_asked_for(mounts: Path) -> None:
    wrong = subprocess.run(
        [sys.executable, "-m", "devices.card", "before", "../sda"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (wrong.returncode, wrong.stderr.startswith("usage:")) == (2, True)
    assert card.answer(io.BytesIO(b"sda1"), io.BytesIO(), mounts) is None


def test_it_imports_neither_settings_nor_database() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, devices.card; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    ).stdout.split()  # fmt: skip
    assert {"sqlalchemy", "pydantic", "structlog", "pyudev"} & set(said) == set()


@given(st.binary(max_size=200))
def test_no_line_leaves_the_parser_as_anything_but_a_measurement(line: bytes) -> None:
    assert parse_line(line) is None


@given(st.dictionaries(st.sampled_from(["disk", "sectors", "tables_sha256", "tables_bytes", "fs_type"]),
                       st.none() | st.integers() | st.text() | st.lists(st.integers())))  # fmt: skip
def test_a_record_of_another_shape_is_no_record(record: dict[str, object]) -> None:
    found = parse_line(json.dumps(record).encode())
    assert found is None or isinstance(found[0].disk, str)
