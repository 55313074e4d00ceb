"""A disk that is full, and one that turned read-only under us: said at once, nothing lost, and it goes on by itself."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from crash.disk import Disk, NoMountError, room
from crash.house import Foundation, House, found
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from core.bell import ring
from vault import vaultd as vaultd_module
from vault.error import VaultError
from vault.log.outbox import RowState
from vault.log.writer import LogWriteError
from vault.store.medium import DiskFullError, MediumError

pytestmark = pytest.mark.crash
PATIENCE_S = 60


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    with room() as place:
        try:
            made = Disk(request.param, place / "disk.img", place / "disk")
        except NoMountError as cause:
            pytest.skip(f"loop mounts are not permitted here: {cause}")
        yield made
        made.unmount()


def fill_up(disk: Disk) -> Path:
    """Leave not one block to the vault."""
    ballast = disk.place / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    for block in (1 << 22, 1 << 16, 4096):
        with pytest.raises(OSError, match="No space left"):
            write_without_end(descriptor, block)
    os.close(descriptor)
    disk.sync()
    return ballast


def write_without_end(descriptor: int, block: int) -> None:
    while True:
        os.write(descriptor, bytes(block))


def move_vault(house: House, disk: Disk) -> None:
    """The vault on the disk under test, the database where it was."""
    shutil.move(house.directory / "vault", disk.place / "vault")
    (house.directory / "vault").symlink_to(disk.place / "vault")
    disk.sync()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_full_disk_is_said_waited_for_and_left_behind(
    foundation: Foundation, disk: Disk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """The vault's disk is full while the database, on another, still takes submissions."""
    monkeypatch.setattr(vaultd_module, "FULL_DISK_PAUSE_S", 0.05)
    house = House.copy(foundation, tmp_path / "house")
    move_vault(house, disk)
    first = house.ingest(os.urandom(200_000))
    house.settle()
    ballast = fill_up(disk)
    with pytest.raises(DiskFullError, match="no room"):
        house.ingest(os.urandom(2_000_000))
    assert list((house.vault.path / "incoming").iterdir()) == [], "a copy that was given up takes no room"
    waiting = [house.case(body={"note": os.urandom(20_000).hex()}) for _ in range(40)]
    stop = threading.Event()
    daemon = threading.Thread(target=house.vaultd().run, args=(stop,))
    daemon.start()
    try:
        wait_until(lambda: "the log cannot grow" in capsys.readouterr().out)
        assert house.verify().ok
        assert house.rows(RowState.PENDING)
        ballast.unlink()
        wait_until(lambda: not house.rows(RowState.PENDING))
        again = house.ingest(os.urandom(2_000_000))
        ring(house.bell)
        wait_until(lambda: not house.rows(RowState.PENDING))
    finally:
        stop.set()
        daemon.join(PATIENCE_S)
    assert {first, again, *waiting} <= {leaf.id for leaf in house.reader.leaves()}
    assert house.verify().ok
    house.close()


def test_a_full_disk_with_the_database_on_it_loses_nothing(foundation: Foundation, disk: Disk) -> None:
    house = House.copy(foundation, disk.place / "house")
    acknowledged = [house.ingest(os.urandom(50_000)), house.case()]
    ballast = fill_up(disk)
    refusals = 0
    for work in (house.settle, lambda: house.ingest(os.urandom(500_000)), house.case, house.settle):
        try:
            answer = work()
        except (VaultError, OperationalError, OSError):
            refusals += 1
        else:
            acknowledged += [answer] if answer else []
    assert refusals, "nothing of all that failed on a full disk"
    assert house.verify().ok
    house.close()
    ballast.unlink()
    again = House(house.directory)
    again.settle()
    assert set(acknowledged) <= {leaf.id for leaf in again.reader.leaves()}
    assert again.verify().ok
    again.close()


def test_a_disk_that_turns_read_only_stops_the_line_and_loses_nothing(
    foundation: Foundation, disk: Disk
) -> None:
    house = House.copy(foundation, disk.place / "house")
    acknowledged = [house.ingest(os.urandom(50_000)), house.case()]
    house.settle()
    acknowledged += [house.case(), house.ingest(os.urandom(50_000))]
    house.close()
    disk.sync()
    disk.remount("ro")
    still = House(house.directory)
    with pytest.raises(MediumError, match="The disk failed"):
        still.deposit(os.urandom(1_000))
    with pytest.raises((VaultError, OSError, OperationalError)):
        still.settle()
    assert still.verify().ok, "what cannot be written can still be proven"
    still.close()
    disk.remount("rw")
    again = House(house.directory)
    again.settle()
    assert set(acknowledged) <= {leaf.id for leaf in again.reader.leaves()}
    assert again.verify().ok
    again.close()


def test_a_disk_that_goes_away_under_a_running_vaultd_is_said(
    foundation: Foundation, disk: Disk, tmp_path: Path
) -> None:
    """The kernel refuses every write, and what is not in its cache cannot be read; the database lies elsewhere."""
    house = House.copy(foundation, tmp_path / "house")
    move_vault(house, disk)
    acknowledged = [house.case()]
    daemon = house.vaultd()
    daemon.start()
    daemon.step()
    size = house.reader.size
    acknowledged.append(house.case())
    disk.cut_power()
    with capture_logs() as said, suppress(LogWriteError):
        assert daemon.step() == 0
        assert "waits for the" in str(said)
    assert house.rows(RowState.PENDING)
    daemon.close()
    disk.unmount()
    disk.mount()
    assert house.reader.size >= size
    house.settle()
    assert set(acknowledged) <= {leaf.id for leaf in house.reader.leaves()}
    assert house.verify().ok
    house.close()
