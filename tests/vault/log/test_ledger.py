from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash.house import House

from core.clock import new_id, stamp, utc_now
from vault.formats.entry import Leaf
from vault.formats.merkle import TileError
from vault.formats.note import NoteSignatureError, SigningKey
from vault.formats.pack import PackError, Private
from vault.formats.proof import Receipt
from vault.founding import PERMITS
from vault.log.edge import LogDamagedError
from vault.log.ledger import LogReader, NoCheckpointError, NoEntryError
from vault.log.writer import (
    BATCH_LIMIT,
    LogFullError,
    LogKeyError,
    LogWriteError,
    LogWriter,
    SecondWriterError,
)
from vault.store.keys import seal_body

Entry = tuple[Leaf, Private]
FOUNDED = 2 + len(PERMITS)  # entries that founding makes: genesis, the keys, the bucket of facts
ROOM = BATCH_LIMIT - FOUNDED  # in the first bundle


def entries(house: House, count: int, *, bodies: bool = True) -> list[Entry]:
    made = []
    for place in range(count):
        commitment, stored, slot = seal_body(house.vault, {"salt": "00", "fields": {"place": place}}, "facts")
        leaf = Leaf(
            id=new_id(), type="case", time=stamp(utc_now()), by="console", body=commitment if bodies else None
        )
        made.append((leaf, Private(stored, slot) if bodies else Private()))
    return made


@pytest.fixture
def writer(house: House) -> Iterator[LogWriter]:
    writer = LogWriter(house.vault, house.key("log"))
    yield writer
    writer.close()


def reopened(house: House) -> LogWriter:
    return LogWriter(house.vault, house.key("log"))


def append(house: House, count: int) -> list[Leaf]:
    """In one writer, in batches as big as they may be."""
    made = entries(house, count, bodies=False)
    writer = reopened(house)
    for start in range(0, count, BATCH_LIMIT):
        writer.append(made[start : start + BATCH_LIMIT])
    writer.close()
    return [leaf for leaf, _ in made]


def test_what_is_appended_can_be_read_and_proven(house: House, writer: LogWriter) -> None:
    batch = entries(house, 3)
    done = writer.append(batch)
    assert (done.start, done.checkpoint.size) == (FOUNDED, FOUNDED + 3)
    assert [house.reader.leaf(FOUNDED + i) for i in range(3)] == [leaf for leaf, _ in batch]
    for index, leaf in enumerate(house.reader.leaves()):
        assert house.reader.proven_leaf(index) == leaf
    assert house.verify().ok


@pytest.mark.parametrize("sizes", [[1] * 7, [ROOM - 1, 1, 1], [ROOM], [256], [255, 256, 2], [256, 256, 256]])
def test_batches_may_end_anywhere_in_a_bundle(house: House, sizes: list[int]) -> None:
    written = list(house.reader.leaves())
    for size in sizes:
        batch = entries(house, size, bodies=size < 5)
        writer = reopened(house)  # every batch by a writer that had to recover the edge
        writer.append(batch)
        writer.close()
        written += [leaf for leaf, _ in batch]
    assert list(LogReader(house.vault).leaves()) == written
    report = house.verify()
    assert report.ok, report.failures


def test_a_receipt_stays_true_while_the_log_grows(house: House) -> None:
    append(house, 20)
    receipt = Receipt.parse(house.reader.proof(7))
    append(house, 600)
    assert receipt.verify(house.vault.verifier) == house.reader.leaf(7)


def test_partial_tiles_go_away_one_bundle_late(house: House) -> None:
    for count in (100, 100, 100, 200, 300):
        append(house, count)
    entries_left = house.vault.log_path / "tile/entries"
    assert not (entries_left / "000.p").is_dir() or not list((entries_left / "000.p").iterdir())
    assert list((entries_left / "003.p").iterdir())
    assert house.verify().ok


def test_a_reader_with_an_older_checkpoint_still_reads_after_its_partial_is_gone(house: House) -> None:
    append(house, 5)
    size = house.reader.size
    old = LogReader(house.vault)
    append(house, 800)
    assert old.raw(size - 1, size) == LogReader(house.vault).raw(size - 1)


def test_there_is_one_writer(house: House, writer: LogWriter) -> None:
    with pytest.raises(SecondWriterError, match="a log has one writer"):
        reopened(house)
    writer.close()
    reopened(house).close()


