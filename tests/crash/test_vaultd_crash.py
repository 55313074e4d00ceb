"""vaultd dies at every moment it can die at: nothing that was acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from crash.house import Foundation, House, found
from sqlalchemy import select

from vault.log.index import EntryRow, wait_sequenced
from vault.log.outbox import NotSequencedError, RowState
from vault.log.submission import Draft

pytestmark = pytest.mark.crash

STEPS = ("open", "pwrite", "write", "fsync", "replace", "rename", "link", "unlink", "ftruncate")
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2  # linux/fs.h: stop as if the power had gone
ROUNDS = 25


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a process of its own and give that process's id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001  # nothing may return into the test from here
        os._exit(1)
    os._exit(0)


def outcome(child: int) -> int:
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def run_vaultd(directory: Path, stop: threading.Event) -> None:
    House(directory).vaultd().run(stop)


def settle(directory: Path) -> None:
    House(directory).settle()


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def dying_at(at: int, work: Callable[[], object]) -> Callable[[], object]:
    """`work`, killed before its `at`-th call of a function that changes the disk."""

    def doomed() -> None:
        left, lock = [at], threading.Lock()

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                with lock:
                    left[0] -= 1
                    if not left[0]:
                        die()
                return real(*args, **options)

            return call

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        work()

    return doomed


def check(house: House, acknowledged: list[str]) -> None:
    """Every submission on the log once, database and vault agreeing, nothing left over."""
    leaves = list(house.reader.leaves())
    ids = [leaf.id for leaf in leaves]
    assert len(set(ids)) == len(ids)
    assert set(acknowledged) <= set(ids)
    assert {row.state for row in house.rows()} <= {RowState.SEQUENCED}
    for row in house.rows():
        assert row.entry_index is not None
        assert ids[row.entry_index] == row.id
    with house.db.reading() as session:
        assert list(session.scalars(select(EntryRow.id).order_by(EntryRow.index))) == ids
    assert list((house.vault.path / "incoming").iterdir()) == []
    report = house.verify()
    assert report.ok, report.failures


def submit_some(house: House, count: int = 3) -> list[str]:
    ids = [house.case() for _ in range(count)]
    recording = house.ingest(os.urandom(70_000))
    return [*ids, recording, house.submit("console", Draft("view", about=(recording,)))]


def test_killed_before_every_single_step_of_a_commit(foundation: Foundation, tmp_path: Path) -> None:
    """The table: write step x killed. Each kill is followed by a new start, which is killed one step later.

    Work is added when it is used up: a start has to look again at all that waits, so a heap that grew by one
    with every kill would move the end away as fast as the count gets there.
    """
    house = House.copy(foundation, tmp_path / "house")
    ids, at, killed = list[str](), 0, 0
    while True:
        at += 1
        if not house.rows(RowState.PENDING):
            ids += submit_some(house, 1)
        code = outcome(in_child(dying_at(at, lambda: settle(house.directory))))
        assert code in {0, -signal.SIGKILL}
        if code == 0:
            break
        killed += 1
        assert at % 4 or house.verify().ok  # even before anybody repairs anything
    assert killed > 30
    check(house, ids)
    house.close()


def test_killed_at_random_moments_while_others_submit(foundation: Foundation, tmp_path: Path) -> None:
    house = House.copy(foundation, tmp_path / "house")
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)  # noqa: S311  # not a secret, and printed so that a failure can be played again
    ids: list[str] = []
    for _ in range(ROUNDS):
        child = in_child(lambda: run_vaultd(house.directory, threading.Event()))
        ids += submit_some(house)
        time.sleep(moments.uniform(0, 0.25))
        os.kill(child, signal.SIGKILL)
        assert outcome(child) == -signal.SIGKILL, f"seed {seed}"
    house.settle()
    check(house, ids)
    house.close()


@pytest.fixture
def power(foundation: Foundation, tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk.img", tmp_path / "disk")
    yield disk
    subprocess.run(
        ["umount", "--lazy", disk.place], check=False, capture_output=True
    )  # a failed test holds files


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(96 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
        self.mount()

    def mount(self) -> None:
        done = subprocess.run(
            ["mount", "-o", "loop", self.image, self.place], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip(f"loop mounts are not permitted here: {done.stderr.decode().strip()}")

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=False, capture_output=True)

    def cut_power(self) -> None:
        """Nothing that the journal does not hold survives."""
        descriptor = os.open(self.place, os.O_RDONLY)
        fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(descriptor)


def acknowledge(directory: Path, acknowledged: int) -> None:
    """Submit without end; write the id of what the database calls sequenced to a file on another disk."""
    house, stop = House(directory), threading.Event()
    threading.Thread(target=run_vaultd, args=(directory, stop), daemon=True).start()
    while True:
        entry_id = house.ingest(os.urandom(30_000)) if random.random() < 0.3 else house.case()  # noqa: S311
        try:
            wait_sequenced(house.db, entry_id, 5)
        except NotSequencedError:
            continue
        os.write(acknowledged, entry_id.encode() + b"\n")


def test_the_power_goes_and_what_was_acknowledged_is_there(
    foundation: Foundation, power: Disk, tmp_path: Path
) -> None:
    house = House.copy(foundation, power.place / "house")
    house.close()
    subprocess.run(["sync", "-f", power.place], check=True)
    told = tmp_path / "acknowledged"
    for _ in range(4):
        descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        child = in_child(lambda: acknowledge(house.directory, descriptor))  # noqa: B023
        os.close(descriptor)
        wait_for_lines(told, len(told.read_text().split()) + 3)
        time.sleep(random.uniform(0, 0.2))  # noqa: S311
        power.cut_power()
        os.kill(child, signal.SIGKILL)
        outcome(child)
        power.unmount()
        power.mount()
        again = House(house.directory)
        ids = [leaf.id for leaf in again.reader.leaves()]
        assert set(told.read_text().split()) <= set(ids)
        assert again.verify().ok
        again.settle()
        again.close()
    assert len(told.read_text().split()) >= 12


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(path.read_text().split()) < count:
        assert time.monotonic() < deadline, "vaultd came to nothing in a minute"
        time.sleep(0.01)
