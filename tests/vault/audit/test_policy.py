from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault.audit.policy import POLICY_FILE, check_policy
from vault.audit.report import Report
from vault.formats.note import SigningKey, VerifierKey
from vault.founding import initialise

LOG, OTHER = (SigningKey("sealdock/x", bytes([seed]) * 32) for seed in (1, 2))  # the same in every process
LINE = f"log {LOG.vkey}\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / POLICY_FILE


def codes(policy: Path, *earlier: VerifierKey) -> list[str]:
    report = Report("")
    check_policy(policy.parents[1], [*earlier, LOG.verifier], report)
    assert all(finding.file == POLICY_FILE and finding.obligation == 2 for finding in report.failures)
    return [finding.code for finding in report.failures]


@pytest.mark.parametrize(
    "text",
    [
        f"{LINE}quorum none\n",
        f"# the bureau's\n\n\t log \t{LOG.vkey} https://example.org/ \nquorum none\n",
        f"witness w {OTHER.vkey}\n{LINE}quorum w\n",  # witnesses may be added
    ],
)
def test_a_policy_that_names_this_log_alone_is_whole(policy: Path, text: str) -> None:
    policy.write_text(text)
    assert codes(policy) == []


@pytest.mark.parametrize(
    "text",
    [
        "quorum none\n",
        f"log {OTHER.vkey}\nquorum none\n",
        f"{LINE}log {OTHER.vkey}\nquorum none\n",  # a second log would vouch for forgeries
        f"{LINE}{LINE}quorum none\n",  # the specification forbids duplicates
        f"# {LINE}quorum none\n",
        "log\nquorum none\n",
        f"log {LOG.vkey[:-1]}\n",
    ],
)
def test_a_policy_of_other_logs_is_a_failure(policy: Path, text: str) -> None:
    policy.write_text(text)
    assert codes(policy) == ["verify.key"]


def test_a_policy_may_name_keys_that_the_log_had_before_but_not_only_those(policy: Path) -> None:
    policy.write_text(f"{LINE}log {OTHER.vkey}\nquorum none\n")
    assert codes(policy, OTHER.verifier) == []
    policy.write_text(f"log {OTHER.vkey}\nquorum none\n")
    assert codes(policy, OTHER.verifier) == ["verify.key"]


@pytest.mark.parametrize("raw", [b"\xff\n", LINE.encode().strip(), b"#" * 100_000 + b"\n"])
def test_a_policy_that_cannot_be_read_is_a_failure(policy: Path, raw: bytes) -> None:
    policy.write_bytes(raw)
    assert codes(policy) == ["verify.vault_file"]


@pytest.mark.timeout(20)
def test_a_policy_that_is_missing_or_a_pipe_is_a_failure(policy: Path) -> None:
    assert codes(policy) == ["verify.vault_file"]
    os.mkfifo(policy)
    assert codes(policy) == ["verify.vault_file"]


def test_the_policy_of_a_vault_just_made_is_whole(tmp_path: Path) -> None:
    initialise(tmp_path / "vault", tmp_path / "keys", b"a passphrase for one test")
    report = Report("")
    key = SigningKey.read(tmp_path / "keys/log.key").verifier
    check_policy(tmp_path / "vault", [key], report)
    assert report.failures == []
