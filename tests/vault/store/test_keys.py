from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from time import sleep

import pytest
from crash.house import PASSPHRASE, House

from vault.formats.age import Identity, NoMatchError
from vault.formats.entry import EntryError
from vault.formats.note import SigningKey
from vault.log.ledger import LogReader
from vault.store import keys
from vault.store.keys import (
    BodyError,
    Keyring,
    NoBucketError,
    WrongPassphraseError,
    WrongRootError,
    bucket_directory,
    bucket_for,
    bucket_recipient,
    closed_mark,
    ensure_bucket,
    open_body,
    open_bucket_for,
)
from vault.store.medium import DiskFullError, MediumError
from vault.store.objects import Vault


def test_no_secret_lies_in_the_vault(house: House) -> None:
    ensure_bucket(house.vault, "A-2026-12")
    for path in house.vault.path.rglob("*"):
        raw = path.read_bytes() if path.is_file() else b""
        assert b"AGE-SECRET-KEY" not in raw
        assert b"PRIVATE+KEY" not in raw


def test_the_root_opens_with_its_passphrase_and_no_other(house: House) -> None:
    root = Keyring.unlock(house.vault, house.keys, PASSPHRASE)
    assert root.bucket("facts").text == house.keyring.bucket("facts").text
    with pytest.raises(WrongPassphraseError):
        Keyring.unlock(house.vault, house.keys, PASSPHRASE + b"!")


def test_an_opened_identity_has_to_be_this_vaults(house: House) -> None:
    recovery = Identity.parse(house.recovery_identity or "")
    assert Keyring.opened(house.vault, recovery).bucket("facts").text == house.keyring.bucket("facts").text
    with pytest.raises(WrongRootError, match="neither the root nor a recovery key"):
        Keyring.opened(house.vault, Identity.generate())


def test_a_strangers_identity_opens_no_bucket(house: House) -> None:
    with pytest.raises(NoMatchError):
        Keyring.from_identity(house.vault, Identity.generate().text).bucket("facts")


@pytest.mark.stock
def test_stock_age_opens_a_bucket_with_the_recovery_key(house: House, tmp_path: Path) -> None:
    key = tmp_path / "recovery.key"
    key.write_text(house.recovery_identity or "")
    sealed = house.vault.keys_path / "buckets/facts/identity.age"
    opened = subprocess.run(["age", "-d", "-i", key, sealed], capture_output=True, check=True).stdout
    assert Identity.parse(opened.decode()).recipient.text == bucket_recipient(house.vault, "facts")


def test_the_month_of_a_bucket_is_utc() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert bucket_for(datetime(2026, 12, 1, 7, 59, tzinfo=shanghai)) == "A-2026-11"
    assert bucket_for(datetime(2026, 12, 1, 8, 0, tzinfo=shanghai)) == "A-2026-12"
    assert bucket_for(datetime(2026, 12, 1, tzinfo=UTC), "B") == "B-2026-12"


