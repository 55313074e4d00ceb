"""Other signing keys: what was signed before stays valid, and a rotation that was cut short anywhere goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from crash.house import House

from vault.ceremony import signing
from vault.ceremony.past import Past
from vault.ceremony.session import Ceremony, CeremonyError
from vault.ceremony.signing import rotate_log, rotate_process, settle_log
from vault.error import VaultError
from vault.formats.handover import HandoverError, SupersededError, read_handovers, spoken_by, trusted_keys
from vault.formats.note import NoteSignatureError, SigningKey, sign_note
from vault.formats.proof import Receipt
from vault.founding import PERMITS
from vault.log.ledger import LogReader
from vault.log.outbox import RowState
from vault.log.submission import Draft
from vault.log.writer import LogKeyError, SecondWriterError
from vault.store.objects import Vault


class CutShortError(Exception):
    """Where the power went."""


def cut_at(patch: pytest.MonkeyPatch, place: object, name: str, nth: int = 1) -> None:
    """Stop in the call number `nth` of `name`, before it does anything."""
    real: Callable[..., object] = getattr(place, name)
    calls = iter(range(1, 1000))

    def stop(*args: object, **options: object) -> object:
        if next(calls) == nth:
            raise CutShortError(name)
        return real(*args, **options)

    patch.setattr(place, name, stop)


def reopened(house: House) -> House:
    """The house as the next start of every process finds it."""
    return House(house.directory, house.recovery_identity)


# --- a process


def test_a_process_gets_a_new_key_and_the_old_one_is_refused(house: House) -> None:
    before, old = house.case(), house.key("console")
    house.settle()
    with Ceremony(house.vault, house.keys) as ceremony:
        vkey = rotate_process(ceremony, "console")
    assert house.key("console").vkey == vkey != old.vkey
    after = house.case()
    house.settle()
    assert [house.row(entry).state for entry in (before, after)] == [RowState.SEQUENCED] * 2
    (house.keys / "console.key").unlink()
    (house.keys / "console.key").write_text(old.private_text)
    stolen = house.case()
    house.settle()
    assert house.row(stolen).state == RowState.REFUSED
    assert house.verify().ok


def test_the_new_key_may_what_such_a_process_may_today(house: House) -> None:
    with Ceremony(house.vault, house.keys) as ceremony:
        rotate_process(ceremony, "dockd")
    known = Past.read(house.reader).current("dockd")
    assert known
    assert list(known.permits) == PERMITS["dockd"]


def test_a_process_that_there_is_not_gets_no_key(house: House) -> None:
    before = house.reader.size
    with Ceremony(house.vault, house.keys) as ceremony, pytest.raises(CeremonyError, match="no process root"):
        rotate_process(ceremony, "root")
    assert house.reader.size == before
    assert not list(house.keys.glob("*.next"))


@pytest.mark.parametrize("step", ["create_once", "take_place"])
def test_a_process_key_that_was_cut_short_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patch, Ceremony(house.vault, house.keys) as ceremony:
        cut_at(patch, signing, step)
        with pytest.raises(CutShortError):
            rotate_process(ceremony, "worker")
    with Ceremony(house.vault, house.keys) as ceremony:
        vkey = rotate_process(ceremony, "worker")
    keys = [known.vkey for known in Past.read(house.reader).keys["worker"]]
    assert len(keys) == 2
    assert keys[-1] == vkey == house.key("worker").vkey
    assert not list(house.keys.glob("*.next"))


def test_a_ceremony_waits_for_vaultd_to_stop(house: House) -> None:
    daemon = house.vaultd()
    daemon.start()
    with pytest.raises(SecondWriterError):
        Ceremony(house.vault, house.keys)
    daemon.close()


def test_vaultd_waits_for_a_ceremony_to_end(house: House) -> None:
    with Ceremony(house.vault, house.keys):
        daemon = house.vaultd()
        with pytest.raises(SecondWriterError):
            daemon.start()
        daemon.close()


# --- the log


def test_the_log_goes_on_under_a_new_key(house: House) -> None:
    sealed = house.ingest(b"footage")
    house.settle()
    index = house.row(sealed).entry_index
    assert index is not None
    old_receipt, old_key = house.reader.proof(index), house.vault.verifier
    vault = rotate_log(house.vault, house.keys)
    assert vault.verifier != old_key
    assert (vault.founding_key, vault.earlier) == (old_key, (old_key,))
    later = reopened(house)
    case = later.case()
    later.settle()
    assert later.row(case).state == RowState.SEQUENCED
    Receipt.parse(old_receipt).verify(old_key)
    new_receipt = later.reader.proof(index)
    Receipt.parse(new_receipt).verify(vault.verifier)
    with pytest.raises(NoteSignatureError):
        Receipt.parse(new_receipt).verify(old_key)
    later.close()


def test_whoever_holds_the_founding_key_is_led_to_the_newest(house: House) -> None:
    founding_key = house.vault.verifier
    keys = [founding_key]
    vault = house.vault
    for _ in range(3):
        vault = rotate_log(vault, house.keys)
        keys.append(vault.verifier)
    handovers = read_handovers(vault.path)
    assert trusted_keys(founding_key, handovers) == keys
    assert spoken_by((vault.log_path / "checkpoint").read_bytes(), founding_key, handovers) == keys[-1]
    assert Vault.open(vault.path).earlier == tuple(keys[:-1])


def test_the_policy_sends_stock_verifiers_to_every_key(house: House) -> None:
    vault = rotate_log(rotate_log(house.vault, house.keys), house.keys)
    lines = (vault.log_path / "policy").read_text().splitlines()
    expected = [vault.verifier, *reversed(vault.earlier)]
    assert lines == [*(f"log {key.vkey}" for key in expected), "quorum none"]


def test_the_old_key_writes_nothing_any_more(house: House) -> None:
    old = house.key("log")
    vault = rotate_log(house.vault, house.keys)
    assert house.key("log").verifier == vault.verifier
    (house.keys / "log.key").unlink()
    (house.keys / "log.key").write_text(old.private_text)
    with pytest.raises(LogKeyError):
        Ceremony(vault, house.keys)


STEPS = [("create_once", 1), ("_hand_over", 1), ("make_directory", 1), ("create_once", 2), ("settle_log", 1),
         ("replace", 1), ("take_place", 1)]  # fmt: skip


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_handover_that_was_cut_short_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str, nth: int
) -> None:
    founding_key = house.vault.verifier
    with monkeypatch.context() as patch:
        cut_at(patch, signing, step, nth)
        with pytest.raises(CutShortError):
            rotate_log(house.vault, house.keys)
    LogReader(Vault.open(house.vault.path)).checkpoint()  # whoever reads is never locked out
    vault = rotate_log(Vault.open(house.vault.path), house.keys)
    assert len(read_handovers(vault.path)) == 1
    assert trusted_keys(founding_key, read_handovers(vault.path)) == [founding_key, vault.verifier]
    assert house.key("log").verifier == vault.verifier
    assert not list(house.keys.glob("*.next"))
    later = reopened(house)
    later.case()
    later.settle()
    later.close()


def test_vaultd_does_not_write_under_a_key_that_gave_the_log_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        cut_at(patch, signing, "make_directory")
        with pytest.raises(CutShortError):
            rotate_log(house.vault, house.keys)
    daemon = house.vaultd()
    with pytest.raises(LogKeyError):
        daemon.start()
    daemon.close()


def test_settling_twice_changes_nothing(house: House) -> None:
    vault = rotate_log(house.vault, house.keys)
    before = {path: path.read_bytes() for path in vault.path.rglob("*") if path.is_file()}
    settle_log(vault, house.keys)
    assert {path: path.read_bytes() for path in vault.path.rglob("*") if path.is_file()} == before


# --- what a forger could try


def handed_over(house: House) -> tuple[Vault, bytes]:
    vault = rotate_log(house.vault, house.keys)
    return vault, read_handovers(vault.path)[0]


def test_a_handover_to_a_strangers_key_leads_nowhere(house: House) -> None:
    founding_key = house.vault.verifier
    _, raw = handed_over(house)
    stranger = SigningKey.generate(house.vault.origin)
    text = Receipt.parse(raw).proof.checkpoint_note.split(b"\n\n")[0].decode() + "\n"
    forged = raw[: raw.index(Receipt.parse(raw).proof.checkpoint_note)] + sign_note(text, stranger)
    with pytest.raises(NoteSignatureError):
        trusted_keys(founding_key, [forged])


def test_a_handover_that_only_the_old_key_signed_is_none(house: House) -> None:
    founding_key, old = house.vault.verifier, house.key("log")
    _, raw = handed_over(house)
    note = Receipt.parse(raw).proof.checkpoint_note
    alone = raw[: raw.index(note)] + sign_note(note.split(b"\n\n")[0].decode() + "\n", old)
    with pytest.raises(NoteSignatureError):
        trusted_keys(founding_key, [alone])


def test_a_receipt_of_something_else_is_no_handover(house: House) -> None:
    founding_key = house.vault.verifier
    with pytest.raises(HandoverError, match=r"no key entry|about the log's own key"):
        trusted_keys(founding_key, [house.reader.proof(0)])
    with pytest.raises(HandoverError, match="about the log's own key"):
        trusted_keys(founding_key, [house.reader.proof(1)])


def test_handovers_out_of_order_are_refused(house: House) -> None:
    founding_key = house.vault.verifier
    rotate_log(rotate_log(house.vault, house.keys), house.keys)
    first, second = read_handovers(house.vault.path)
    for order in ([second, first], [second], [first, first]):
        with pytest.raises((HandoverError, NoteSignatureError)):
            trusted_keys(founding_key, order)


def test_an_old_key_that_signs_beyond_its_handover_is_caught(house: House) -> None:
    """Whoever stole the old key forks the log; a person who follows the handovers sees it."""
    founding_key, old = house.vault.verifier, house.key("log")
    vault, raw = handed_over(house)
    later = reopened(house)
    later.case()
    later.settle()
    checkpoint, note = later.reader.checkpoint()
    with pytest.raises(SupersededError, match="it is evidence of a forgery"):
        spoken_by(checkpoint.signed(old), founding_key, [raw])
    assert spoken_by(note, founding_key, [raw]) == vault.verifier
    later.close()


def test_a_lost_handover_closes_the_vault_instead_of_trusting(house: House) -> None:
    vault, _ = handed_over(house)
    later = reopened(house)
    later.case()
    later.settle()
    later.close()
    shutil.rmtree(vault.log_path / "handover")
    with pytest.raises(NoteSignatureError):
        LogReader(Vault.open(vault.path)).checkpoint()


@pytest.mark.parametrize("name", ["x", "12.bak", "-1"])
def test_a_strange_file_among_the_handovers_is_named(house: House, name: str) -> None:
    directory = house.vault.log_path / "handover"
    directory.mkdir()
    (directory / name).write_bytes(b"")
    with pytest.raises(HandoverError, match=f"{name} is not named by a size"):
        Vault.open(house.vault.path)


@pytest.mark.parametrize("content", [b"", b"noise", b"c2sp.org/tlog-proof@v1\n", b"\xff" * 100])
def test_a_damaged_handover_is_one_error(house: House, content: bytes) -> None:
    directory = house.vault.log_path / "handover"
    directory.mkdir()
    (directory / "9").write_bytes(content)
    with pytest.raises(VaultError):
        Vault.open(house.vault.path)


def test_an_entry_of_a_ceremony_is_believed_only_of_vaultd(house: House) -> None:
    entry = house.submit("console", Draft("compromise", facts={"name": "dockd", "vkey": "x", "since": "y"}))
    house.settle()
    assert house.row(entry).state == RowState.REFUSED


def test_a_name_of_the_log_in_a_path(house: House, tmp_path: Path) -> None:
    """The origin has a slash in it; the key's file is called log.key all the same."""
    rotate_log(house.vault, house.keys)
    assert (house.keys / "log.key").exists()
    assert not (house.keys / "sealdock").exists()
