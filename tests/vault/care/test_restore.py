"""From a copy to an empty place, and the drill that proves it can be done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from crash.house import House

from core.canonical import decode
from core.digest import sha256_hex
from vault.care import restore as restoring
from vault.care import rule
from vault.care.backup import Backup, NoRoomForCopyError
from vault.care.copying import mirror
from vault.care.drill import drill
from vault.care.restore import RESTORING, NotEmptyPlaceError, restore
from vault.formats.age import Identity
from vault.formats.note import open_note
from vault.log.ledger import LogReader
from vault.store.keys import Keyring
from vault.store.objects import NoVaultError, Vault, open_object

FILM = os.urandom(300_000)


@pytest.fixture
def copy(house: House, tmp_path: Path) -> Path:
    house.ingest(FILM)
    for _ in range(260):
        house.case()
    house.settle()
    Backup(house.vault, tmp_path / "copy").run()
    return tmp_path / "copy"


def test_what_is_restored_is_the_vault_and_opens(house: House, copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "vault"
    done = restore(copy, target)
    assert done.is_whole, [one.sentence for one in done.report.failures]
    assert (done.objects, done.size) == (1, house.reader.size)
    assert not [one for one in done.report.notices if one.code == "notice.unknown_file"]
    vault = Vault.open(target)
    reader = LogReader(vault)
    index, leaf = next((i, one) for i, one in enumerate(reader.leaves()) if one.object)
    assert house.recovery_identity
    assert leaf.object
    slot = vault.slots.object_slot(index)
    assert slot
    key = Keyring.from_identity(vault, house.recovery_identity).file_key(slot, leaf.object.bucket)
    with open_object(vault, index, leaf, key) as source:
        assert source.read() == FILM


def test_vaultd_goes_on_in_a_restored_vault(house: House, copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "again"
    restore(copy, target / "vault")
    shutil.copytree(house.keys, target / "keys")
    shutil.copy(house.directory / "house.db", target / "house.db")
    again = House(target)
    again.case()
    again.ingest(b"footage after the loss")
    again.settle()
    report = again.verify()
    assert report.ok, [one.sentence for one in report.failures]
    assert again.reader.size == house.reader.size + 2
    again.close()


def test_nothing_is_restored_over_anything(house: House, copy: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("mine")
    other = tmp_path / "other"
    other.mkdir()
    (other / RESTORING).write_text("01ARZ3NDEKTSV4RRFFQ69G5FAV\n")
    for place in (full, house.vault.path, other, copy, copy / "vault" / "here"):
        with pytest.raises(NotEmptyPlaceError):
            restore(copy, place)
    assert [path.name for path in full.iterdir()] == ["letter.txt"]
    with pytest.raises(NoVaultError):
        restore(full, tmp_path / "nowhere")


def test_a_restore_that_was_cut_short_is_no_vault_and_is_gone_on_with(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "vault"
    with monkeypatch.context() as patched:
        patched.setattr(mirror.Mirror, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            restore(copy, target)
    assert not (target / "log/checkpoint").exists()
    done = restore(copy, target)
    assert done.is_whole
    assert done.objects == 0, "what was there was not copied again"
    with pytest.raises(NotEmptyPlaceError):
        restore(copy, target)


def test_what_the_copy_lacks_of_a_kept_checkpoint_is_said(house: House, copy: Path, tmp_path: Path) -> None:
    older, newer = tmp_path / "older.checkpoint", tmp_path / "newer.checkpoint"
    older.write_bytes(house.reader.checkpoint()[1])
    house.case()
    house.settle()
    newer.write_bytes(house.reader.checkpoint()[1])
    assert restore(copy, tmp_path / "one", against=[older]).is_whole
    lacking = restore(copy, tmp_path / "two", against=[older, newer])
    assert not lacking.is_whole
    (failure,) = lacking.report.failures
    assert (failure.code, failure.file) == ("verify.against", str(newer))


def test_a_damaged_copy_is_restored_as_far_as_it_holds_and_says_what_lacks(
    house: House, copy: Path, tmp_path: Path
) -> None:
    (path,) = (copy / "vault/objects").glob("*/*.chunks")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = restore(copy, tmp_path / "vault")
    assert [problem.file for problem in done.problems] == [str(path.relative_to(copy / "vault"))]
    assert not done.is_whole


def test_room_is_looked_for_before(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr(restoring.os, "statvfs", lambda path: Full() if "vault" in str(path) else real(path))
    with pytest.raises(NoRoomForCopyError):
        restore(copy, tmp_path / "vault")
    assert list((tmp_path / "vault").iterdir()) == []


def test_a_drill_restores_verifies_opens_signs_and_leaves_nothing(
    house: House, copy: Path, tmp_path: Path
) -> None:
    rule.register(house.rules)
    assert house.recovery_identity
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    key = house.key("bureau")
    done = drill(copy, key, scratch=scratch, identity=Identity.parse(house.recovery_identity))
    assert done.is_ok
    assert list(scratch.iterdir()) == []
    told = decode(open_note(done.report, [key.verifier]).removesuffix("\n").encode())
    assert (told["ok"], told["recordings"], told["opened"], told["failures"]) == (True, 1, 1, 0)
    assert done.facts["sha256"] == sha256_hex(done.report)
    house.submit("bureau", done.draft())
    house.settle()
    assert [dict(one.facts) for one in house.reader.leaves() if one.type == "drill"] == [done.facts]


def test_a_drill_with_a_bad_copy_or_a_foreign_key_says_no(house: House, copy: Path, tmp_path: Path) -> None:
    foreign = drill(copy, house.key("bureau"), identity=Identity.generate())
    assert not foreign.is_ok
    assert foreign.facts["failures"] == 1
    (path,) = (copy / "vault/objects").glob("*/*.chunks")
    path.unlink()
    bad = drill(copy, house.key("bureau"))
    assert not bad.is_ok
    assert bad.facts["recordings"] == 0
