"""Signatures of people under acts on the log: the verifier checks them with nothing but the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conformance.small_vault import SmallVault, found
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keeping.signers import TIME, Signers

from core.clock import new_id
from vault.audit.approval import Signatures
from vault.audit.report import Report
from vault.audit.verify import Request, verify_vault, verify_vault_as
from vault.formats.entry import Leaf

RECORDING = 2
EARLIER, LATER = "2026-11-23T05:00:00.000000Z", "2026-11-23T07:00:00.000000Z"


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    made.add(original=b"what was recorded", fields={"name": "a.mp4"})
    return made


@pytest.fixture
def two(vault: SmallVault) -> Signers:
    signers = Signers(vault.leaves[0].id)
    vault.leaves += signers.entries()
    return signers


def unsigned(vault: SmallVault, kind: str = "dispose", **facts: Any) -> Leaf:
    about = (vault.leaves[RECORDING].id,)
    return Leaf(id=new_id(), type=kind, time=TIME, by="console", about=about, facts=facts)


def compromise(since: str = TIME, *, name: str = "bureau", by: str = "vaultd") -> Leaf:
    return Leaf(
        id=new_id(), type="compromise", time=TIME, by=by, facts={"name": name, "vkey": "x", "since": since}
    )


def why(vault: SmallVault, *leaves: Leaf) -> str:
    """Why the last of these is not signed, in what the verifier says; empty when it says nothing."""
    vault.leaves += leaves
    vault.write()
    report = verify_vault(vault.path, vault.verifier)
    place = len(vault.leaves) - 1
    return "".join(one.why for one in report.failures if (one.obligation, one.entry) == (11, place))


def test_two_people_of_the_log_dispose(vault: SmallVault, two: Signers) -> None:
    assert why(vault, two.signed(unsigned(vault))) == ""
    report = verify_vault(vault.path, vault.verifier)
    assert report.counts["approved"] == 1
    [notice] = report.notices
    assert notice.code == "notice.approval"
    assert "signatures under disposals were checked" in notice.sentence


def test_one_person_is_not_two(vault: SmallVault, two: Signers) -> None:
    one = next(iter(two.keys))
    assert why(vault, two.signed(unsigned(vault), one)) == "it has 1 of 2 approvals"
    vault.leaves.pop()
    assert why(vault, two.signed(unsigned(vault), one, one)) == "one person, or one key, signed twice"


def test_strangers_and_other_acts(vault: SmallVault, two: Signers) -> None:
    entry = unsigned(vault, basis="x")
    assert "no such key in force" in why(vault, Signers(two.vault).signed(entry))
    vault.leaves.pop()
    changed = two.signed(entry)
    changed = replace(changed, facts={**changed.facts, "basis": "y"})
    assert "is false" in why(vault, changed)
    vault.leaves.pop()
    assert "is false" in why(vault, Signers(new_id(), two.keys).signed(entry))  # for another vault
    vault.leaves.pop()
    stolen = Signers(two.vault, {account: Ed25519PrivateKey.generate() for account in two.keys})
    assert "no such key in force" in why(vault, stolen.signed(entry))


def test_a_key_counts_from_its_enrolment_to_its_revocation(vault: SmallVault, two: Signers) -> None:
    one, other = two.keys
    assert why(vault, two.entry(one, "revoked", by="console"), two.signed(unsigned(vault))) == ""
    assert why(vault, two.entry(one, "revoked"), two.signed(unsigned(vault))).startswith(one)
    assert why(vault, two.signed(unsigned(vault, "release"), other)) == ""


def test_nobody_but_the_bureau_enrols(vault: SmallVault) -> None:
    two = Signers(vault.leaves[0].id)
    vault.leaves += [two.entry(account, by="console") for account in two.keys]
    assert "no such key in force" in why(vault, two.signed(unsigned(vault)))


@pytest.mark.parametrize("since", [TIME, EARLIER])
def test_a_compromised_bureau_enrolled_nobody(vault: SmallVault, two: Signers, since: str) -> None:
    assert "no such key in force" in why(vault, compromise(since), two.signed(unsigned(vault)))


@pytest.mark.parametrize("said", [compromise(LATER), compromise(name="console"), compromise(by="console")])
def test_another_compromise_takes_nobodys_key(vault: SmallVault, two: Signers, said: Leaf) -> None:
    assert why(vault, said, two.signed(unsigned(vault))) == ""


def test_after_a_compromise_the_next_enrolment_counts(vault: SmallVault, two: Signers) -> None:
    assert why(vault, compromise(), *two.entries(), two.signed(unsigned(vault))) == ""


def test_a_disposal_before_the_compromise_stands(vault: SmallVault, two: Signers) -> None:
    vault.leaves.append(two.signed(unsigned(vault)))
    vault.leaves.append(compromise())
    vault.write()
    assert not [one for one in verify_vault(vault.path, vault.verifier).failures if one.obligation == 11]


def test_a_thiefs_earlier_time_is_not_believed(vault: SmallVault) -> None:
    """The clocks before the entry vouch for a later one."""
    two = Signers(vault.leaves[0].id)
    for _ in range(300):  # more than one bundle
        vault.add()
    vault.leaves += [two.entry(account, time="2020-01-01T00:00:00.000000Z") for account in two.keys]
    assert "no such key in force" in why(vault, compromise(EARLIER), two.signed(unsigned(vault)))
    vault.leaves[-2] = compromise(LATER)
    vault.leaves.pop()
    assert why(vault, two.signed(unsigned(vault))) == ""


def test_a_release_needs_one_and_a_schedule_says_nothing_false(vault: SmallVault, two: Signers) -> None:
    one = next(iter(two.keys))
    assert why(vault, two.signed(unsigned(vault, "release", hold="x"), one)) == ""
    assert why(vault, unsigned(vault, "schedule", version=1)) == ""
    assert why(vault, unsigned(vault, "release", hold="x")) == "it has 0 of 1 approvals"
    vault.leaves.pop()
    assert "no such key" in why(vault, Signers(two.vault).signed(unsigned(vault, "schedule", version=2)))


def test_what_was_judged_before_is_learned_from(vault: SmallVault, two: Signers, tmp_path: Path) -> None:
    vault.leaves.append(unsigned(vault))
    vault.write()
    kept = tmp_path / "kept"
    kept.write_bytes((vault.path / "log/checkpoint").read_bytes())
    vault.leaves.append(two.signed(unsigned(vault)))
    vault.write()
    report = verify_vault_as(vault.path, vault.verifier, Request(since=kept))
    assert report.ok, report.failures
    assert report.counts["approved"] == 1


class Asked:
    """A judge that refuses everything."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def judge(self, _index: int, leaf: Leaf) -> str:
        self.types.append(leaf.type)
        return "too early" if leaf.type == "dispose" else ""


