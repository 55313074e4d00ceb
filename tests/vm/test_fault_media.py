"""Cards as they come from the street: broken tables, odd names and times, claims that cannot be true.

Each is plugged in writable, so that an image which is the same afterwards shows that nothing was written.
"""

from __future__ import annotations

import os
from pathlib import Path

from vm.aftermath import ended, proven, said
from vm.card import FileSystem, Part, dcim, enforcement, film, make_parted
from vm.fault import (
    EXFAT_DIRTY,
    FAT_DIRTY,
    FREE,
    Fat32,
    blank_out,
    claim_size,
    digest,
    rename_short,
    set_dirty,
    start_of,
)
from vm.machine import Machine
from vm.station import Station

GBK = "执法记录".encode("gbk")
HUGE = 64 << 30
BOOT_CHECKSUM = 11 * 512  # exFAT: the sector that proves the eleven before it
ROOT_CLUSTER, NO_CLUSTER = 2, 1


def test_a_broken_table_odd_names_and_two_dirty_partitions(
    workbench: Machine, station: Station, tmp_path: Path
) -> None:
    broken, odd, two = tmp_path / "broken.img", tmp_path / "odd.img", tmp_path / "two.img"
    readable, lost, cut = _broken_table(workbench, broken)
    named = _odd_names(workbench, odd)
    both = _two_partitions(workbench, two)
    cards = {"5.1": broken, "5.2": odd, "7": two}
    before = {card: digest(card) for card in cards.values()}
    for port, card in cards.items():
        station.machine.usb.storage(card.stem, port, card, serial=card.stem)
    tiles = [ended(station, bay) for bay in (1, 2, 3)]
    assert said(tiles[0]) == ("partial", "ingest.partial", "custodian")
    assert tiles[0]["message"]["parameters"]["failed"] == 1  # the folder; nobody can say how much was in it
    assert said(tiles[1]) == ("sealed", None, None)
    assert said(tiles[2]) == ("sealed", None, "claim")  # the names in the second partition say no officer
    assert (tiles[2]["files_done"], tiles[2]["bytes_done"]) == (len(both), sum(map(len, both)))
    kept = proven(station, [*readable, *named, *both], more=1)
    (part,) = [content for content in kept.recordings if content not in {*readable, *named, *both}]
    assert len(part) == len(cut)
    assert part[: len(cut) // 4] == cut[: len(cut) // 4]  # what comes before the break is the recorder's
    assert not set(lost) & set(kept.recordings)
    assert {card: digest(card) for card in cards.values()} == before


def test_cards_that_cannot_be_read_are_said_to_be_damaged_and_a_huge_claim_leaves_the_rest(
    workbench: Machine, station: Station, tmp_path: Path
) -> None:
    fat, exfat, huge = tmp_path / "fat.img", tmp_path / "exfat.img", tmp_path / "huge.img"
    make_parted(workbench, fat, Part(FileSystem.FAT32, dcim([film()])))
    Fat32.of(fat).point(ROOT_CLUSTER, NO_CLUSTER)
    make_parted(workbench, exfat, Part(FileSystem.EXFAT, dcim([film()])))
    blank_out(exfat, start_of(exfat, 1) + BOOT_CHECKSUM, 512)
    small = dcim([film(), film()])
    claims = {**small, "DCIM/100MEDIA/HUGE.MP4": film(200_000)}
    make_parted(workbench, huge, Part(FileSystem.EXFAT, claims, room=HUGE + (2 << 30)))
    claim_size(huge, "HUGE.MP4", HUGE)
    for port, card in {"5.1": fat, "5.2": exfat, "7": huge}.items():
        station.machine.usb.storage(card.stem, port, card, serial=card.stem)
    for bay in (1, 2):
        assert said(ended(station, bay)) == ("fault", "devices.damaged_file_system", "custodian")
    tile = ended(station, 3)
    assert said(tile) == ("partial", "ingest.vault_full", "administrator")
    assert tile["bytes_total"] == HUGE + sum(map(len, small.values()))
    proven(station, small.values())


def _broken_table(machine: Machine, card: Path) -> tuple[list[bytes], list[bytes], bytes]:
    """FAT32: one file's chain and one folder's end in the middle. What is whole, what is lost, and the cut file."""
    whole = enforcement("X1A0010", "060130", [film(), film(400_000)])
    below = {
        path.replace("20261123", "20261124"): film() for path in enforcement("X1A0010", "060130", [b""] * 7)
    }
    cut = film(300_000)
    make_parted(machine, card, Part(FileSystem.FAT32, {**whole, **below, "CUT.MP4": cut}))
    fat = Fat32.of(card)
    chain = fat.chain(fat.first_of(b"CUT     MP4"))
    fat.point(chain[len(chain) // 2], FREE)
    fat.point(fat.chain(fat.first_of(b"20261124   "))[0], FREE)
    return list(whole.values()), list(below.values()), cut


def _odd_names(machine: Machine, card: Path) -> list[bytes]:
    """Ext4: one name in two encodings, clocks of 1970, 2040 and 9999 in names, of 1970 and 2200 in file times."""
    days = ("19700101", "20400229", "99991231")
    tree = {f"{day}/X1A0011060131_{day}235959_0001.mp4": film() for day in days}
    tree |= {f"{os.fsdecode(GBK)}.MP4": film(), f"{GBK.decode('gbk')}.MP4": film()}
    times = "touch -d 1970-01-01 19700101/*; touch -d 2200-01-01 20400229/* 99991231/*"
    make_parted(machine, card, Part(FileSystem.EXT4, tree, then=times))
    return list(tree.values())


def _two_partitions(machine: Machine, card: Path) -> list[bytes]:
    """FAT32, with a short name in GBK, and exFAT; neither was unmounted."""
    first = enforcement("X1A0012", "060132", [film(), film()]) | {"GBKNAME1.MP4": film()}
    second = dcim([film(), film()])
    make_parted(machine, card, Part(FileSystem.FAT32, first), Part(FileSystem.EXFAT, second))
    rename_short(card, b"GBKNAME1MP4", GBK + b"MP4")
    set_dirty(card, 1, FAT_DIRTY)
    set_dirty(card, 2, EXFAT_DIRTY)
    return [*first.values(), *second.values()]
