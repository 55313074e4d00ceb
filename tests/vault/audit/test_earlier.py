"""What somebody kept: checkpoints, receipts, packages, pages; and going on from there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from vault.audit.report import Report
from vault.audit.verify import Request, verify_vault_as
from vault.formats.merkle import DirectoryTiles, inclusion_proof
from vault.formats.proof import Receipt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallVault, Path]:
    """A vault of 600 entries, and what somebody kept when it had 300."""
    place = tmp_path_factory.mktemp("earlier")
    vault = found(place / "vault")
    for index in range(2, 300):
        vault.add(
            original=b"x" * index if index % 50 == 0 else None, fields={"n": 1} if index % 9 == 0 else None
        )
    vault.write()
    shutil.copyfile(vault.path / "log/checkpoint", place / "kept")
    note = (place / "kept").read_bytes()
    hashes = inclusion_proof(DirectoryTiles(vault.path / "log", 300), 7, 300)
    (place / "package/proofs").mkdir(parents=True)
    (place / "package/proofs/a.tlog-proof").write_bytes(Receipt.build(vault.leaves[7], 7, hashes, note).raw())
    (place / "page.txt").write_text(
        "Daily page, 23 November\n\n    " + note.decode().replace("\n", "\n    ") + "\nsigned by hand\n"
    )
    (place / "by-hand.txt").write_text(
        "\n".join(["copied from the page:", *note.decode().split("\n")[:3], ""])
    )
    for index in range(300, 600):
        vault.add(
            original=b"y" * index if index % 50 == 0 else None, fields={"n": 2} if index % 9 == 0 else None
        )
    vault.write()
    return vault, place


@pytest.fixture
def kept(made: tuple[SmallVault, Path], tmp_path: Path) -> tuple[SmallVault, Path]:
    """A copy to harm."""
    vault, place = made
    shutil.copytree(place, tmp_path / "copy")
    return SmallVault(**{**vars(vault), "path": tmp_path / "copy/vault"}), tmp_path / "copy"


def check(vault: SmallVault, **request: object) -> Report:
    return verify_vault_as(vault.path, vault.verifier, Request(**request))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["kept", "package", "package/proofs/a.tlog-proof", "page.txt", "by-hand.txt"]
)
def test_whatever_carries_the_checkpoint_is_a_beginning(made: tuple[SmallVault, Path], name: str) -> None:
    vault, place = made
    report = check(vault, against=[place / name])
    assert report.ok, report.failures
    assert report.counts["against"] == 1


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("by-hand.txt", "\n300\n", "\n299\n"),
        ("by-hand.txt", "\n300\n", "\n700\n"),
        ("page.txt", "    300", "    301"),
        ("page.txt", "sealdock/", "sealdick/"),
    ],
)
def test_a_page_that_says_something_else_is_named(
    kept: tuple[SmallVault, Path], name: str, old: str, new: str
) -> None:
    vault, place = kept
    path = place / name
    path.write_text(path.read_text().replace(old, new))
    [finding] = check(vault, against=[path]).failures
    assert (finding.obligation, finding.file) == (5, str(path))


def test_a_directory_without_proofs_proves_nothing(made: tuple[SmallVault, Path], tmp_path: Path) -> None:
    [finding] = check(made[0], against=[tmp_path]).failures
    assert finding.file == str(tmp_path)


def test_since_judges_only_what_is_newer(made: tuple[SmallVault, Path]) -> None:
    vault, place = made
    report = check(vault, since=place / "kept", identities=[vault.root])
    assert report.ok, report.failures
    assert not report.notices
    assert (report.since, report.counts["entries"], report.counts["objects"]) == (300, 300, 6)
    assert report.counts["opened_objects"] == 6
    assert "extends the earlier one of 300 entries, and all 300 since" in report.sentence


def test_since_does_not_look_at_what_is_older_and_finds_what_is_newer(kept: tuple[SmallVault, Path]) -> None:
    vault, place = kept
    vault.object_path(50).unlink()
    assert check(vault, since=place / "kept").ok
    vault.object_path(550).unlink()
    [finding] = check(vault, since=place / "kept").failures
    assert (finding.code, finding.entry) == ("verify.object", 550)


def test_since_another_log_is_a_no_and_nothing_else_is_judged(kept: tuple[SmallVault, Path]) -> None:
    vault, place = kept
    path = place / "by-hand.txt"
    path.write_text(path.read_text().replace("\n300\n", "\n299\n"))
    report = check(vault, since=path)
    assert [(one.obligation, one.file) for one in report.failures] == [(5, str(path))]
    assert report.counts["entries"] == 0


@pytest.mark.parametrize("name", ["tile/1/000.p/2", "tile/0/000"])
def test_since_rests_on_tiles_that_are_proven(kept: tuple[SmallVault, Path], name: str) -> None:
    vault, place = kept
    path = vault.path / "log" / name
    raw = bytearray(path.read_bytes())
    raw[3] ^= 1
    path.write_bytes(raw)
    assert not check(vault, since=place / "kept").ok
    path.unlink()
    assert not check(vault, since=place / "kept").ok
