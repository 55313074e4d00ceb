from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import Exit
from vault.audit.report import SENTENCES, Finding, Report, reason
from vault.formats.checkpoint import Checkpoint
from vault.formats.merkle import EMPTY_ROOT
from vault.formats.note import NoteSignatureError, SigningKey
from vault.formats.proof import Trust

AUDITS = Path(__file__).resolve().parents[3] / "vault" / "audit"
KEY = SigningKey.generate("sealdock/x").verifier


def whole(trust: Trust) -> Report:
    return Report("vault", KEY, trust, Checkpoint("sealdock/x", 3, EMPTY_ROOT))


def test_every_code_has_a_sentence_and_every_sentence_a_use() -> None:
    text = "".join(path.read_text() for path in AUDITS.glob("*.py") if path.name != "report.py")
    assert set(re.findall(r'"((?:verify|notice)\.[a-z_]+)"', text)) == set(SENTENCES)


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_a_finding_says_where_in_words(code: str) -> None:
    finding = Finding(6, code, "objects/x", "the cause", 7, 0, 65_551)
    assert finding.sentence.startswith("objects/x bytes 0 to 65551 (entry 7)")
    assert finding.to_json()["sentence"] == finding.sentence


def test_what_is_not_known_is_left_out() -> None:
    assert set(Finding(7, "verify.bucket", "keys").to_json()) == {"obligation", "code", "file", "sentence"}


@pytest.mark.parametrize(
    ("trust", "exit_code"),
    [(Trust.CONFIRMED, Exit.YES), (Trust.CLAIMED, Exit.CANNOT), (Trust.UNCHECKED, Exit.CANNOT)],
)
def test_the_outcome_is_a_yes_only_under_the_readers_own_key(trust: Trust, exit_code: Exit) -> None:
    report = whole(trust)
    assert report.ok
    assert report.exit_code is exit_code
    report.note(Finding(6, "notice.extra_object", "objects/x"))
    assert report.exit_code is exit_code
    report.fail(Finding(6, "verify.object", "objects/x"))
    assert report.exit_code is Exit.NO
    assert "Failures: 1." in report.sentence


def test_without_a_checkpoint_nothing_is_proven() -> None:
    report = Report("vault", KEY, Trust.CONFIRMED)
    assert not report.ok
    assert report.to_json()["checkpoint"] is None


def test_the_reason_of_an_error_is_short() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory")) == "No such file or directory"
    assert reason(OSError()) == "it cannot be read"
    assert reason(NoteSignatureError(why="no trusted key signed it")) == "no trusted key signed it"
