"""A copy of a live vault: good at every moment, never over anything else, and no more than the vault itself has."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from crash.house import BUCKET, House
from keeping.signers import Signers

from core.clock import new_id, stamp, utc_now
from vault.audit.verify import verify_vault
from vault.care import backup as backup_module
from vault.care import placing
from vault.care.backup import (
    Backup,
    BackupResult,
    CopyBusyError,
    NoRoomForCopyError,
    Passed,
)
from vault.care.copying.mark import Mark, NotABackupError
from vault.care.copying.meeting import DivergedError, copied_head
from vault.care.copying.stretch import SourceDamagedError
from vault.formats.entry import Leaf
from vault.formats.pack import PAIR_ROOM, Private
from vault.log.writer import LogWriter
from vault.store.medium import DiskFullError, MediumError

STEPS = ("fsync", "replace", "rename", "write", "pwrite", "link", "mkdir", "unlink")


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "copy"


def fill(house: House, recordings: int = 3, cases: int = 5) -> list[str]:
    ids = [house.ingest(os.urandom(100_000 + n)) for n in range(recordings)]
    for _ in range(cases):
        house.case()
    house.settle()
    return ids


def append(house: House, *leaves: Leaf) -> None:
    """Straight to the log, for entries whose rules are not of interest here."""
    writer = LogWriter(house.vault, house.key("log"))
    writer.append([(leaf, Private()) for leaf in leaves])
    writer.close()


def disposal(house: House, *recordings: str) -> list[Leaf]:
    """Signed by two people, whose keys are put on the log before it."""
    two = Signers(house.vault.id)
    leaf = Leaf(id=new_id(), type="dispose", time=stamp(utc_now()), by="bureau", about=recordings)
    return [*two.entries(), two.signed(leaf)]


def destroy(house: House, recording: str) -> int:
    """What the sealer does after a disposal, by hand: keys zeroed, object gone. Gives the entry's index."""
    index = next(i for i, leaf in enumerate(house.reader.leaves()) if leaf.id == recording)
    with house.vault.slots.path(index // 256).open("r+b") as file:
        os.pwrite(file.fileno(), bytes(PAIR_ROOM), index % 256 * PAIR_ROOM)
    house.vault.object_path(recording).unlink()
    return index


def check(house: House, dest: Path) -> None:
    report = verify_vault(dest / "vault", house.vault.founding_key)
    assert report.ok, [one.sentence for one in report.failures]


def run(house: House, dest: Path, **options: object) -> BackupResult:
    return Backup(house.vault, dest).run(**options)  # type: ignore[arg-type]


def test_a_copy_is_a_vault_that_any_verifier_takes_and_is_told_byte_by_byte(house: House, dest: Path) -> None:
    fill(house)
    told = list[Passed]()
    result = Backup(house.vault, dest, told.append).run()
    assert (result.before, result.objects, result.is_whole) == (0, 3, True)
    assert result.size == house.reader.size
    assert told[-1].bytes == told[-1].bytes_total > 300_000
    check(house, dest)
    assert (dest / "vault/log/checkpoint").read_bytes() == house.reader.checkpoint()[1]
    mark = Mark.read(dest)
    assert mark is not None
    assert mark.size == result.size
    assert mark.finished_at


def test_the_next_run_copies_what_is_new_and_reads_no_old_object(house: House, dest: Path) -> None:
    old = fill(house, recordings=4, cases=300)
    first = run(house, dest)
    for recording in old:
        house.vault.object_path(recording).chmod(0)
        house.vault.object_path(recording).rename(house.vault.object_path(recording).with_suffix(".away"))
    fill(house, recordings=1, cases=1)
    second = run(house, dest)
    assert (second.objects, second.before, second.is_whole) == (1, first.size, True)
    assert second.bytes < first.bytes / 3
    check(house, dest)
    assert run(house, dest).objects == 0


def test_over_bundle_and_tile_ends_nothing_is_left_over(house: House, dest: Path) -> None:
    for cases in (1, 200, 60, 300, 1):
        fill(house, recordings=1, cases=cases)
        run(house, dest)
        report = verify_vault(dest / "vault", house.vault.founding_key)
        assert report.ok, [one.sentence for one in report.failures]
        assert not [one for one in report.notices if one.code == "notice.unknown_file"]
        kept = {
            str(p.relative_to(dest / "vault")) for p in (dest / "vault/log/tile").rglob("*") if p.is_file()
        }
        there = {
            str(p.relative_to(house.vault.path))
            for p in (house.vault.path / "log/tile").rglob("*")
            if p.is_file()
        }
        assert kept <= there


def test_a_vault_that_grows_meanwhile_is_copied_as_it_was_at_one_head(house: House, dest: Path) -> None:
    fill(house)
    stop, wrong = threading.Event(), list[BaseException]()

    def grow() -> None:
        try:
            while not stop.is_set():
                fill(house, recordings=1, cases=20)
        except BaseException as cause:  # noqa: BLE001  # told by the test
            wrong.append(cause)

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        for _ in range(6):
            result = run(house, dest)
            assert result.is_whole, result.problems
            check(house, dest)
    finally:
        stop.set()
        growing.join()
    assert not wrong
    assert house.reader.size > result.size > 12


def dying_at(at: int, work: Callable[[], object]) -> int:
    """`work` in a child that is killed before its `at`-th change of the disk; its exit code, 0 when it came through."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        left, lock = [at], threading.Lock()

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                with lock:
                    left[0] -= 1
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        for step in STEPS:
            setattr(os, step, counted(getattr(os, step)))
        work()
    except BaseException:  # noqa: BLE001  # nothing may return into the test from here
        os._exit(1)
    os._exit(0)


@pytest.mark.crash
def test_killed_at_any_step_the_copy_is_what_it_was_and_the_next_run_finishes_it(
    house: House, tmp_path: Path
) -> None:
    fill(house, recordings=1, cases=254)
    before = tmp_path / "before"
    run(house, before)
    (disposed,) = fill(house, recordings=1, cases=3)
    run(house, before)
    append(house, *disposal(house, disposed))
    destroy(house, disposed)
    fill(house, recordings=2, cases=20)
    killed, at = 0, 1
    while True:
        dest = tmp_path / f"copy{at}"
        shutil.copytree(before, dest, symlinks=True)
        code = dying_at(at, lambda d=dest: run(house, d))
        held = copied_head(dest / "vault", house.vault)
        assert held is not None
        report = verify_vault(dest / "vault", house.vault.founding_key)
        assert report.ok, (at, [one.sentence for one in report.failures])
        if not code:
            break
        assert code == -signal.SIGKILL
        killed += 1
        result = run(house, dest)
        assert result.is_whole
        check(house, dest)
        assert not (dest / "vault" / "objects" / disposed[-2:].lower() / f"{disposed}.chunks").exists()
        mark = Mark.read(dest)
        assert mark is not None
        assert not mark.pending.objects
        shutil.rmtree(dest)
        at += 1 if at < 8 else 5
    assert killed > 12


def small_disk(place: Path, megabytes: int) -> None:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    small_disk(place, 3)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_too_small_is_told_before_and_a_full_one_leaves_the_copy_good(
    house: House, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house, recordings=1, cases=2)
    dest = disk / "copy"
    with pytest.raises(NoRoomForCopyError) as told:
        run(house, dest)
    assert int(str(told.value.parameters["missing"])) > 60_000_000
    monkeypatch.setattr(backup_module, "SPARE_BYTES", 0)
    first = run(house, dest)
    for _ in range(3):
        house.ingest(os.urandom(1_000_000))
    house.settle()
    with pytest.raises(NoRoomForCopyError):
        run(house, dest)
    monkeypatch.setattr(backup_module, "SPARE_BYTES", -(1 << 30))
    with pytest.raises(DiskFullError):
        run(house, dest)
    held = copied_head(dest / "vault", house.vault)
    assert held is not None
    assert held[0].size == first.size
    check(house, dest)
    subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
    assert run(house, dest).is_whole
    check(house, dest)


def test_a_disposal_is_followed_once_the_vault_has_destroyed_its_own(house: House, dest: Path) -> None:
    kept, gone = fill(house, recordings=2)
    run(house, dest)
    append(house, *disposal(house, gone))
    waiting = run(house, dest)
    copied = dest / "vault" / "objects" / gone[-2:].lower() / f"{gone}.chunks"
    assert (waiting.destroyed, waiting.waiting, copied.exists()) == (0, 1, True)
    index = destroy(house, gone)
    done = run(house, dest)
    assert (done.destroyed, done.waiting, copied.exists()) == (3, 0, False)  # two keys and the object
    raw = (dest / "vault/keys/slots/000").read_bytes()
    assert not any(raw[index * PAIR_ROOM : (index + 1) * PAIR_ROOM])
    assert (dest / "vault/objects" / kept[-2:].lower() / f"{kept}.chunks").exists()
    check(house, dest)


def test_a_copy_that_begins_after_a_disposal_never_gets_what_is_gone(house: House, dest: Path) -> None:
    _kept, gone = fill(house, recordings=2)
    append(house, *disposal(house, gone))
    destroy(house, gone)
    result = run(house, dest)
    assert (result.is_whole, result.objects) == (True, 1)
    check(house, dest)


def test_a_bucket_that_a_logged_destruction_names_goes_from_the_copy_too(house: House, dest: Path) -> None:
    fill(house)
    run(house, dest)
    entry = Leaf(
        id=new_id(), type="destroy", time=stamp(utc_now()), by="sealer",
        facts={"dispose": new_id(), "state": "unreadable", "buckets": [BUCKET]},
    )  # fmt: skip
    append(house, entry)
    assert (dest / "vault/keys/buckets" / BUCKET).exists()
    run(house, dest)
    assert (dest / "vault/keys/buckets" / BUCKET).exists(), "the vault still has its own"
    shutil.rmtree(house.vault.keys_path / "buckets" / BUCKET)
    assert run(house, dest).destroyed == 1
    assert not (dest / "vault/keys/buckets" / BUCKET).exists()


def test_what_the_vault_loses_without_a_disposal_stays_in_the_copy(house: House, dest: Path) -> None:
    lost, _ = fill(house, recordings=2)
    run(house, dest)
    destroy(house, lost)
    fill(house, recordings=1)
    assert run(house, dest).is_whole
    check(house, dest)


def test_what_the_vault_lost_before_it_was_copied_is_named_and_asked_for_again(
    house: House, dest: Path
) -> None:
    damaged, lost, _ = fill(house, recordings=3)
    path = house.vault.object_path(lost)
    away = path.rename(path.with_suffix(".away"))
    other = house.vault.object_path(damaged)
    other.chmod(0o600)
    raw = other.read_bytes()
    other.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    result = run(house, dest)
    assert {problem.file.split("/")[2][:26] for problem in result.problems} == {damaged, lost}
    assert result.objects == 1
    away.rename(path)
    other.write_bytes(raw)
    again = run(house, dest)
    assert (again.is_whole, again.objects) == (True, 2)
    check(house, dest)


def test_check_reads_the_copy_again_and_puts_right_what_is_damaged_in_it(house: House, dest: Path) -> None:
    recordings = fill(house, recordings=2, cases=300)
    run(house, dest)
    target = dest / "vault"
    for path in (
        target / "objects" / recordings[0][-2:].lower() / f"{recordings[0]}.chunks",
        target / "packs/000",
        target / "keys/slots/000",
        target / "log/tile/0/000",
        target / "log/tile/entries/000",
    ):
        path.chmod(0o600)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 50 + 5] ^= 1
        path.write_bytes(raw)
    assert not verify_vault(target, house.vault.founding_key).ok
    assert run(house, dest, afresh=True).is_whole
    check(house, dest)


def test_a_vault_that_was_rolled_back_is_told_with_both_heads_and_the_copy_is_left_alone(
    house: House, dest: Path, tmp_path: Path
) -> None:
    fill(house)
    shutil.copytree(house.vault.path, tmp_path / "older")
    fill(house)
    run(house, dest)
    copied = (dest / "vault/log/checkpoint").read_bytes()
    shutil.rmtree(house.vault.path)
    shutil.copytree(tmp_path / "older", house.vault.path)
    with pytest.raises(DivergedError) as told:
        run(house, dest)
    assert copied.decode() in str(told.value)
    assert house.reader.checkpoint()[1].decode() in str(told.value)
    append(
        house, *(Leaf(new_id(), "clock", stamp(utc_now()), "vaultd") for _ in range(40))
    )  # and then forked
    with pytest.raises(DivergedError, match="differ"):
        run(house, dest)
    assert (dest / "vault/log/checkpoint").read_bytes() == copied
    check(house, dest)


def test_a_source_whose_entries_are_damaged_does_not_spoil_the_copy(house: House, dest: Path) -> None:
    fill(house)
    run(house, dest)
    fill(house, recordings=1, cases=300)
    bundle = house.vault.log_path / "tile/entries/000"
    raw = bytearray(bundle.read_bytes())
    raw[-30] ^= 1
    bundle.write_bytes(raw)
    with pytest.raises(SourceDamagedError):
        run(house, dest)
    with pytest.raises(SourceDamagedError):
        run(house, dest, afresh=True)
    check(house, dest)


def test_nothing_is_written_over_anything_else(house: House, dest: Path, tmp_path: Path) -> None:
    fill(house, recordings=1)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    other = tmp_path / "other"
    run(house, other)
    mark = Mark.read(other)
    assert mark is not None
    Mark(new_id(), mark.size).write(other)
    for place in (full, other, house.vault.path, house.vault.path / "copy", house.directory):
        with pytest.raises(NotABackupError):
            run(house, place)
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]
    (full / "thesis.txt").rename(full / "backup.json")
    with pytest.raises(NotABackupError):
        run(house, full)


def test_two_runs_into_one_copy_are_not_made(house: House, dest: Path) -> None:
    fill(house, recordings=1)
    again = list[type[BaseException]]()

    def second(_passed: Passed) -> None:
        if not again:
            with pytest.raises(CopyBusyError) as told:
                run(house, dest)
            again.append(told.type)

    Backup(house.vault, dest, second).run()
    assert again == [CopyBusyError]


def test_secrets_and_the_database_are_copied_only_when_asked_for(house: House, dest: Path) -> None:
    fill(house, recordings=1)
    run(house, dest)
    assert not (dest / "sealed-root").exists()
    assert not list(dest.rglob("*.key"))
    database = house.directory / "house.db"
    result = run(house, dest, sealed_root=house.keys, database=database)
    assert result.with_sealed_root
    assert result.with_database
    assert (dest / "sealed-root/root.age").read_bytes() == (house.keys / "root.age").read_bytes()
    counts = []
    for path in (dest / "database/house.db", database):
        with closing(sqlite3.connect(path)) as connection:
            counts.append(connection.execute("SELECT count(*) FROM entry").fetchone())
    assert counts[0] == counts[1]


def test_a_copy_whose_disk_gives_back_other_bytes_is_not_called_one(
    house: House, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(house, recordings=1)
    real = placing._write_all
    monkeypatch.setattr(placing, "_write_all", lambda held, piece: real(held, b"x" + bytes(piece)[1:]))
    with pytest.raises(MediumError):
        run(house, dest)
    assert copied_head(dest / "vault", house.vault) is None