def test_the_judge_is_asked_only_about_what_people_signed(vault: SmallVault, two: Signers) -> None:
    vault.leaves += [unsigned(vault), two.signed(unsigned(vault))]
    vault.write()
    judge = Asked()
    report = verify_vault_as(vault.path, vault.verifier, Request(approvals=judge))
    assert judge.types.count("dispose") == 1
    assert [one.why for one in report.failures] == ["it has 0 of 2 approvals", "too early"]
    assert not report.notices
    assert report.counts["approved"] == 0


def signer(**changed: Any) -> Callable[[Signers, str], Leaf]:
    def make(two: Signers, account: str) -> Leaf:
        leaf = two.entry(account)
        return replace(leaf, facts={**leaf.facts, **changed})

    return make


@pytest.mark.parametrize(
    "make",
    [
        signer(kind="webauthn"), signer(kind=[]), signer(kind="webauthn", rp_id=7), signer(key=7), signer(key="!"),
        signer(account=["x"]), signer(account=None), signer(action="?"), signer(action=[]),
        lambda two, account: replace(two.entry(account), facts={}),
        lambda two, account: replace(two.entry(account), about=(new_id(),)),
    ],
)  # fmt: skip
def test_a_key_that_no_program_can_read_is_no_key(
    tmp_path: Path, make: Callable[[Signers, str], Leaf]
) -> None:
    two, about = Signers(new_id()), (new_id(),)
    signatures = Signatures(tmp_path, Report(""))
    genesis = Leaf(id=two.vault, type="genesis", time=TIME, by="vaultd", facts={"vault": two.vault})
    for index, leaf in enumerate([genesis, *(make(two, account) for account in two.keys)]):
        signatures.take(index, leaf)
    entry = Leaf(id=new_id(), type="dispose", time=TIME, by="console", about=about)
    assert "no such key in force" in signatures.judge(two.signed(entry))


@pytest.mark.parametrize(
    "approvals",
    [
        7, {}, "xx", [7], [{}], [None], [{"account": [], "key": "x", "signature": "AAAA"}],
        [{"account": "x", "key": {}, "signature": "AAAA"}], [{"account": "x", "key": "y", "assertion": 7}],
        [{"account": "x", "key": "y", "assertion": {"signature": "AAAA"}}],
    ],
)  # fmt: skip
def test_approvals_in_any_shape_are_a_finding(vault: SmallVault, approvals: object) -> None:
    assert why(vault, unsigned(vault, approvals=approvals)) != ""