def test_a_bucket_is_made_once_however_many_ask(house: House) -> None:
    recipients: list[str] = []
    threads = [
        threading.Thread(target=lambda: recipients.append(ensure_bucket(house.vault, "A-2027-01")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recipients) == 8
    assert len(set(recipients)) == 1
    buckets = house.vault.keys_path / "buckets"
    assert not [path for path in buckets.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "a\0b"])
def test_a_bucket_name_is_no_path(house: House, name: str) -> None:
    for ask in (ensure_bucket, bucket_recipient):
        with pytest.raises(EntryError):
            ask(house.vault, name)


def test_a_bucket_that_is_found_is_made_durable_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it may have died before its name was durable, and nothing sealed to it would open."""
    place = house.vault.keys_path / "buckets/facts"
    synced: list[Path] = []
    monkeypatch.setattr(keys, "fsync_directory", synced.append)
    for _ in range(2):
        ensure_bucket(house.vault, "facts")
    assert synced == [place, place.parent]


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, DiskFullError), (errno.EIO, MediumError)])
def test_a_disk_that_refuses_a_new_months_bucket_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(keys, "create_once", refuse)
    with pytest.raises(error, match="A-2027-02"):
        ensure_bucket(house.vault, "A-2027-02")
    monkeypatch.undo()
    assert ensure_bucket(house.vault, "A-2027-02").startswith("age1")


def test_a_recipient_that_cannot_be_read_is_no_lost_bucket(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MediumError, match="Too many open files"):
        bucket_recipient(house.vault, "facts")


def test_a_missing_bucket_is_named(house: House) -> None:
    with pytest.raises(NoBucketError, match="A-1999-01"):
        house.keyring.bucket("A-1999-01")


def sealed_case(house: House) -> int:
    entry_id = house.case(body={"title": "占道经营", "number": "2026-17"})
    house.settle()
    index = house.row(entry_id).entry_index
    assert index is not None
    return index


def test_a_body_comes_back_as_it_was_given(house: House) -> None:
    index = sealed_case(house)
    leaf = house.reader.leaf(index)
    assert open_body(house.vault, index, leaf, house.keyring) == {"title": "占道经营", "number": "2026-17"}


def test_a_destroyed_slot_is_no_body(house: House) -> None:
    index = sealed_case(house)
    with house.vault.slots.path(0).open("r+b") as file:
        file.seek(index * 512)
        file.write(bytes(256))
    assert open_body(house.vault, index, house.reader.leaf(index), house.keyring) is None


@pytest.mark.parametrize("part", ["packs", "keys/slots"])
def test_a_changed_body_or_slot_is_named(house: House, part: str) -> None:
    index = sealed_case(house)
    path = house.vault.path / part / "000"
    raw = bytearray(path.read_bytes())
    raw[-5 if part == "packs" else index * 512 + 150] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BodyError, match=f"entry {index}"):
        open_body(house.vault, index, house.reader.leaf(index), house.keyring)


def test_the_log_key_is_the_one_in_vault_json(house: House) -> None:
    assert SigningKey.read(house.keys / "log.key").verifier == LogReader(house.vault).vault.verifier


def test_a_clock_that_fell_back_seals_into_the_next_month_that_is_open(house: House) -> None:
    vault, november = house.vault, datetime(2026, 11, 30, tzinfo=UTC)
    assert open_bucket_for(vault, november) == "A-2026-11"
    for name in ("A-2026-11", "A-2026-12"):
        closed_mark(vault, name).touch()
    assert open_bucket_for(vault, november) == "A-2027-01"
    assert open_bucket_for(vault, november, "B") == "B-2026-11"


def settle(vault: Vault, name: str = "facts") -> Path:
    """The bucket's recipient file, once it is old enough to be remembered and is."""
    sleep(keys._SETTLING_NS / 1e9 + 0.02)
    bucket_recipient(vault, name)
    assert (vault.path, name) in keys._READ
    return bucket_directory(vault, name) / "recipient"


def test_a_recipient_is_read_once_and_asked_after_each_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(house.vault)
    expected = bucket_recipient(house.vault, "facts")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert bucket_recipient(house.vault, "facts") == expected


@pytest.mark.parametrize("how", ["replaced", "rewritten"])
def test_another_recipient_is_noticed_at_once(house: House, how: str) -> None:
    path, other = settle(house.vault), Identity.generate().recipient.text
    size = path.stat().st_size
    path.chmod(0o640)
    if how == "replaced":
        path.with_name("new").write_text(f"{other}\n")
        path.with_name("new").replace(path)
    else:
        path.write_text(f"{other}\n")
    assert path.stat().st_size == size
    assert bucket_recipient(house.vault, "facts") == other


def test_a_recipient_that_changes_twice_in_a_moment_is_not_remembered(house: House) -> None:
    """A second change within one tick of the file system's clock leaves the same times behind."""
    path = settle(house.vault)
    path.chmod(0o640)
    for _ in range(20):
        other = Identity.generate().recipient.text
        path.write_text(f"{other}\n")
        assert bucket_recipient(house.vault, "facts") == other
        kept = keys._READ.get((house.vault.path, "facts"))
        assert kept is None or kept[2] != other


def test_a_recipient_that_is_gone_is_no_longer_given(house: House) -> None:
    path = settle(house.vault)
    path.unlink()
    with pytest.raises(NoBucketError, match="facts"):
        bucket_recipient(house.vault, "facts")
    shutil.rmtree(path.parent)
    with pytest.raises(NoBucketError, match="facts"):
        bucket_recipient(house.vault, "facts")


def test_another_vault_has_its_own_recipients(house: House, tmp_path: Path) -> None:
    settle(house.vault)
    other = Vault.open(Path(shutil.copytree(house.vault.path, tmp_path / "other")))
    text = Identity.generate().recipient.text
    path = bucket_directory(other, "facts") / "recipient"
    path.chmod(0o640)
    path.write_text(f"{text}\n")
    assert bucket_recipient(other, "facts") == text != bucket_recipient(house.vault, "facts")
