from __future__ import annotations

from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from vault.audit.verify import verify_vault


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    made.add(original=b"what was recorded")
    made.write()
    return made


@pytest.mark.parametrize(
    "name",
    [
        "README", "log/checkpoint.old", "log/tile/0/0000", "log/tile/9/000", "keys/slots/000.bak", "packs/x1/000",
        "keys/backup.recipient", "keys/buckets/A-2026-11/identity", "keys/buckets/odd name/recipient",
        ".vault.json.swp", "database/house.db",
    ],
)  # fmt: skip
def test_what_no_format_knows_is_a_notice(vault: SmallVault, name: str) -> None:
    path = vault.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    report = verify_vault(vault.path, vault.verifier)
    assert report.ok
    assert [(one.code, one.file) for one in report.notices] == [("notice.unknown_file", name)]


@pytest.mark.parametrize(
    "name",
    [
        "log/lock", "log/cut/300-abc/tile-0-001", "log/tile/0/x001/234.p/17", "incoming/a.part", "packs/x001/000",
        "keys/rotation/facts.age", "keys/slots/001",
    ],
)  # fmt: skip
def test_what_a_vault_may_hold_is_none(vault: SmallVault, name: str) -> None:
    path = vault.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    report = verify_vault(vault.path, vault.verifier)
    assert report.ok
    assert report.notices == []


def test_a_link_to_a_directory_is_no_directory(vault: SmallVault, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (vault.path / "objects/zz").unlink(missing_ok=True)
    (vault.path / "more").symlink_to(tmp_path / "elsewhere")
    assert [one.file for one in verify_vault(vault.path, vault.verifier).notices] == ["more"]


def test_an_object_under_a_name_that_is_none_is_a_notice(vault: SmallVault) -> None:
    path = vault.object_path(2)
    path.with_suffix(".copy").write_bytes(b"x")
    [notice] = verify_vault(vault.path, vault.verifier).notices
    assert notice.code == "notice.extra_object"
