"""Bundles judged by several processes say what one process says."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from vault.audit import crew
from vault.audit.crew import Crew
from vault.audit.report import Report
from vault.audit.verify import Request, verify_vault_as
from vault.formats.merkle import number_path


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> SmallVault:
    made = found(tmp_path_factory.mktemp("crew") / "vault")
    for index in range(2, 3000):
        made.add(
            original=os.urandom(50) if index % 300 == 0 else None,
            fields={"n": index} if index % 100 == 0 else None,
        )
    made.write()
    return made


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_WORTH_IT", 2)
    monkeypatch.setattr(crew, "_TASK", 2)


def check(vault: SmallVault, processes: int) -> Report:
    return verify_vault_as(vault.path, vault.verifier, Request([vault.root], processes=processes))


def test_many_processes_say_what_one_says(vault: SmallVault) -> None:
    alone, together = check(vault, 1), check(vault, 2)
    assert alone.ok
    assert together.to_json() == alone.to_json()


@pytest.mark.parametrize("file", ["log/tile/entries/003", "log/tile/0/004", "keys/slots/003", "packs/001"])
def test_damage_is_named_alike(vault: SmallVault, file: str) -> None:
    path = vault.path / file
    kept = path.read_bytes()
    path.write_bytes(kept[:700] + bytes([kept[700] ^ 4]) + kept[701:])
    try:
        alone, together = check(vault, 1), check(vault, 2)
    finally:
        path.write_bytes(kept)
    assert not alone.ok
    assert together.to_json() == alone.to_json()
    assert {finding.file for finding in alone.failures} == {file}


def test_when_a_process_dies_the_rest_is_judged_here(
    vault: SmallVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_judge", _die_at_the_third)
    numbers = range(len(vault.leaves) // 256)
    verdicts = list(Crew(vault.path, len(vault.leaves), processes=2).verdicts(numbers))
    assert [verdict.number for verdict in verdicts] == list(numbers)
    assert all(verdict.root for verdict in verdicts)


def _die_at_the_third(numbers: range) -> list[crew.Verdict]:
    if numbers[0] >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return [crew._AUDIT[0].judge(number) for number in numbers]


def test_a_partial_bundle_is_left_to_the_tree(vault: SmallVault, tmp_path: Path) -> None:
    audit = Crew(vault.path, len(vault.leaves)).audit()
    assert audit.judge(len(vault.leaves) // 256).root is None
    assert audit.judge(0).root is not None
    assert not (vault.path / "packs" / number_path(900)).exists()
    assert audit.judge(900).root is None