def test_another_logs_key_signs_nothing(house: House) -> None:
    with pytest.raises(LogKeyError, match="Nothing was signed"):
        LogWriter(house.vault, SigningKey.generate(house.vault.origin))


@pytest.mark.parametrize("size", [0, BATCH_LIMIT + 1])
def test_a_batch_has_one_to_256_entries(house: House, writer: LogWriter, size: int) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        writer.append([entries(house, 1)[0]] * size)


def test_reading_beyond_the_log_is_said(house: House) -> None:
    with pytest.raises(NoEntryError, match="no entry 99"):
        house.reader.leaf(99)
    with pytest.raises(NoEntryError):
        house.reader.raw(-1)


def test_a_missing_or_forged_head_is_refused(house: House) -> None:
    head = house.vault.log_path / "checkpoint"
    forged = SigningKey.generate(house.vault.origin)
    checkpoint, _ = house.reader.checkpoint()
    head.chmod(0o640)
    head.write_bytes(checkpoint.signed(forged))
    with pytest.raises(NoteSignatureError):
        house.reader.checkpoint()
    head.unlink()
    with pytest.raises(NoCheckpointError):
        reopened(house)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"log/tile/entries/000.p/{FOUNDED}", LogDamagedError),
        (f"log/tile/0/000.p/{FOUNDED}", LogDamagedError),
    ],
)
def test_a_writer_adds_nothing_to_a_damaged_edge(house: House, name: str, error: type[Exception]) -> None:
    path = house.vault.path / name
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)
    head = (house.vault.log_path / "checkpoint").read_bytes()
    with pytest.raises(error):
        reopened(house)
    assert (house.vault.log_path / "checkpoint").read_bytes() == head


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (f"log/tile/entries/000.p/{FOUNDED}", LogDamagedError),
        (f"log/tile/0/000.p/{FOUNDED}", TileError),
        ("packs/000", PackError),
    ],
)
def test_a_writer_adds_nothing_when_a_file_of_the_edge_is_gone(
    house: House, name: str, error: type[Exception]
) -> None:
    (house.vault.path / name).unlink()
    with pytest.raises(error):
        reopened(house)


def test_what_lies_beyond_the_checkpoint_is_cut_off(house: House) -> None:
    append(house, 10)
    before = snapshot(house.vault.path)
    head = (house.vault.log_path / "checkpoint").read_bytes()
    writer = reopened(house)
    writer.append(entries(house, 256))
    writer.close()
    (house.vault.log_path / "checkpoint").write_bytes(head)  # as if the power had gone before the rename
    reopened(house).close()
    assert snapshot(house.vault.path) == before


def snapshot(vault: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(vault)): path.read_bytes()
        for path in vault.rglob("*")
        if path.is_file() and path.name != "lock" and "cut" not in path.parts
    }


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "write", "replace"])
def test_a_batch_that_fails_at_any_step_is_on_the_log_whole_or_not_at_all(
    house: House, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """The table: every call of every kind, in a batch that begins a new bundle, failed once."""
    append(house, 247)
    outcomes, at = set(), 0
    while True:
        at += 1
        before = list(LogReader(house.vault).leaves())
        writer, batch = reopened(house), entries(house, 10, bodies=False)
        with monkeypatch.context() as patched:
            failed = fail_at(patched, call, at, code)
            try:
                writer.append(batch)
            except LogWriteError as cause:
                outcomes.add(type(cause))
            finally:
                writer.close()
        reopened(house).close()  # what a restart does
        after = list(LogReader(house.vault).leaves())
        if not failed:
            break
        assert after in (before, before + [leaf for leaf, _ in batch])
        assert house.verify().ok
    assert at > 2 or call == "write"
    assert outcomes == {LogFullError if code == errno.ENOSPC else LogWriteError}
    assert len(after) == len(before) + 10


def fail_at(patched: pytest.MonkeyPatch, call: str, at: int, code: int) -> list[int]:
    """Make the `at`-th call of one of os's functions fail; the list says that it came to that."""
    real, calls, failed = getattr(os, call), [0], []

    def failing(*args: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == at:
            failed.append(at)
            raise OSError(code, os.strerror(code))
        return real(*args, **options)

    patched.setattr(os, call, failing)
    return failed
