from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices import fault
from devices.fault import error_count
from devices.mass_storage import Medium, Presence
from devices.recorder import Identity
from devices.tree import Refusal


class Failing(Presence):
    """A recorder whose disk fails while it is listed, without any call failing: what vfat does."""

    def __init__(self, counter: Path, then: str) -> None:
        super().__init__("card")
        self._counter, self._then, self._checks = counter, then, 0

    def check(self) -> None:
        self._checks += 1
        if self._checks > 1:
            self._counter.write_text(self._then, encoding="ascii")


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The count of the disk that the temporary directory is on, in a sysfs of our making."""
    disk = tmp_path / "sys/host6/block/sdb"
    (disk / "sdb1").mkdir(parents=True)
    (disk / "device").mkdir()
    (disk / "sdb1/partition").write_text("1\n", encoding="ascii")
    count = disk / "device/ioerr_cnt"
    count.write_text("0x1f\n", encoding="ascii")
    links = tmp_path / "sys/dev"
    links.mkdir()
    device = tmp_path.stat().st_dev
    (links / f"{os.major(device)}:{os.minor(device)}").symlink_to(disk / "sdb1")
    monkeypatch.setattr(fault, "BLOCK_DEVICES", links)
    return count


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "card/DCIM").mkdir(parents=True)
    (tmp_path / "card/DCIM/A.MP4").write_bytes(b"film")
    return tmp_path / "card"


def refusals(card: Path, presence: Presence) -> list[tuple[str, Refusal | None]]:
    listing = Medium(card, "kernel", Identity(), presence).list()
    listing.close()
    return [(e.shown_path, e.reason) for e in listing.entries if e.reason]


def test_the_count_is_that_of_the_disk_which_holds_the_partition(counter: Path, card: Path) -> None:
    assert error_count(card.stat().st_dev) == 0x1F


def test_a_disk_that_fails_while_it_is_listed_makes_the_listing_doubtful(counter: Path, card: Path) -> None:
    assert refusals(card, Failing(counter, "0x20\n")) == [("/", Refusal.UNREADABLE_DIRECTORY)]


def test_errors_of_before_are_nothing_against_a_listing(counter: Path, card: Path) -> None:
    assert refusals(card, Failing(counter, "0x1f\n")) == []


def test_where_nobody_counts_there_is_nothing_to_compare(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault, "BLOCK_DEVICES", card / "none")
    assert error_count(card.stat().st_dev) is None
    assert refusals(card, Presence("card")) == []
