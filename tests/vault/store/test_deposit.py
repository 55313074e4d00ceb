from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.house import BUCKET, House
from hypothesis import given
from hypothesis import strategies as st

from vault.formats.age import CHUNK_SIZE, NONCE_SIZE, PayloadReader, sealed_size
from vault.store import deposit as deposit_module
from vault.store import medium
from vault.store.deposit import Depositor, SourceChangedError, SourceLostError, sweep_incoming
from vault.store.keys import NoBucketError
from vault.store.medium import (
    LANE_BYTES,
    PIECE,
    PLAIN_ROOM,
    Buffers,
    CancelledError,
    DiskFullError,
    MediumError,
)

SIZES = [
    0,
    1,
    CHUNK_SIZE - 1,
    CHUNK_SIZE,
    CHUNK_SIZE + 1,
    PIECE - 1,
    PIECE,
    PIECE + 1,
    PLAIN_ROOM - 1,
    PLAIN_ROOM,
    PLAIN_ROOM + 1,
    4 * PLAIN_ROOM + 77,
]


class FlakySource(io.BytesIO):
    """A recorder that is pulled out after `until` bytes, and gives bytes in odd pieces."""

    def __init__(self, content: bytes, until: int | None = None, piece: int = 300_001) -> None:
        super().__init__(content)
        self.until, self.piece = until, piece

    def readinto(self, buffer: memoryview) -> int:
        room = min(len(buffer), self.piece)
        if self.until is not None:
            room = min(room, self.until - self.tell())
            if room <= 0:
                raise OSError(errno.ENODEV, "No such device")
        return super().readinto(buffer[:room])


def plaintext(house: House, deposit_id: str, key_slot: bytes) -> bytes:
    file_key = house.keyring.file_key(key_slot, BUCKET)
    path = house.vault.incoming_path(deposit_id)
    with PayloadReader.open(path, file_key, key_slot[-NONCE_SIZE:]) as reader:
        return reader.read()


@pytest.mark.parametrize("size", SIZES)
def test_a_deposit_says_exactly_what_it_stored(house: House, size: int) -> None:
    content = os.urandom(size)
    deposit = house.deposit(content, expected_size=size)
    stored = house.vault.incoming_path(deposit.id).read_bytes()
    assert deposit.sha256 == hashlib.sha256(content).hexdigest()
    assert deposit.stored_sha256 == hashlib.sha256(stored).hexdigest()
    assert (deposit.size, deposit.stored_size) == (size, len(stored)) == (size, sealed_size(size))
    assert plaintext(house, deposit.id, deposit.key_slot) == content


