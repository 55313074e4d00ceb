"""Waiting for the mount unit: for as long as it works on the card, and no longer; what is said when it made nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devices import volume
from devices.card_record import as_line, record_path
from devices.detect import Arrival
from devices.error import DepartedError, NotMountableError
from devices.mass_storage import Presence
from devices.unwritten import Measurement, disk_of
from devices.volume import await_unit

NODE = Path("/dev/sdzz1")  # of no disk here
ARRIVAL = Arrival(volume="/devices/lab", port="lab:1", node=NODE, fs_type="exfat")
SHORT_S, LONG_S = 0.2, 60.0


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that does not begin is given up at once; one that has begun, hardly ever."""
    monkeypatch.setattr(volume, "MOUNT_UNIT_S", SHORT_S)
    monkeypatch.setattr(volume, "MOUNTING_S", LONG_S)


def measured(mounts: Path) -> Path:
    """The record that the unit leaves once it has read the card's tables."""
    record = record_path(mounts, NODE.name)
    record.write_bytes(as_line(Measurement(disk_of(NODE.name), 0, None), "exfat"))
    return record


def test_a_unit_that_never_begins_is_said_to_have_made_no_tree(tmp_path: Path) -> None:
    with pytest.raises(NotMountableError, match="made no tree"):
        await_unit(ARRIVAL, Presence("card"), tmp_path)


def test_a_unit_that_is_slow_is_waited_for_and_its_failure_told_when_it_gives_up(tmp_path: Path) -> None:
    (tmp_path / NODE.name).mkdir()
    record = measured(tmp_path)
    gives_up = threading.Timer(SHORT_S * 5, record.unlink)
    gives_up.start()
    with pytest.raises(NotMountableError, match="could not mount it"):
        await_unit(ARRIVAL, Presence("card"), tmp_path)
    assert not record.exists()  # it was not given up while the unit was at work
    gives_up.join()


def test_a_unit_that_fails_before_it_has_measured_is_not_waited_for_any_longer(tmp_path: Path) -> None:
    folder = tmp_path / NODE.name
    folder.mkdir()
    gives_up = threading.Timer(SHORT_S * 5, folder.rmdir)
    gives_up.start()
    with pytest.raises(NotMountableError, match="made no tree"):
        await_unit(ARRIVAL, Presence("card"), tmp_path)
    assert not folder.exists()
    gives_up.join()


def test_a_card_that_leaves_meanwhile_is_said_to_have_left(tmp_path: Path) -> None:
    (tmp_path / NODE.name).mkdir()
    presence = Presence("card")
    threading.Timer(SHORT_S, presence.depart).start()
    with pytest.raises(DepartedError):
        await_unit(ARRIVAL, presence, tmp_path)
