"""A ceremony is held by root; what it writes belongs to the process that goes on writing there."""

from __future__ import annotations

import os
from pathlib import Path

from crash.house import House

from vault.ceremony.owner import as_owner_of, take_place
from vault.ceremony.session import Ceremony
from vault.ceremony.signing import rotate_log, rotate_process

SOMEBODY = 64055  # no user of this machine; a number is enough for the kernel


def somebody() -> int:
    """Another user where we may become one, ourselves where not: the rule is the same."""
    return SOMEBODY if os.geteuid() == 0 else os.geteuid()


def hand_to(owner: int, *places: Path) -> None:
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, owner, -1)


def test_work_is_done_as_the_directorys_owner_and_only_meanwhile(tmp_path: Path) -> None:
    before, owner = os.geteuid(), somebody()
    tmp_path.chmod(0o755)
    place = tmp_path / "log"
    place.mkdir()
    hand_to(owner, place)
    try:
        with as_owner_of(place):
            assert os.geteuid() == owner
            raise KeyError  # noqa: TRY301
    except KeyError:
        assert os.geteuid() == before


def test_a_key_keeps_its_owner(tmp_path: Path) -> None:
    owner = somebody()
    old, new = tmp_path / "worker.key", tmp_path / "worker.key.next"
    old.write_text("old")
    os.chown(old, owner, -1)
    new.write_text("new")
    take_place(new, old)
    assert (old.read_text(), old.stat().st_uid) == ("new", owner)
    assert not new.exists()


def test_after_a_ceremony_vaultd_owns_the_log_as_before(house: House) -> None:
    owner = somebody()
    for path in (*house.vault.path.parents, house.vault.path, house.vault.keys_path):
        mode = path.stat().st_mode & 0o7777
        if mode & 0o005 != 0o005:  # pytest's own directories and the vault's: another user has to get through
            path.chmod(mode | 0o055)
    log, slots, packs = house.vault.log_path, house.vault.keys_path / "slots", house.vault.path / "packs"
    hand_to(owner, log, slots, packs, house.keys / "log.key", house.keys / "dockd.key")
    with Ceremony(house.vault, house.keys) as ceremony:
        rotate_process(ceremony, "dockd")
    rotate_log(house.vault, house.keys)
    for place in (log, slots, packs):
        assert {path.stat().st_uid for path in place.rglob("*")} <= {owner}
    assert {(house.keys / name).stat().st_uid for name in ("log.key", "dockd.key")} == {owner}
    assert house.verify().ok
