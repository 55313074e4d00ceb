"""Other readers: what was sealed stays readable under the new root, and a rotation cut short anywhere goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash.house import BUCKET, PASSPHRASE, House
from support.hardware import PIN, SoftTpm

from core.settings import RootKind
from vault.ceremony import reading
from vault.ceremony.past import Past
from vault.ceremony.reading import rotate_recovery, rotate_root
from vault.ceremony.session import Ceremony, CeremonyError
from vault.formats.age import Identity, NoMatchError, decrypt_file
from vault.founding import initialise
from vault.log.bucket_rule import BucketExchangedError, commitment
from vault.log.ledger import LogReader
from vault.store.keys import (
    Keyring,
    WrongPassphraseError,
    WrongRootError,
    bucket_names,
    ensure_bucket,
    open_body,
    vault_recipients,
)
from vault.store.objects import Vault, open_object
from vault.store.recovery import Challenge, RecoveryTrialError, prove
from vault.store.root import PassphraseRoot
from vault.store.root_kind import RootPlace

PLACE = RootPlace(
    RootKind.CREDENTIAL
)  # costs no scrypt; the ways of keeping a root are held to one contract elsewhere


class CutShortError(Exception):
    """Where the power went."""


def cut_at(patch: pytest.MonkeyPatch, place: object, name: str, nth: int) -> None:
    real: Callable[..., object] = getattr(place, name)
    calls = iter(range(1, 1000))

    def stop(*args: object, **options: object) -> object:
        if next(calls) == nth:
            raise CutShortError(name)
        return real(*args, **options)

    patch.setattr(place, name, stop)


def lost() -> Identity:
    raise AssertionError("the old root is gone and was asked for")


def recovery(house: House) -> Identity:
    return Identity.parse(house.recovery_identity or "")


def new_root(house: House) -> Identity:
    return PLACE.root(house.keys).open(b"")


def rotate(house: House, **options: Any) -> reading.Rewrapped:
    opener = options.get("opener", lambda: recovery(house))
    with Ceremony(house.vault, house.keys) as ceremony:
        return rotate_root(ceremony, opener, PLACE, b"", options.get("give_up", lambda: None))


@pytest.fixture
def filled(house: House) -> House:
    """A recording, a case, and two buckets that nothing uses."""
    house.ingest(b"footage")
    house.case(body={"title": "案件"})
    for name in ("A-2026-12", "B-2027-01"):
        ensure_bucket(house.vault, name)
    house.settle()
    return house


def readable(house: House, keyring: Keyring) -> None:
    """Everything that is sealed opens under this keyring."""
    opened = 0
    for index, leaf in enumerate(house.reader.leaves()):
        if leaf.body is not None:
            assert open_body(house.vault, index, leaf, keyring)
            opened += 1
        if leaf.object is not None:
            slot = house.vault.slots.object_slot(index)
            assert slot
            with open_object(house.vault, index, leaf, keyring.file_key(slot, leaf.object.bucket)) as source:
                assert source.read(100) == b"footage"
    assert opened == 2


def is_rotated(house: House) -> None:
    """The state that every way through a rotation ends in."""
    readable(house, Keyring.opened(house.vault, new_root(house)))
    readable(house, house.keyring)
    past = Past.read(house.reader)
    assert [past.root, *past.recovery] == [recipient.text for recipient in vault_recipients(house.vault)]
    for name in bucket_names(house.vault):
        assert past.commitments.known[name] == commitment(house.vault, name)
    assert sorted(path.name for path in house.keys.glob("root*")) == ["root.credential"]
    assert not (house.keys / "rotation").exists()
    assert not (house.vault.keys_path / "rotation").exists()


def test_after_a_rotation_the_new_root_opens_everything_and_the_old_one_nothing(filled: House) -> None:
    old = PassphraseRoot(filled.keys).open(PASSPHRASE)
    place = RootPlace(RootKind.PASSPHRASE)
    with Ceremony(filled.vault, filled.keys) as ceremony:
        done = rotate_root(ceremony, lambda: old, place, b"another passphrase")
    assert done.buckets == 4
    assert sorted(path.name for path in filled.keys.glob("root*")) == ["root.age"]
    readable(filled, Keyring.unlock(filled.vault, filled.keys, b"another passphrase"))
    with pytest.raises(WrongPassphraseError):
        Keyring.unlock(filled.vault, filled.keys, PASSPHRASE)
    with pytest.raises(WrongRootError):
        Keyring.opened(filled.vault, old)
    for name in bucket_names(filled.vault):
        with pytest.raises(NoMatchError):
            Keyring(filled.vault, old).bucket(name)


def test_what_is_sealed_after_it_is_sealed_to_the_new_root(filled: House) -> None:
    rotate(filled)
    ensure_bucket(filled.vault, "A-2027-03")
    case = filled.case(body={"title": "案件"}, body_bucket="A-2027-03")
    filled.settle()
    index = filled.row(case).entry_index
    assert index is not None
    keyring = Keyring.opened(filled.vault, new_root(filled))
    assert open_body(filled.vault, index, filled.reader.leaf(index), keyring) == {"title": "案件"}


@pytest.mark.stock
def test_stock_age_opens_a_wrapped_bucket_with_the_recovery_key(filled: House, tmp_path: Path) -> None:
    rotate(filled)
    (tmp_path / "key").write_text(filled.recovery_identity or "")
    for name in bucket_names(filled.vault):
        sealed = filled.vault.keys_path / "buckets" / name / "identity.age"
        done = subprocess.run(["age", "-d", "-i", tmp_path / "key", sealed], capture_output=True, check=True)
        assert Identity.parse(done.stdout.decode()).text == filled.keyring.bucket(name).text


def test_a_lost_root_is_replaced_with_the_recovery_key(filled: House) -> None:
    (filled.keys / "root.age").unlink()
    rotate(filled)
    is_rotated(filled)


STEPS = [
    *((name, nth) for name in ("create_once", "encrypt_file") for nth in (1, 2, 4)),
    ("create_once", 6), ("_begin", 1), ("_tell", 1), ("_put_in_place", 1),
    ("replace", 1), ("replace", 2), ("replace", 4),
    ("_promote", 1), ("take_place", 1), ("fsync_directory", 1), ("fsync_directory", 2),
]  # fmt: skip


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_rotation_that_was_cut_short_goes_on(
    filled: House, monkeypatch: pytest.MonkeyPatch, step: str, nth: int
) -> None:
    with monkeypatch.context() as patch:
        cut_at(patch, reading, step, nth)
        with pytest.raises(CutShortError):
            rotate(filled)
    rotate(filled)
    is_rotated(filled)
    assert len([leaf for leaf in filled.reader.leaves() if leaf.type == "root"]) == 1


def test_a_rotation_that_was_cut_short_at_the_very_end_needs_no_old_root(
    filled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_at(patch, reading, "_promote", 1)
        with pytest.raises(CutShortError):
            rotate(filled)
    rotate(filled, opener=lost)
    is_rotated(filled)


def test_the_old_roots_key_is_destroyed_once_nothing_needs_it(filled: House) -> None:
    seen: list[list[str]] = []

    def give_up() -> None:
        seen.append([one for one in bucket_names(filled.vault) if one])
        assert Past.read(filled.reader).root == vault_recipients(filled.vault)[0].text
        new = PLACE.root(filled.keys / "rotation").open(b"")
        assert all(Keyring.opened(filled.vault, new).bucket(name) for name in bucket_names(filled.vault))

    rotate(filled, give_up=give_up)
    assert len(seen) == 1


def test_a_bucket_that_a_dock_makes_meanwhile_is_taken_along(
    filled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reading._tell

    def dock_comes_between(*args: Any) -> None:
        ensure_bucket(filled.vault, "A-2027-05")
        real(*args)

    monkeypatch.setattr(reading, "_tell", dock_comes_between)
    rotate(filled)
    assert "A-2027-05" in bucket_names(filled.vault)
    is_rotated(filled)


def test_a_wrong_old_root_changes_nothing(filled: House) -> None:
    before = {path: path.read_bytes() for path in (filled.vault.keys_path / "buckets").rglob("identity.age")}
    with pytest.raises(NoMatchError):
        rotate(filled, opener=Identity.generate)
    assert {path: path.read_bytes() for path in before} == before
    rotate(filled)
    is_rotated(filled)


def test_an_exchanged_bucket_is_not_laundered(filled: House) -> None:
    """Whoever owns keys/buckets put his own key there; wrapping it anew would make it look right."""
    place = filled.vault.keys_path / "buckets" / BUCKET
    stranger = Identity.generate()
    (place / "recipient").unlink()
    (place / "recipient").write_text(f"{stranger.recipient.text}\n")
    with pytest.raises(BucketExchangedError, match=BUCKET):
        rotate(filled)


def test_what_waits_for_an_exchanged_bucket_is_not_sequenced(filled: House) -> None:
    place = filled.vault.keys_path / "buckets" / BUCKET
    right = (place / "recipient").read_text()
    (place / "recipient").unlink()
    (place / "recipient").write_text(f"{Identity.generate().recipient.text}\n")
    entry = filled.ingest(b"footage")
    daemon = filled.vaultd()
    daemon.start()
    for _ in range(3):
        daemon.step()
    assert filled.row(entry).state == "pending"
    (place / "recipient").write_text(right)
    while filled.row(entry).state == "pending":
        daemon.step()
    daemon.close()
    assert filled.row(entry).state == "sequenced"


# --- recovery keys


def test_other_recovery_keys_take_the_place_of_the_old_ones(filled: House) -> None:
    first, second = Identity.generate(), Identity.generate()
    rotate(filled)
    root = new_root(filled)
    with Ceremony(filled.vault, filled.keys) as ceremony:
        rotate_recovery(ceremony, root, [prove(first), prove(second)])
    for identity in (first, second, root):
        readable(filled, Keyring.opened(filled.vault, identity))
    with pytest.raises(WrongRootError):
        Keyring.opened(filled.vault, Identity.parse(filled.recovery_identity or ""))
    leaf = [leaf for leaf in filled.reader.leaves() if leaf.type == "root"][-1]
    assert leaf.facts == {
        "root": root.recipient.text, "recovery": [first.recipient.text, second.recipient.text],
    }  # fmt: skip
    lines = (filled.vault.keys_path / "recovery.recipient").read_text().splitlines()
    assert lines == leaf.facts["recovery"]


def test_a_begun_rotation_is_finished_before_another(filled: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        cut_at(patch, reading, "_tell", 1)
        with pytest.raises(CutShortError):
            rotate(filled)
    root = PassphraseRoot(filled.keys).open(PASSPHRASE)
    with (
        Ceremony(filled.vault, filled.keys) as ceremony,
        pytest.raises(CeremonyError, match="other readers"),
    ):
        rotate_recovery(ceremony, root, [prove(Identity.generate())])
    rotate(filled)
    is_rotated(filled)


def test_recovery_keys_are_changed_with_the_root_in_force(filled: House) -> None:
    with (
        Ceremony(filled.vault, filled.keys) as ceremony,
        pytest.raises(CeremonyError, match="root that is in force"),
    ):
        rotate_recovery(ceremony, Identity.generate(), [prove(Identity.generate())])


# --- the trial


def test_only_the_right_identity_opens_the_challenge() -> None:
    identity = Identity.generate()
    challenge = Challenge.pose(identity.recipient)
    assert challenge.opened_with(identity).recipient.text == identity.recipient.text
    with pytest.raises(RecoveryTrialError, match="No vault was made"):
        challenge.opened_with(Identity.generate())
    for wrong in ("", "abcd-efgh-jkmn-pqrs", "\0"):
        with pytest.raises(RecoveryTrialError):
            challenge.answered(wrong)


def test_the_words_may_be_typed_as_people_type() -> None:
    identity = Identity.generate()
    challenge = Challenge.pose(identity.recipient)
    words = decrypt_file(identity, challenge.sealed).decode()
    assert challenge.answered(f"  {words.upper()}  ")


def test_several_recovery_keys_from_the_start(tmp_path: Path) -> None:
    identities = [Identity.generate() for _ in range(3)]
    initialise(tmp_path / "v", tmp_path / "k", b"", [prove(each) for each in identities], root=PLACE)
    vault = Vault.open(tmp_path / "v")
    recipients = [each.recipient.text for each in identities]
    assert (vault.keys_path / "recovery.recipient").read_text().split() == recipients
    past = Past.read(LogReader(vault))
    assert list(past.recovery) == recipients
    names = {Keyring.opened(vault, each).bucket("facts").text for each in identities}
    assert len(names) == 1


# --- real hardware's stand-ins


@pytest.mark.stock
def test_a_root_moves_from_a_passphrase_into_the_tpm(
    filled: House, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpm = SoftTpm.start(tmp_path_factory.mktemp("tpm"))
    monkeypatch.setenv("TPM2TOOLS_TCTI", tpm.tcti)
    try:
        place = RootPlace(RootKind.TPM2)
        with Ceremony(filled.vault, filled.keys) as ceremony:
            rotate_root(ceremony, lambda: PassphraseRoot(filled.keys).open(PASSPHRASE), place, PIN)
        assert sorted(path.name for path in filled.keys.glob("root*")) == ["root.tpm2"]
        readable(filled, Keyring.opened(filled.vault, place.root(filled.keys).open(PIN)))
    finally:
        tpm.stop()