@pytest.mark.stock
@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, 3 * PLAIN_ROOM + 5])
def test_stock_age_opens_slot_and_object_put_together(house: House, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    deposit = house.deposit(content)
    whole = tmp_path / "whole.age"
    whole.write_bytes(deposit.key_slot + house.vault.incoming_path(deposit.id).read_bytes())
    identity = tmp_path / "bucket.key"
    identity.write_text(house.keyring.bucket(BUCKET).text + "\n")
    age = shutil.which("age")
    assert age, "Debian's age belongs to the test machine (script/bootstrap)"
    assert (
        subprocess.run([age, "-d", "-i", identity, whole], capture_output=True, check=True).stdout == content
    )


@given(cut=st.integers(0, 2 * PLAIN_ROOM), size=st.integers(0, 2 * PLAIN_ROOM))
def test_a_deposit_goes_on_after_an_unplug_as_if_nothing_had_happened(
    resuming: House, cut: int, size: int
) -> None:
    content = os.urandom(size)
    sealing = Depositor(resuming.vault, resuming.buffers).begin(BUCKET, expected_size=size)
    if cut <= size:
        with pytest.raises(SourceLostError, match="No such device") as lost:
            sealing.take(FlakySource(content, until=cut))
        assert lost.value.parameters["done"] == sealing.done <= cut
    deposit = sealing.take(FlakySource(content))
    assert deposit.sha256 == hashlib.sha256(content).hexdigest()
    assert plaintext(resuming, deposit.id, deposit.key_slot) == content
    resuming.vault.incoming_path(deposit.id).unlink()


@pytest.fixture(scope="module")
def resuming(tmp_path_factory: pytest.TempPathFactory, foundation: object) -> Iterator[House]:
    house = House.copy(foundation, tmp_path_factory.mktemp("resuming"))  # type: ignore[arg-type]
    yield house
    house.close()


def test_a_recorder_that_was_changed_in_between_is_not_trusted(house: House) -> None:
    content = bytearray(os.urandom(3 * PIECE))
    sealing = Depositor(house.vault, house.buffers).begin(BUCKET)
    with pytest.raises(SourceLostError):
        sealing.take(FlakySource(bytes(content), until=2 * PIECE + 5))
    assert sealing.done
    content[17] ^= 1
    with pytest.raises(SourceChangedError):
        sealing.take(FlakySource(bytes(content)))
    assert not house.vault.incoming_path(sealing.id).exists()


def test_a_recorder_that_ends_where_it_was_lost_was_changed(house: House) -> None:
    """An object that ended there would have no last chunk, and nobody could ever open it."""
    content = os.urandom(3 * PIECE)
    sealing = Depositor(house.vault, house.buffers).begin(BUCKET)
    with pytest.raises(SourceLostError):
        sealing.take(FlakySource(content, until=2 * PIECE + 5))
    assert sealing.done == PIECE
    with pytest.raises(SourceChangedError, match=f"first {PIECE} bytes"):
        sealing.take(FlakySource(content[: sealing.done]))
    assert not house.vault.incoming_path(sealing.id).exists()


def test_a_disk_that_failed_while_the_recorder_left_is_not_hidden(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int, content: memoryview, offset: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(medium.os, "pwrite", failing)
    sealing = Depositor(house.vault, house.buffers).begin(BUCKET)
    with pytest.raises(MediumError) as met:
        sealing.take(FlakySource(os.urandom(4 * PLAIN_ROOM), until=2 * PLAIN_ROOM + 5))
    assert isinstance(met.value.__cause__, OSError | SourceLostError)
    assert not house.vault.incoming_path(sealing.id).exists()


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EIO, MediumError), (errno.ENOSPC, DiskFullError), (errno.EMFILE, MediumError)],
)
def test_a_disk_that_cannot_make_the_name_durable_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def failing(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(deposit_module, "fsync_directory", failing)
    with pytest.raises(error, match=r"incoming/.*\.part"):
        house.deposit(b"a photograph")


def test_a_part_that_cannot_be_removed_does_not_hide_the_cause(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(deposit_module, "drop_quietly", failing)
    with pytest.raises(SourceLostError):
        Depositor(house.vault, house.buffers).deposit(FlakySource(b"x" * 10, until=3), BUCKET)


def test_a_recorder_that_came_back_shorter_is_not_trusted(house: House) -> None:
    content = os.urandom(3 * PIECE)
    sealing = Depositor(house.vault, house.buffers).begin(BUCKET)
    with pytest.raises(SourceLostError):
        sealing.take(FlakySource(content, until=2 * PIECE + 5))
    with pytest.raises(SourceChangedError):
        sealing.take(FlakySource(content[: PIECE // 2]))


def test_a_lost_source_leaves_no_part_when_nobody_resumes(house: House) -> None:
    source = FlakySource(os.urandom(2 * PIECE), until=PIECE + 1)
    with pytest.raises(SourceLostError, match="No such device"):
        Depositor(house.vault, house.buffers).deposit(source, BUCKET)
    assert list((house.vault.path / "incoming").iterdir()) == []


def test_a_cancelled_deposit_leaves_nothing(house: House) -> None:
    cancel = threading.Event()

    def progress(done: int) -> None:
        cancel.set()

    with pytest.raises(CancelledError):
        Depositor(house.vault, house.buffers).deposit(
            io.BytesIO(os.urandom(5 * PLAIN_ROOM)), BUCKET, progress=progress, cancel=cancel
        )
    assert list((house.vault.path / "incoming").iterdir()) == []


def test_progress_counts_up_to_the_size(house: House) -> None:
    seen: list[int] = []
    house.deposit(bytes(3 * PLAIN_ROOM + 1), progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 3 * PLAIN_ROOM + 1


def test_streams_share_the_pool_and_all_finish(house: House) -> None:
    house.buffers = Buffers(2 * LANE_BYTES)
    contents = [os.urandom(PLAIN_ROOM + i) for i in range(8)]
    digests: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda i=i: digests.update({i: house.deposit(contents[i]).sha256}))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == {i: hashlib.sha256(content).hexdigest() for i, content in enumerate(contents)}


def test_waiting_for_a_lane_can_be_cancelled() -> None:
    buffers, cancel = Buffers(LANE_BYTES), threading.Event()
    cancel.set()
    with buffers.lane(), pytest.raises(CancelledError), buffers.lane(cancel):
        pass


def test_the_pool_of_a_station_with_eight_recorders_stays_small() -> None:
    assert len(Buffers(64 * 2**20)._free) >= 8


def test_a_bucket_that_nobody_made_is_refused_before_a_byte_is_read(house: House) -> None:
    with pytest.raises(NoBucketError, match="A-1999-01"):
        Depositor(house.vault, house.buffers).deposit(io.BytesIO(b"x"), "A-1999-01")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_disk_that_fails_to_write_is_named_and_the_copy_given_up(
    house: House, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    calls = []
    pwrite = os.pwrite

    def failing(descriptor: int, content: memoryview, offset: int) -> int:
        calls.append(offset)
        if len(calls) == at:
            raise OSError(errno.EIO, "Input/output error")
        return pwrite(descriptor, content, offset)

    monkeypatch.setattr(medium.os, "pwrite", failing)
    with pytest.raises(MediumError, match=r"incoming/.*\.part \(Input/output error\)"):
        house.deposit(os.urandom(4 * PLAIN_ROOM))
    assert list((house.vault.path / "incoming").iterdir()) == []


def test_a_failed_fsync_is_never_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(medium.os, "fsync", failing)
    with pytest.raises(MediumError):
        house.deposit(b"a photograph")
    assert len(calls) == 1
    assert list((house.vault.path / "incoming").iterdir()) == []


@pytest.fixture
def tiny_disk(house: House, tmp_path: Path) -> Iterator[Path]:
    """The vault's incoming/ on an ext4 image of 16 MiB."""
    image, place = tmp_path / "disk.img", house.vault.path / "incoming"
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True)
    if mounted.returncode:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "none", place], check=False, capture_output=True
        )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("announced", [0, 20 * 2**20])
def test_a_full_disk_is_said_before_or_while_copying_and_leaves_nothing(
    house: House, tiny_disk: Path, announced: int
) -> None:
    content = bytes(20 * 2**20)
    with pytest.raises(DiskFullError, match="no room"):
        house.deposit(content, expected_size=announced)
    assert list(tiny_disk.glob("*.part")) == []
    small = house.deposit(b"still fits")
    assert plaintext(house, small.id, small.key_slot) == b"still fits"


def test_a_file_system_without_direct_access_is_written_through_the_cache(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refusing(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(path, flags, mode)

    monkeypatch.setattr(medium.os, "open", refusing)
    content = os.urandom(2 * PIECE + 3)
    deposit = house.deposit(content)
    assert plaintext(house, deposit.id, deposit.key_slot) == content
    assert medium.Reader().digest(house.vault.incoming_path(deposit.id)).sha256 == deposit.stored_sha256


def test_the_plaintext_never_touches_the_disk(house: House) -> None:
    marker = b"the witness said her name"
    house.deposit(marker * 5000)
    for path in house.directory.rglob("*"):
        assert not path.is_file() or marker not in path.read_bytes()


def test_a_sweep_takes_only_what_nobody_waits_for(house: House) -> None:
    waiting, dead = house.deposit(b"waiting"), house.deposit(b"dead")
    writing = medium.PartFile(house.vault.incoming_path("writing"))
    house.vault.mismatched_path("aside").write_bytes(b"")
    assert sweep_incoming(house.vault, {waiting.id}) == [house.vault.incoming_path(dead.id)]
    writing.close()
    left = {path.name for path in (house.vault.path / "incoming").iterdir()}
    assert left == {f"{waiting.id}.part", "writing.part", "aside.mismatched"}
