"""A vault directory that came from somewhere else: an older copy, another machine's, another vault's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from crash.house import Foundation, House, found

from vault.log.writer import LogKeyError
from vault.vaultd import RolledBackError

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


def contents(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_an_older_copy_under_a_newer_database_is_refused_and_not_touched(
    foundation: Foundation, tmp_path: Path
) -> None:
    house = House.copy(foundation, tmp_path / "house")
    house.ingest(b"first")
    house.settle()
    shutil.copytree(house.vault.path, tmp_path / "older")
    house.ingest(b"second")
    house.settle()
    shutil.rmtree(house.vault.path)
    shutil.copytree(tmp_path / "older", house.vault.path)
    before = contents(house.vault.path)
    waiting = house.case()
    with pytest.raises(RolledBackError, match="was replaced by an older copy"):
        house.settle()
    after = contents(house.vault.path)
    after.pop("log/lock", None)
    assert {**after, "log/lock": b""} == {**before, "log/lock": b""}
    assert house.row(waiting).entry_index is None
    house.close()


def test_another_vault_is_refused_by_its_key_or_by_the_database(
    foundation: Foundation, tmp_path: Path
) -> None:
    house = House.copy(foundation, tmp_path / "house")
    for _ in range(3):
        house.case()
    house.settle()
    other = found(tmp_path / "other").directory
    shutil.rmtree(house.vault.path)
    shutil.copytree(other / "vault", house.vault.path)
    strangers = House(house.directory)
    with pytest.raises(RolledBackError):
        strangers.settle()
    strangers.close()
    (house.directory / "house.db").unlink()
    for rest in ("house.db-wal", "house.db-shm"):
        (house.directory / rest).unlink(missing_ok=True)
    alone = House(house.directory)
    before = contents(alone.vault.path)
    with pytest.raises(LogKeyError, match="is not the key of this vault"):
        alone.settle()
    assert contents(alone.vault.path) == before
    alone.close()
    house.close()


def test_a_copy_that_went_on_elsewhere_is_refused_here(foundation: Foundation, tmp_path: Path) -> None:
    """Two machines wrote the same log: as long, signed by the same key, and not the same entries."""
    house = House.copy(foundation, tmp_path / "house")
    house.case()
    house.settle()
    house.close()
    shutil.copytree(house.directory, tmp_path / "twin")
    ids = {}
    for place in (tmp_path / "house", tmp_path / "twin"):
        one = House(place)
        ids[place] = one.case()
        one.settle()
        one.close()
    shutil.rmtree(tmp_path / "house" / "vault")
    shutil.copytree(tmp_path / "twin" / "vault", tmp_path / "house" / "vault")
    swapped = House(tmp_path / "house")
    with pytest.raises(RolledBackError, match="or they are not the same entries"):
        swapped.settle()
    swapped.close()
