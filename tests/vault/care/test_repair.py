"""What is damaged is mended from a copy that proves itself, and nothing is thrown away."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from crash.house import House
from keeping.signers import Signers

from core.clock import new_id, stamp, utc_now
from core.digest import sha256_hex
from vault.care import rule
from vault.care.backup import Backup
from vault.care.mending.proven import NotProvenError
from vault.care.mending.repaired import NotRepairableError, Repaired
from vault.care.repair import Repairer, WrongCopyError
from vault.care.restore import copy_of
from vault.formats.entry import Leaf
from vault.formats.pack import PAIR_ROOM, Private
from vault.founding import initialise
from vault.log.writer import LogWriter
from vault.store.objects import Vault
from vault.store.worm import Flag, NoWormError, is_immutable, put_on, take_off


@pytest.fixture
def copy(house: House, tmp_path: Path) -> Vault:
    """A copy that is a little older than the vault."""
    for n in range(2):
        house.ingest(os.urandom(100_000 + n))
    house.settle()
    for _ in range(300):
        house.case()
    house.settle()
    Backup(house.vault, tmp_path / "copy").run()
    house.ingest(b"newer than the copy")
    house.case()
    house.settle()
    return copy_of(tmp_path / "copy")


def flip(path: Path, place: int | None = None) -> bytes:
    """One bit; gives what was there."""
    path.chmod(0o600)
    raw = path.read_bytes()
    at = random.SystemRandom().randrange(len(raw)) if place is None else place
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
    return raw


def recordings(house: House) -> list[tuple[int, Leaf]]:
    return [(i, leaf) for i, leaf in enumerate(house.reader.leaves()) if leaf.object]


def check(house: House) -> None:
    report = house.verify()
    assert report.ok, [one.sentence for one in report.failures]


def aside(house: House) -> list[Path]:
    return sorted((house.vault.path / "incoming").glob("*.mismatched"))


def mend(house: House, copy: Vault, file: str) -> Repaired:
    done = Repairer(house.vault, copy).repair(file)
    assert done is not None
    return done


@pytest.mark.parametrize("lost", [False, True])
def test_an_object_is_mended_and_the_damaged_one_is_kept(house: House, copy: Vault, *, lost: bool) -> None:
    (index, leaf), _, _ = recordings(house)
    assert leaf.object
    path = house.vault.object_path(leaf.id)
    good = flip(path)
    damaged = path.read_bytes()
    if lost:
        path.unlink()
    file = str(path.relative_to(house.vault.path))
    done = mend(house, copy, file)
    assert path.read_bytes() == good
    assert (done.fault, done.recording, done.entries) == ("missing" if lost else "damaged", leaf.id, (index,))
    assert done.sha256 == leaf.object.stored_sha256
    assert [kept.read_bytes() for kept in aside(house)] == ([] if lost else [damaged])
    assert Repairer(house.vault, copy).repair(file) is None, "nothing is wrong with it any more"
    check(house)


def test_a_repair_is_an_entry_that_the_log_takes(house: House, copy: Vault) -> None:
    rule.register(house.rules)
    (_, leaf), _, _ = recordings(house)
    flip(house.vault.object_path(leaf.id))
    slot = "keys/slots/000"
    flip(house.vault.path / slot, recordings(house)[0][0] * PAIR_ROOM + 300)
    for file in (Repairer(house.vault, copy).object_file(leaf.id), slot):
        house.submit("bureau", mend(house, copy, file).draft())
    house.settle()
    told = [one for one in house.reader.leaves() if one.type == "repair"]
    assert [one.facts["file"] for one in told] == [f"objects/{leaf.id[-2:].lower()}/{leaf.id}.chunks", slot]
    assert told[0].about == (leaf.id,)
    assert not [one for one in house.reader.leaves() if one.type == "refusal"]


def test_a_damaged_copy_mends_nothing(house: House, copy: Vault) -> None:
    (_, leaf), _, _ = recordings(house)
    path = house.vault.object_path(leaf.id)
    flip(path)
    flip(copy.object_path(leaf.id))
    before = path.read_bytes()
    with pytest.raises(NotProvenError):
        mend(house, copy, Repairer(house.vault, copy).object_file(leaf.id))
    assert path.read_bytes() == before
    assert aside(house) == []


FILES = ("log/tile/entries/000", "log/tile/0/000", "log/tile/1/000.p/1", "packs/000", "keys/slots/000")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("lost", [False, True])
def test_a_file_of_log_packs_or_slots_is_mended(house: House, copy: Vault, file: str, *, lost: bool) -> None:
    path = house.vault.path / file
    place = PAIR_ROOM * recordings(house)[0][0] + 10 if file.startswith("keys") else None
    good = flip(path, place)
    if lost:
        path.unlink()
    done = mend(house, copy, file)
    assert path.read_bytes() == good
    assert (done.file, done.sha256) == (file, sha256_hex(good))
    assert len(aside(house)) == (not lost)
    check(house)


def test_everything_that_the_verifier_names_is_mended_whatever_bits_were_flipped(
    house: House, copy: Vault
) -> None:
    chance = random.SystemRandom()
    ids = [leaf.id for _, leaf in recordings(house)][:2]
    files = [*FILES, *(f"objects/{one[-2:].lower()}/{one}.chunks" for one in ids)]
    for _ in range(6):
        for file in chance.sample(files, 3):
            flip(house.vault.path / file)
        repairer = Repairer(house.vault, copy)
        for _ in range(3):  # what a damaged tile hid is named once that is mended
            damaged = repairer.damaged()
            for file in damaged:
                repairer.repair(file)
            if not damaged:
                break
        check(house)


def test_the_edge_that_the_copy_does_not_have_is_mended_from_what_is_left_of_it(
    house: House, copy: Vault
) -> None:
    width = house.reader.size % 256
    tile = f"log/tile/0/001.p/{width}"
    flip(house.vault.path / tile)
    mend(house, copy, tile)
    check(house)
    bundle = f"log/tile/entries/001.p/{width}"
    flip(house.vault.path / bundle)
    with pytest.raises(NotProvenError):
        mend(house, copy, bundle)


def test_a_file_that_vaultd_writes_is_mended_only_while_it_is_stopped(house: House, copy: Vault) -> None:
    tile = f"log/tile/0/001.p/{house.reader.size % 256}"
    writer = LogWriter(house.vault, house.key("log"))
    flip(house.vault.path / tile)
    with pytest.raises(NotRepairableError, match="stop sealdock-vaultd"):
        mend(house, copy, tile)
    flip(house.vault.path / "log/tile/0/000")
    mend(house, copy, "log/tile/0/000")
    writer.close()
    mend(house, copy, tile)
    check(house)


def test_a_key_that_a_disposal_destroyed_never_comes_back(house: House, copy: Vault) -> None:
    (index, leaf), (other, _), _ = recordings(house)
    writer = LogWriter(house.vault, house.key("log"))
    two = Signers(house.vault.id)
    act = two.signed(Leaf(new_id(), "dispose", stamp(utc_now()), "bureau", about=(leaf.id,)))
    writer.append([(each, Private()) for each in (*two.entries(), act)])
    writer.close()
    slots = house.vault.path / "keys/slots/000"
    with slots.open("r+b") as file:
        for gone in (index, other):
            os.pwrite(file.fileno(), bytes(PAIR_ROOM), gone * PAIR_ROOM)
    house.vault.object_path(leaf.id).unlink()
    done = mend(house, copy, "keys/slots/000")
    assert done.entries == (other,)
    raw = slots.read_bytes()
    assert not any(raw[index * PAIR_ROOM : (index + 1) * PAIR_ROOM])
    assert any(raw[other * PAIR_ROOM : (other + 1) * PAIR_ROOM])
    with pytest.raises(NotRepairableError, match="disposed"):
        mend(house, copy, Repairer(house.vault, copy).object_file(leaf.id))
    check(house)


def test_an_immutable_object_is_mended_and_immutable_again(house: House, copy: Vault) -> None:
    (_, leaf), _, _ = recordings(house)
    path = house.vault.object_path(leaf.id)
    good = flip(path)
    try:
        put_on(path, Flag.IMMUTABLE)
        put_on(path.parent, Flag.APPEND_ONLY)
    except NoWormError:
        pytest.skip("this file system has no such flags, or this process may not set them")
    try:
        mend(house, copy, Repairer(house.vault, copy).object_file(leaf.id))
        assert path.read_bytes() == good
        assert is_immutable(path)
        with pytest.raises(PermissionError):
            path.unlink()
    finally:
        take_off(path.parent, Flag.APPEND_ONLY)
        take_off(path, Flag.IMMUTABLE)


def test_only_a_copy_of_this_vault_mends_it(house: House, tmp_path: Path) -> None:
    initialise(tmp_path / "other", tmp_path / "keys", b"a passphrase for another")
    with pytest.raises(WrongCopyError):
        Repairer(house.vault, Vault.open(tmp_path / "other"))


@pytest.mark.parametrize(
    "file",
    [
        "vault.json",
        "log/checkpoint",
        "../../etc/passwd",
        "log/tile/0/../../x",
        "keys/root.recipient",
        "log/tile/0/001.p/3",
        "log/tile/7/000",
        "log/tile/entries/x001/000",
        "packs/009",
    ],
)
def test_no_other_file_is_touched(house: House, copy: Vault, file: str) -> None:
    with pytest.raises(NotRepairableError):
        mend(house, copy, file)


def test_an_object_of_no_entry_is_not_put_in(house: House, copy: Vault) -> None:
    with pytest.raises(NotRepairableError):
        mend(house, copy, Repairer(house.vault, copy).object_file(new_id()))
