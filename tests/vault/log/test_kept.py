from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crash.house import House

from vault.formats.note import SigningKey
from vault.log import kept
from vault.log.ledger import LogReader
from vault.log.rules import Lookup, skim_type


@pytest.fixture
def busy(house: House) -> House:
    for _ in range(5):
        house.case()
    house.settle()
    return house


def keep(house: House) -> Path:
    lookup, _ = kept.restore(house.reader, house.key("vaultd").verifier)
    kept.keep(house.reader, lookup, house.key("vaultd"))
    return house.vault.log_path / kept.DIRECTORY


def restored(house: House) -> tuple[Lookup, int]:
    return kept.restore(LogReader(house.vault), house.key("vaultd").verifier)


def assert_knows_all(house: House, lookup: Lookup) -> None:
    keys = []
    for index, leaf in enumerate(house.reader.leaves()):
        assert lookup.find(leaf.id) == index
        assert all(index in lookup.about(subject) for subject in leaf.about)
        keys += [index] if leaf.type in {"key", "bucket"} else []
    assert keys
    assert lookup.noted() == keys


def test_without_a_kept_lookup_the_log_is_read(busy: House) -> None:
    lookup, known = restored(busy)
    assert known == 0
    assert_knows_all(busy, lookup)


def test_a_kept_lookup_is_taken_up_and_goes_on(busy: House) -> None:
    directory = keep(busy)
    size = busy.reader.size
    for _ in range(3):
        busy.case()
    busy.settle()
    lookup, known = restored(busy)
    assert known == size == kept.kept_size(busy.vault, busy.key("vaultd").verifier)
    assert_knows_all(busy, lookup)
    keep(busy)
    assert [path.name for path in directory.glob("*.db")] == [f"{busy.reader.size}.db"]


def flip(directory: Path) -> None:
    path = next(directory.glob("*.db"))
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)


def cut(directory: Path) -> None:
    path = next(directory.glob("*.db"))
    path.write_bytes(path.read_bytes()[:-4096])


def lose(directory: Path) -> None:
    next(directory.glob("*.db")).unlink()


def scribble(directory: Path) -> None:
    (directory / "note").write_bytes(b"noise")


@pytest.mark.parametrize("harm", [flip, cut, lose, scribble])
def test_a_kept_lookup_that_was_harmed_is_made_again(busy: House, harm: Callable[[Path], None]) -> None:
    harm(keep(busy))
    lookup, known = restored(busy)
    assert known == 0
    assert_knows_all(busy, lookup)


def test_a_kept_lookup_that_somebody_else_signed_is_not_used(busy: House) -> None:
    lookup, _ = restored(busy)
    kept.keep(busy.reader, lookup, SigningKey.generate("vaultd"))
    assert restored(busy)[1] == 0


def test_a_kept_lookup_of_a_longer_log_is_not_used(busy: House) -> None:
    older = busy.vault.log_path.joinpath("checkpoint").read_bytes()
    busy.case()
    busy.settle()
    keep(busy)
    busy.vault.log_path.joinpath("checkpoint").write_bytes(older)
    assert kept._kept(LogReader(busy.vault), LogReader(busy.vault).size, busy.key("vaultd").verifier) is None


def test_a_kept_lookup_of_another_log_is_not_used(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(busy)
    monkeypatch.setattr(kept, "tree_root", lambda *_: bytes(32))
    assert restored(busy)[1] == 0


def test_what_learns_from_other_entries_reads_the_log_again(
    busy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(busy)
    monkeypatch.setattr(kept, "NOTED", frozenset({"key", "signer"}))
    assert restored(busy)[1] == 0


def test_the_type_is_where_the_spelling_has_it(busy: House) -> None:
    for raw, leaf in zip(busy.reader.raws(), busy.reader.leaves(), strict=True):
        assert skim_type(raw) == leaf.type


def test_a_lookup_is_kept_when_that_is_worth_it(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key, lookup = busy.key("vaultd"), restored(busy)[0]
    size = busy.reader.size
    assert not kept.keep_when_worth(busy.reader, lookup, size, key)
    monkeypatch.setattr(kept, "WORTH_KEEPING", 3)
    assert not kept.keep_when_worth(busy.reader, lookup, size - 1, key)
    assert kept.keep_when_worth(busy.reader, lookup, size, key)
    assert not kept.keep_when_worth(busy.reader, lookup, size, key)


def test_a_disk_that_refuses_keeps_nothing_and_stops_nothing(
    busy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "WORTH_KEEPING", 1)
    monkeypatch.setattr(kept, "replace", refuse)
    assert not kept.keep_when_worth(busy.reader, restored(busy)[0], busy.reader.size, busy.key("vaultd"))
    assert restored(busy)[1] == 0
