"""Starting on a log whose files say more, or less, than its signed head."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crash.house import House

from core.clock import new_id, stamp, utc_now
from vault.formats.entry import Leaf
from vault.formats.pack import Private
from vault.founding import PERMITS
from vault.log.edge import LogDamagedError
from vault.log.writer import LogWriter
from vault.store.keys import seal_body

FOUNDED = 2 + len(PERMITS)  # entries that founding makes: genesis, the keys, the bucket of facts


def append(house: House, count: int, *, bodies: bool = True) -> None:
    writer = LogWriter(house.vault, house.key("log"))
    for start in range(0, count, 256):
        batch = []
        for place in range(start, min(start + 256, count)):
            leaf = Leaf(id=new_id(), type="case", time=stamp(utc_now()), by="console")
            if bodies:
                salted = {"salt": "00", "fields": {"place": place}}
                commitment, stored, slot = seal_body(house.vault, salted, "facts")
                batch.append((Leaf(**{**shape(leaf), "body": commitment}), Private(stored, slot)))
            else:
                batch.append((leaf, Private()))
        writer.append(batch)
    writer.close()


def shape(leaf: Leaf) -> dict[str, object]:
    return {name: getattr(leaf, name) for name in ("id", "type", "time", "by")}


def reopen(house: House) -> None:
    LogWriter(house.vault, house.key("log")).close()


def roll_back(house: House, head: bytes) -> None:
    (house.vault.log_path / "checkpoint").write_bytes(head)


def head(house: House) -> bytes:
    return (house.vault.log_path / "checkpoint").read_bytes()


def kept(house: House) -> dict[str, bytes]:
    """What was set aside, by name."""
    return {path.name: path.read_bytes() for path in (house.vault.log_path / "cut").glob("*/*")}


def test_what_lies_beyond_the_checkpoint_is_kept_before_it_is_cut_off(house: House) -> None:
    append(house, 3)
    before, older = private_files(house), head(house)
    append(house, 4)
    after = private_files(house)
    roll_back(house, older)
    reopen(house)
    assert private_files(house) == before
    for name in ("packs/000", "keys/slots/000"):
        at = len(before[name])
        assert kept(house)[f"{name.replace('/', '-')}.from-{at}"] == after[name][at:]
    assert kept(house)[f"log-tile-entries-000.p-{FOUNDED + 7}.from-0"]


def private_files(house: House) -> dict[str, bytes]:
    found = [*house.vault.packs.directory.rglob("*"), *house.vault.slots.directory.rglob("*")]
    return {str(path.relative_to(house.vault.path)): path.read_bytes() for path in found if path.is_file()}


def test_a_bundle_that_was_only_begun_is_kept_too(house: House) -> None:
    append(house, 254 - FOUNDED)
    older = head(house)
    append(house, 6)
    after = private_files(house)
    roll_back(house, older)
    reopen(house)
    assert kept(house)["packs-001.from-0"] == after["packs/001"]
    assert kept(house)["keys-slots-001.from-0"] == after["keys/slots/001"]


def test_nothing_is_set_aside_when_nothing_lies_beyond(house: House) -> None:
    append(house, 3)
    reopen(house)
    assert not (house.vault.log_path / "cut").exists()


def test_what_is_set_aside_twice_is_there_twice(house: House) -> None:
    older = head(house)
    for _ in range(2):
        append(house, 1)
        roll_back(house, older)
        reopen(house)
    assert len(list((house.vault.log_path / "cut").iterdir())) == 2


def test_more_than_a_batch_beyond_the_checkpoint_is_an_older_copy(house: House) -> None:
    append(house, 100, bodies=False)
    older = head(house)
    edge = {path: path.read_bytes() for path in house.vault.log_path.rglob("*") if path.is_file()}
    append(house, 600, bodies=False)
    for path, content in edge.items():  # with the partial tiles of its time, as a copy has them
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    roll_back(house, older)
    before = private_files(house)
    with pytest.raises(LogDamagedError, match="older copy"):
        reopen(house)
    assert private_files(house) == before


@pytest.mark.parametrize("harm", ["lost", "short"])
def test_a_slot_file_that_is_lost_or_short_is_named(house: House, harm: str) -> None:
    """A writer that went on would put zeros, that is destroyed keys, where slots were."""
    append(house, 3)
    slots = house.vault.slots.path(0)
    if harm == "lost":
        slots.unlink()
    else:
        os.truncate(slots, slots.stat().st_size - 512)
    with pytest.raises(LogDamagedError, match="slots/000"):
        reopen(house)


def test_the_head_is_made_durable_before_it_is_believed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever replaced it may have died before the rename was durable."""
    synced: list[Path] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd))[1]
    )
    reopen(house)
    assert house.vault.log_path in synced
