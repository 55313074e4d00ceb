from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from crash.house import House

from core.canonical import encode
from vault.formats.age import PayloadError
from vault.log.outbox import RowState
from vault.store.objects import DisposedError, NoVaultError, Vault, open_object


def test_a_vault_is_opened_as_it_was_made(house: House) -> None:
    again = Vault.open(house.vault.path)
    assert again == house.vault
    assert again.origin == f"sealdock/{again.id.lower()}" == again.verifier.name


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"\xff", b'{"v": 1}',
        encode({"v": 2, "id": "x", "origin": "y", "key": "z", "made_at": ""}),
        encode({"v": 1, "id": "x", "origin": "y", "key": "not a key", "made_at": ""}),
        json.dumps({"v": 1, "id": "x", "origin": "y", "key": "z", "made_at": ""}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_vault_file_is_no_vault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "vault.json").write_bytes(content)
    with pytest.raises(NoVaultError, match="never done by itself"):
        Vault.open(tmp_path)


def test_an_empty_directory_is_no_vault_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(NoVaultError, match="No such file"):
        Vault.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_objects_spread_by_the_random_end_of_their_id(house: House) -> None:
    path = house.vault.object_path("01K8Z3V9Q2M4T6X8A0B2C4D6EF")
    assert path.relative_to(house.vault.path) == Path("objects/ef/01K8Z3V9Q2M4T6X8A0B2C4D6EF.chunks")


def sealed(house: House, content: bytes) -> tuple[str, int, bytes]:
    entry_id = house.ingest(content)
    house.settle()
    row = house.row(entry_id)
    assert row.state == RowState.SEQUENCED
    assert row.entry_index is not None
    leaf = house.reader.leaf(row.entry_index)
    slot = house.vault.slots.object_slot(row.entry_index)
    assert slot
    assert leaf.object
    return entry_id, row.entry_index, house.keyring.file_key(slot, leaf.object.bucket)


def test_any_range_of_a_sealed_object_can_be_read(house: House) -> None:
    content = os.urandom(300_000)
    _, index, file_key = sealed(house, content)
    with open_object(house.vault, index, house.reader.leaf(index), file_key) as reader:
        for start, stop in ((0, 1), (65_535, 65_537), (299_999, 300_000), (100, 200_000)):
            reader.seek(start)
            assert reader.read(stop - start) == content[start:stop]


def test_a_sealed_object_is_read_only(house: House) -> None:
    entry_id, _, _ = sealed(house, b"x")
    assert house.vault.object_path(entry_id).stat().st_mode & 0o777 == 0o440


def test_a_changed_object_gives_out_nothing(house: House) -> None:
    entry_id, index, file_key = sealed(house, b"x" * 100)
    path = house.vault.object_path(entry_id)
    path.chmod(0o640)
    raw = bytearray(path.read_bytes())
    raw[3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(PayloadError):
        open_object(house.vault, index, house.reader.leaf(index), file_key)


def test_an_object_without_its_key_is_disposed_of(house: House) -> None:
    _, index, file_key = sealed(house, b"x")
    with house.vault.slots.path(0).open("r+b") as file:
        file.seek(index * 512 + 256)
        file.write(bytes(256))
    with pytest.raises(DisposedError, match=f"Entry {index} "):
        open_object(house.vault, index, house.reader.leaf(index), file_key)
