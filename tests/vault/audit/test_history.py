"""What the log says of its own keys, buckets and disposals, and files that say something else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conformance.small_vault import BUCKET, SmallVault, found
from keeping.signers import Signers

from vault.audit.report import Report
from vault.audit.verify import Request, verify_vault, verify_vault_as
from vault.formats.age import Identity, encrypt_file
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey

RECORDING = 2  # the first entry after genesis and the bucket's


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    made.add(original=b"what was recorded", fields={"name": "a.mp4"})
    made.write()
    return made


def check(vault: SmallVault, *identities: Identity) -> Report:
    return verify_vault(vault.path, vault.verifier, identities=identities)


def codes(report: Report) -> list[tuple[int, str, int | None]]:
    return [(one.obligation, one.code, one.entry) for one in report.failures]


def dispose(vault: SmallVault) -> None:
    """With everything that the log has to say before it: entries 3 and 4 enrol two people, 5 disposes."""
    two = Signers(vault.leaves[0].id)
    vault.leaves += two.entries()
    entry = vault.say("dispose", {"schedule": "x", "basis": "y"}, (vault.leaves[RECORDING].id,), "console")
    vault.leaves[-1] = two.signed(entry)


def destroy(vault: SmallVault, state: str, *buckets: str) -> Leaf:
    about = (vault.leaves[RECORDING].id,)
    return vault.say("destroy", {"dispose": "x", "state": state, "buckets": list(buckets)}, about, "sealer")


def test_keys_and_object_may_go_after_a_disposal(vault: SmallVault) -> None:
    path = vault.object_path(RECORDING)
    path.unlink()
    vault.destroy_keys(RECORDING)
    vault.write()
    assert {code for _, code, _ in codes(check(vault))} == {"verify.object", "verify.slot"}
    dispose(vault)
    vault.write()
    report = check(vault, vault.root)
    assert report.ok
    assert [notice.code for notice in report.notices] == ["notice.approval"]


def test_a_disposal_of_another_recording_allows_nothing(vault: SmallVault) -> None:
    vault.destroy_keys(RECORDING)
    vault.leaves[RECORDING], kept = vault.leaves[0], vault.leaves[RECORDING]
    dispose(vault)
    vault.leaves[RECORDING] = kept
    vault.write()
    assert {code for _, code, _ in codes(check(vault))} == {"verify.slot"}


def test_what_a_certificate_calls_erased_must_be_gone(vault: SmallVault) -> None:
    dispose(vault)
    destroy(vault, "erased")
    vault.write()
    assert codes(check(vault)) == [(6, "verify.destroyed", 2), (7, "verify.destroyed", 2)]
    vault.object_path(RECORDING).unlink()
    vault.destroy_keys(RECORDING)
    vault.write()
    assert check(vault).ok


def test_old_keys_may_go_after_a_rewrap_and_the_newest_must_open(vault: SmallVault) -> None:
    vault.rewrap(RECORDING, "B-2026-11")
    vault.destroy_keys(RECORDING)
    vault.write()
    report = check(vault, vault.root)
    assert report.ok, report.failures
    assert report.counts["opened_rewrapped"] == report.counts["rewrapped"] == 1
    assert check(vault).ok


def test_a_rewrap_whose_header_opens_something_else(vault: SmallVault) -> None:
    vault.add(original=b"another recording", fields={"name": "b.mp4"})
    entry = vault.rewrap(len(vault.leaves) - 1, "B-2026-11")
    wrong = Leaf(
        id=entry.id, type=entry.type, time=entry.time, by=entry.by, facts=entry.facts,
        about=(vault.leaves[RECORDING].id,),
    )  # fmt: skip
    vault.leaves[-1] = wrong
    vault.write()
    assert check(vault).ok  # nobody can see that without a key
    assert {(obligation, code) for obligation, code, _ in codes(check(vault, vault.root))} == {
        (9, "verify.plaintext")
    }


def test_a_rewraps_own_slots_are_held_to_it(vault: SmallVault) -> None:
    vault.rewrap(RECORDING, "B-2026-11")
    place = len(vault.leaves) - 1
    body, sealed, record = vault.private[place]
    vault.private[place] = (body, sealed[:-1] + b"\0", record)
    vault.write()
    assert codes(check(vault)) == [(7, "verify.slot", place)]
    vault.destroy_keys(place)
    vault.write()
    assert {entry for _, _, entry in codes(check(vault))} == {place}
    vault.rewrap(RECORDING, "C-2026-11")  # a newer one allows that
    vault.write()
    assert check(vault, vault.root).ok


def test_a_bucket_may_be_gone_when_it_was_destroyed_and_everything_left_it(vault: SmallVault) -> None:
    shutil.rmtree(vault.path / "keys/buckets" / BUCKET)
    assert codes(check(vault)) == [(7, "verify.bucket", None)]
    destroy(vault, "unreadable", BUCKET)
    vault.write()
    assert {code for _, code, _ in codes(check(vault))} == {
        "verify.slot"
    }  # nobody disposed of what was in it
    dispose(vault)
    vault.object_path(RECORDING).unlink()
    vault.destroy_keys(RECORDING)
    vault.write()
    assert check(vault).ok


def test_a_bucket_that_a_certificate_calls_gone_must_be_gone(vault: SmallVault) -> None:
    dispose(vault)
    vault.object_path(RECORDING).unlink()
    vault.destroy_keys(RECORDING)
    destroy(vault, "unreadable", BUCKET)
    vault.write()
    assert codes(check(vault)) == [(7, "verify.destroyed", 6)]


def test_a_bucket_is_committed_to_before_it_is_used(vault: SmallVault) -> None:
    vault.leaves[1], vault.leaves[RECORDING] = vault.leaves[RECORDING], vault.leaves[1]
    vault.private = {1: vault.private[RECORDING]}
    vault.write()
    assert codes(check(vault)) == [(7, "verify.history", 1)]
    del vault.leaves[RECORDING]
    vault.write()
    assert codes(check(vault)) == [(7, "verify.history", 1)]


def test_the_newest_entry_about_a_bucket_counts_and_never_changes_its_recipient(vault: SmallVault) -> None:
    place = vault.path / "keys/buckets" / BUCKET
    readers = [vault.root.recipient, vault.recovery.recipient]
    text = f"{vault.buckets[BUCKET].text}\n".encode()
    (place / "identity.age").write_bytes(encrypt_file(readers, text))
    assert codes(check(vault)) == [(7, "verify.bucket", None)]
    vault.commit(BUCKET)
    vault.write()
    assert check(vault, vault.root).ok
    (place / "recipient").write_text(f"{Identity.generate().recipient.text}\n")
    vault.commit(BUCKET)
    vault.write()
    assert codes(check(vault)) == [(7, "verify.history", 4)]


def test_readers_are_those_of_the_newest_root_entry(vault: SmallVault) -> None:
    root, others = Identity.generate(), [Identity.generate().recipient.text for _ in range(2)]
    vault.say("root", {"root": root.recipient.text, "recovery": others})
    vault.write()
    assert codes(check(vault)) == [(7, "verify.bucket", None)] * 2
    (vault.path / "keys/root.recipient").write_text(f"{root.recipient.text}\n")
    (vault.path / "keys/recovery.recipient").write_text("".join(f"{text}\n" for text in others))
    assert check(vault).ok
    assert codes(check(vault, root)) == [
        (7, "verify.bucket", None)
    ]  # the bucket was not wrapped to the new root


def test_a_log_that_was_handed_over_is_judged_under_either_key(vault: SmallVault) -> None:
    old = vault.hand_over()
    vault.add(fields={"name": "later"})
    vault.write()
    for key in (old.verifier, vault.verifier):
        assert verify_vault(vault.path, key).ok
    other = SigningKey.generate(old.name).verifier
    assert not verify_vault(vault.path, other).ok


def test_a_handover_that_is_lost_false_or_not_on_the_log(vault: SmallVault) -> None:
    old = vault.hand_over()
    [path] = (vault.path / "log/handover").iterdir()
    kept = path.read_bytes()
    path.write_bytes(kept[:-3] + b"A==\n"[-3:])
    assert (1, "verify.handover", None) in codes(verify_vault(vault.path, old.verifier))
    path.unlink()
    assert (2, "verify.checkpoint", None) in codes(verify_vault(vault.path, old.verifier))
    path.with_name("1").write_bytes(kept)
    assert (1, "verify.handover", None) in codes(verify_vault(vault.path, old.verifier))
    path.with_name("1").unlink()
    path.write_bytes(kept)
    vault.leaves[-1] = Leaf(
        id=vault.leaves[-1].id, type="key", time=vault.leaves[-1].time, by="vaultd",
        facts={"name": old.name, "vkey": old.vkey, "permits": []},
    )  # fmt: skip
    vault.write()
    assert (1, "verify.handover", None) in codes(verify_vault(vault.path, old.verifier))


def test_an_id_that_stands_twice(vault: SmallVault) -> None:
    first = vault.leaves[RECORDING]
    vault.leaves.append(Leaf(id=first.id, type="case", time=first.time, by="console"))
    vault.write()
    [finding] = check(vault).failures
    assert (finding.code, finding.entry, finding.why) == ("verify.id", 3, "entry 2")


@pytest.mark.parametrize("made_at", ["2026-11-23T06:05:05.000123Z", "2026-11-23T04:05:04.000123Z"])
def test_made_at_is_when_genesis_says(vault: SmallVault, made_at: str) -> None:
    path = vault.path / "vault.json"
    path.write_bytes(path.read_bytes().replace(b"2026-11-23T06:05:04.000123Z", made_at.encode()))
    assert codes(check(vault)) == [(1, "verify.vault_file", None)]


class Strict:
    """A judge of approvals that refuses everything and says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []

    def judge(self, index: int, leaf: Leaf) -> str:
        self.asked.append((index, leaf.type))
        return "one person signed twice" if leaf.type == "dispose" else ""


def test_approvals_are_judged_by_whom_the_reader_brings(vault: SmallVault) -> None:
    dispose(vault)
    vault.write()
    judge = Strict()
    report = verify_vault_as(vault.path, vault.verifier, Request(approvals=judge))
    assert codes(report) == [(11, "verify.history", 5)]
    assert (5, "dispose") in judge.asked
    assert not report.notices


def test_a_policy_that_still_names_a_compromised_key_is_a_failure(vault: SmallVault) -> None:
    old = vault.hand_over()
    assert check(vault).ok
    vault.say("compromise", {"name": old.name, "vkey": old.vkey, "since": vault.leaves[0].time})
    vault.write()
    report = check(vault)
    assert codes(report) == [(2, "verify.compromised", len(vault.leaves) - 1)]
    (vault.path / "log/policy").write_text(f"log {vault.log_key.vkey}\nquorum none\n")
    assert check(vault).ok
