"""One altered file is named as itself, whatever its place in the tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conformance.small_log import entry, write_log

from vault.audit.report import Report
from vault.audit.tree import TreeAudit
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import pack_bundle
from vault.formats.merkle import leaf_hash
from vault.formats.note import SigningKey

SIZE = 66_000  # 257 full bundles and one of 208; a full tile of level 1
LAST = 65_792  # first entry of the partial bundle


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    place = tmp_path_factory.mktemp("log")
    return place, write_log(place, SIZE, SigningKey.generate("sealdock/x"))


def audit(log: tuple[Path, Checkpoint]) -> tuple[Report, dict[int, bytes]]:
    place, checkpoint = log
    report, vouched, lost = Report("", checkpoint=checkpoint), dict[int, bytes](), 0
    for number, entries in TreeAudit(place, checkpoint, report).bundles():
        for index, raw in enumerate(entries, number * 256):
            lost += raw is None
            if raw is not None and raw != entry(index):
                vouched[index] = raw
    report.counts["lost"] = lost
    return report, vouched


@contextmanager
def altered(path: Path, content: bytes | None) -> Iterator[None]:
    kept = path.read_bytes()
    path.write_bytes(content) if content is not None else path.unlink()
    yield
    path.write_bytes(kept)


def flipped(path: Path, place: int) -> bytes:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x40
    return bytes(raw)


def test_a_whole_log_has_no_findings(log: tuple[Path, Checkpoint]) -> None:
    report, strange = audit(log)
    assert report.ok
    assert not strange
    assert report.counts == {"bundles": 258, "tiles": 258 + 2 + 1, "lost": 0}


@pytest.mark.parametrize("index", [0, 300, LAST - 1, LAST, SIZE - 1])
def test_an_altered_entry_is_named_and_only_it(log: tuple[Path, Checkpoint], index: int) -> None:
    number, width = index // 256, 256 if index < LAST else 208
    path = log[0] / f"tile/entries/{number:03d}{'' if width == 256 else '.p/208'}"
    first = sum(2 + len(entry(i)) for i in range(number * 256, index))
    with altered(path, flipped(path, first + 2)):
        report, strange = audit(log)
    [finding] = report.failures
    assert (finding.code, finding.file, finding.entry) == (
        "verify.bundle",
        f"log/{path.relative_to(log[0])}",
        index,
    )
    assert (finding.first, finding.last) == (first, first + 1 + len(entry(index)))
    assert not strange
    assert report.counts["lost"] == 1


@pytest.mark.parametrize(
    ("name", "place", "index"),
    [
        ("tile/0/000", 0, 0),
        ("tile/0/001", 44 * 32 + 31, 300),
        ("tile/0/257.p/208", 5 * 32, LAST + 5),
        ("tile/1/000", 77, None),
        ("tile/1/001.p/1", 3, None),
        ("tile/2/000.p/1", 0, None),
    ],
)
def test_an_altered_tile_is_named_and_the_entries_stand(
    log: tuple[Path, Checkpoint], name: str, place: int, index: int | None
) -> None:
    with altered(log[0] / name, flipped(log[0] / name, place)):
        report, _ = audit(log)
    [finding] = report.failures
    assert (finding.code, finding.file, finding.entry) == ("verify.tile", f"log/{name}", index)
    assert finding.first is not None
    assert finding.last is not None
    assert finding.first <= place <= finding.last
    assert report.counts["lost"] == 0


@pytest.mark.parametrize("name", ["tile/0/000", "tile/1/000", "tile/2/000.p/1", "tile/0/257.p/208"])
@pytest.mark.parametrize("keep", [None, 0, 31])
def test_a_missing_or_short_tile_is_named(log: tuple[Path, Checkpoint], name: str, keep: int | None) -> None:
    content = None if keep is None else (log[0] / name).read_bytes()[:keep]
    with altered(log[0] / name, content):
        report, _ = audit(log)
    assert [finding.file for finding in report.failures] == [f"log/{name}"]


@pytest.mark.parametrize(("name", "width"), [("tile/entries/003", 256), ("tile/entries/257.p/208", 208)])
@pytest.mark.parametrize("keep", [None, 0, 100])
def test_a_missing_or_short_bundle_is_named(
    log: tuple[Path, Checkpoint], name: str, width: int, keep: int | None
) -> None:
    content = None if keep is None else (log[0] / name).read_bytes()[:keep]
    with altered(log[0] / name, content):
        report, _ = audit(log)
    assert [finding.file for finding in report.failures] == [f"log/{name}"]
    assert report.counts["lost"] == width


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [pipe, endless, huge])
@pytest.mark.parametrize("name", ["tile/entries/003", "tile/entries/257.p/208", "tile/0/003", "tile/1/000"])
def test_what_is_no_file_or_has_no_end_is_named(
    log: tuple[Path, Checkpoint], name: str, make: Callable[[Path], None]
) -> None:
    with altered(log[0] / name, None):
        make(log[0] / name)
        report, _ = audit(log)
        (log[0] / name).unlink()
    assert [finding.file for finding in report.failures] == [f"log/{name}"]


def test_a_bundle_replaced_together_with_its_tile_is_named(log: tuple[Path, Checkpoint]) -> None:
    place = log[0]
    entries = [b"forged", *(entry(index) for index in range(1, 256))]
    tile = b"".join(leaf_hash(one) for one in entries)
    with altered(place / "tile/entries/000", pack_bundle(entries)), altered(place / "tile/0/000", tile):
        report, _ = audit(log)
    [finding] = report.failures
    assert finding.file == "log/tile/0/000"
    assert "what lies below" in finding.why


def test_a_bundle_and_its_tile_both_lost_are_named_and_nothing_else(log: tuple[Path, Checkpoint]) -> None:
    place = log[0]
    with altered(place / "tile/entries/009", None), altered(place / "tile/0/009", None):
        report, _ = audit(log)
    assert [finding.file for finding in report.failures] == ["log/tile/entries/009", "log/tile/0/009"]


def test_another_root_is_no_log_at_all(log: tuple[Path, Checkpoint]) -> None:
    place, checkpoint = log
    report, _ = audit((place, Checkpoint(checkpoint.origin, SIZE, bytes(32))))
    assert [finding.code for finding in report.failures] == ["verify.root"]


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    checkpoint = write_log(tmp_path, 0, SigningKey.generate("sealdock/x"))
    assert audit((tmp_path, checkpoint))[0].ok


@pytest.mark.parametrize("full", [False, True])
def test_a_log_at_work_may_have_grown_wider_files_meanwhile(tmp_path: Path, *, full: bool) -> None:
    """The checkpoint was read before, and the partial files it means are gone by now."""
    key = SigningKey.generate("sealdock/x")
    checkpoint = write_log(tmp_path, 300, key)
    for path in tmp_path.rglob("*.p/44"):
        path.unlink()
    write_log(tmp_path, 600 if full else 400, key)
    if full:
        (tmp_path / "tile/1/000.p/1").unlink()
    report, strange = audit((tmp_path, checkpoint))
    assert report.failures == []
    assert not strange
    for path in (tmp_path / "tile/1/000.p").iterdir():
        path.unlink()
    assert [one.file for one in audit((tmp_path, checkpoint))[0].failures] == ["log/tile/1/000.p/1"]
