"""Derivatives: sealed with their parent, named by a signed note, replaced whole or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from core.digest import sha256_hex
from vault.formats.age import HEADER_SIZE, KEY_SLOT_SIZE, PayloadError, open_header
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey, open_note
from vault.store.derived import BLOCK_SIZE, DerivedStore, NoDerivativeError
from vault.store.objects import Vault
from vault.store.spool import SealedSpool

WORKER = SigningKey.generate("worker")


@dataclass
class Shelf:
    """A store beside a small vault with one recording."""

    vault: SmallVault
    parent: Leaf
    store: DerivedStore

    def write(self, rendition: str, *pieces: bytes) -> None:
        self.store.write(self.parent, rendition, "video/mp4", iter(pieces), WORKER)

    def key(self, rendition: str) -> bytes:
        slot = self.store.key_slot(self.parent.id, rendition)
        return open_header(slot[:HEADER_SIZE], self.vault.buckets[self.parent.object.bucket])

    def read(self, rendition: str) -> bytes:
        with self.store.open(self.parent.id, rendition, self.key(rendition)) as reader:
            return reader.read(reader.size)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    vault = found(tmp_path / "vault")
    parent = vault.add(original=b"the original")
    vault.write()
    return Shelf(vault, parent, DerivedStore(tmp_path / "derived", Vault.open(tmp_path / "vault")))


@pytest.mark.parametrize(
    "size", [0, 1, 65_535, 65_536, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 7]
)
def test_what_was_written_in_pieces_comes_back_whole(shelf: Shelf, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    shelf.write("proxy", *(content[i : i + 40_001] for i in range(0, size, 40_001)))
    assert shelf.read("proxy") == content
    made = shelf.store.find(shelf.parent.id, "proxy")
    assert (made.size, made.sha256, made.mime) == (size, sha256_hex(content), "video/mp4")


def test_any_place_can_be_read(shelf: Shelf) -> None:
    content = bytes(range(256)) * 2000
    shelf.write("proxy", content)
    with shelf.store.open(shelf.parent.id, "proxy", shelf.key("proxy")) as reader:
        for place in (300_000, 0, len(content) - 5):
            reader.seek(place)
            assert reader.read(5) == content[place : place + 5]


def test_the_note_says_what_it_is_and_the_worker_signed_it(shelf: Shelf) -> None:
    shelf.write("poster", b"picture")
    text = open_note(shelf.store.note(shelf.parent.id, "poster"), [WORKER.verifier])
    slot = shelf.store.key_slot(shelf.parent.id, "poster")
    assert text == (
        f'{{"header_sha256":"{sha256_hex(slot)}","parent":"{shelf.parent.id}","rendition":"poster",'
        f'"sha256":"{sha256_hex(b"picture")}","size":7,"type":"video/mp4"}}\n'
    )


@pytest.mark.stock
def test_stock_age_opens_it_with_the_buckets_identity(shelf: Shelf, tmp_path: Path) -> None:
    content = b"picture" * 20_000
    shelf.write("poster", content)
    identity = tmp_path / "bucket.txt"
    identity.write_text(shelf.vault.buckets[shelf.parent.object.bucket].text + "\n")
    path = next((tmp_path / "derived").rglob("poster.age"))
    opened = subprocess.run(["age", "-d", "-i", str(identity), str(path)], capture_output=True, check=True)
    assert opened.stdout == content


def test_writing_again_replaces_it_whole(shelf: Shelf) -> None:
    shelf.write("proxy", b"first")
    shelf.write("proxy", b"second")
    assert shelf.read("proxy") == b"second"
    assert shelf.store.list(shelf.parent.id) == ["proxy"]


def test_a_writer_that_fails_leaves_what_was_there(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("proxy", b"first")

    def failing() -> Iterator[bytes]:
        yield b"x" * (2 * BLOCK_SIZE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.store.write(shelf.parent, "proxy", "video/mp4", failing(), WORKER)
    assert shelf.read("proxy") == b"first"
    assert sorted(p.name for p in (tmp_path / "derived").rglob("*") if p.is_file()) == [
        "proxy.age",
        "proxy.note",
    ]


def test_a_file_that_its_note_does_not_name_is_not_found(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("proxy", b"first")
    note = next((tmp_path / "derived").rglob("proxy.note"))
    older = note.read_bytes()
    shelf.write("proxy", b"second")
    note.chmod(0o640)
    note.write_bytes(older)
    assert shelf.store.find(shelf.parent.id, "proxy") is None
    note.write_bytes(b"no note at all")
    assert shelf.store.find(shelf.parent.id, "proxy") is None
    assert shelf.store.find(shelf.parent.id, "poster") is None


def test_a_shortened_or_changed_file_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("proxy", b"x" * 200_000)
    key, path = shelf.key("proxy"), next((tmp_path / "derived").rglob("proxy.age"))
    whole = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(whole[:-1])
    assert shelf.store.find(shelf.parent.id, "proxy") is None
    with pytest.raises(PayloadError):
        shelf.store.open(shelf.parent.id, "proxy", key)
    path.write_bytes(whole[: KEY_SLOT_SIZE - 1])
    with pytest.raises(NoDerivativeError):
        shelf.store.key_slot(shelf.parent.id, "proxy")


def test_names_cannot_leave_the_store(shelf: Shelf) -> None:
    for rendition in ("../x", "", "A", "a/b", ".age"):
        with pytest.raises(NoDerivativeError):
            shelf.store.key_slot(shelf.parent.id, rendition)
        with pytest.raises(NoDerivativeError):
            shelf.write(rendition, b"x")
    with pytest.raises(NoDerivativeError):
        shelf.store.note("../../etc", "proxy")


def test_forgetting_a_recording_takes_all_its_derivatives(shelf: Shelf, tmp_path: Path) -> None:
    shelf.write("proxy", b"1")
    shelf.write("poster", b"2")
    assert shelf.store.list(shelf.parent.id) == ["poster", "proxy"]
    shelf.store.forget(shelf.parent.id)
    shelf.store.forget(shelf.parent.id)
    assert shelf.store.list(shelf.parent.id) == []
    assert not [p for p in (tmp_path / "derived").rglob("*") if p.is_file()]


def test_a_spool_gives_back_what_it_took_and_shows_no_plaintext(tmp_path: Path) -> None:
    content = b"plaintext" * 300_000
    with SealedSpool(tmp_path) as spool:
        for i in range(0, len(content), 50_000):
            spool.write(content[i : i + 50_000])
        assert list(tmp_path.iterdir()) == []
        raw = Path(f"/proc/self/fd/{spool._file.fileno()}").read_bytes()
        assert len(raw) > 0
        assert b"plaintext" not in raw
        assert (b"".join(spool.read()), spool.size) == (content, len(content))


def test_an_empty_spool_gives_back_nothing(tmp_path: Path) -> None:
    with SealedSpool(tmp_path) as spool:
        assert list(spool.read()) == []
