"""A vault that somebody made to hurt whoever verifies it: every case ends in a report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from core.canonical import encode
from sealdock.command.verify import told
from sealdock.disposal_audit import DisposalAudit
from vault.audit.report import Report
from vault.audit.resume import ResumeError
from vault.audit.verify import Request, verify_vault, verify_vault_as
from vault.formats.cosignature import CosignerSigningKey, Kind

DEEP = 1500  # directories one in the other; a path may have 4,096 bytes
TYPES = (
    "anchor", "bucket", "compromise", "destroy", "dispose", "hold", "key", "release", "rewrap", "root", "schedule",
    "signer", "verify",
)  # fmt: skip
NASTY = (
    "\0",
    "../../../../etc",
    "/etc/passwd",
    "x" * 300,
    "\x1b[2J",
    [],
    {},
    7,
    True,
    None,
    [[]],
    ["\0"],
    -1,
)


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    made.add(original=b"what was recorded", fields={"name": "a.mp4"})
    made.write()
    return made


def check(vault: SmallVault) -> Report:
    report = verify_vault_as(vault.path, vault.verifier, Request(approvals=DisposalAudit(vault.path)))
    told(report).encode()
    encode(report.to_json())
    return report


@pytest.mark.parametrize("kind", TYPES)
def test_entries_with_facts_that_mean_nothing_end_in_a_report(vault: SmallVault, kind: str) -> None:
    names = (
        "name", "vkey", "recipient", "sha256", "buckets", "state", "kind", "size", "bucket", "schedule", "approvals",
        "account", "key", "action", "classes", "version", "effective_from", "object_header_sha256", "hold", "root",
    )  # fmt: skip
    good = {"kind": "timestamp", "size": 1, "name": "a", "bucket": "A-2026-11", "state": "erased"}
    for nasty in NASTY:
        vault.say(kind, dict.fromkeys(names, nasty), (vault.leaves[2].id,), "console")
        for name in names:
            vault.say(kind, good | {name: nasty}, (vault.leaves[2].id,), "console")
    vault.say(kind, {}, (), "console")
    vault.write()
    check(vault)


def test_names_of_strange_files_do_no_harm_to_who_reads_the_report(vault: SmallVault) -> None:
    for name in (b"\xff\xfe", b"\x1b[2J\x1b]0;all is well\x07", b"two\nlines", "\u202egnp.exe".encode()):
        (vault.path / os.fsdecode(name)).touch()
    report = check(vault)
    assert report.ok
    assert len(report.notices) == 4
    assert all(notice.file.isprintable() for notice in report.notices)


def test_names_of_strange_evidence_and_kept_files_do_none_either(vault: SmallVault, tmp_path: Path) -> None:
    vault.anchor("cosignature", "w", b"x")
    vault.write()
    [place] = (vault.path / "log/anchors").iterdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in (b"\xff", b"\x1b[2J", "\u202e".encode(), b"two\nlines"):
        (place / os.fsdecode(name + b".tsr")).write_bytes(b"no stamp")
        (kept / os.fsdecode(name + b".tlog-proof")).write_bytes(b"no proof")
    report = verify_vault(vault.path, vault.verifier, against=[kept])
    told(report).encode()
    encode(report.to_json())
    assert len(report.failures) == 9
    assert all(one.file.isprintable() for one in report.failures)


def test_a_cosignature_is_whose_key_made_it_and_not_whose_name_its_file_has(vault: SmallVault) -> None:
    witness = CosignerSigningKey.generate("witness/peer", Kind.ED25519)
    line = witness.line(vault.write().text(), datetime.now(UTC))
    vault.anchor("cosignature", "supreme-court", line)
    vault.write()
    report = verify_vault_as(vault.path, vault.verifier, Request(witnesses=[witness.vkey]))
    assert report.ok, report.failures
    assert "(witness/peer, over the first 3 entries)" in (report.window or "")


def test_the_report_stays_short_whatever_files_are_called(vault: SmallVault) -> None:
    place = vault.path / "x"
    for _ in range(10):
        place /= "n" * 200
    place.mkdir(parents=True)
    (place / "file").touch()
    [notice] = check(vault).notices
    assert len(notice.file) < 500


def test_directories_without_end_are_walked(vault: SmallVault) -> None:
    place = vault.path
    here = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        assert check(vault).ok
    finally:
        subprocess.run(["rm", "-rf", vault.path / "d"], check=True)  # beyond what Python's own removal can do


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name",
    [
        "vault.json", "log/policy", "log/checkpoint", "log/tile/0/000.p/3", "log/tile/entries/000.p/3", "packs/000",
        "keys/slots/000", "keys/root.recipient", "keys/buckets/A-2026-11/identity.age", "log/handover/2",
    ],
)  # fmt: skip
def test_a_pipe_anywhere_makes_nobody_wait(vault: SmallVault, name: str) -> None:
    vault.anchor("cosignature", "w", b"x")
    vault.say("dispose", {}, (vault.leaves[2].id,), "console")
    vault.write()
    path = vault.path / name.replace(".p/3", f".p/{len(vault.leaves)}")
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert not check(vault).ok


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_who_judges_disposals_reads_nothing_else_either(
    vault: SmallVault, make: Callable[[Path], None]
) -> None:
    for _ in range(300):
        vault.add()
    vault.say("dispose", {}, (vault.leaves[2].id,), "console")
    vault.write()
    path = vault.path / "log/tile/entries/000"
    path.unlink()
    make(path)
    assert "verify.bundle" in {one.code for one in check(vault).failures}


@pytest.mark.parametrize(
    "change",
    [
        {"next": 10**9}, {"next": -1}, {"next": True}, {"counts": {"objects": -1}}, {"counts": []}, {"at": 7},
        {"findings": [{"obligation": 6, "code": "no.such", "file": "x"}]}, {"findings": [{}]}, {"findings": 7},
        {"findings": [{"obligation": "x", "code": "verify.object", "file": 7}]}, {"checkpoint": ""},
        {"checkpoint": 7}, {"at": "now\x1b[2J"}, {"v": 2},
    ],
)  # fmt: skip
def test_a_state_that_was_edited_is_not_gone_on_from(
    vault: SmallVault, tmp_path: Path, change: dict[str, object]
) -> None:
    state = tmp_path / "state"
    facts = {
        "v": 1, "checkpoint": vault.write().text(), "counts": {}, "at": "2026-11-23T06:05:04.000123Z", "next": 0,
        "readers": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "findings": [],
    }  # fmt: skip
    state.write_bytes(encode(facts))
    assert verify_vault_as(vault.path, vault.verifier, Request(resume=state)).resumed
    state.write_bytes(encode(facts | change))
    with pytest.raises(ResumeError):
        verify_vault_as(vault.path, vault.verifier, Request(resume=state))


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 100_000, b"{" + b'"a":1,' * 9, b'{"v":1e999}', b"\xff"]
)
def test_vault_json_may_be_a_bomb(vault: SmallVault, raw: bytes) -> None:
    (vault.path / "vault.json").write_bytes(raw)
    report = verify_vault(vault.path, vault.verifier)
    assert [one.code for one in report.failures] == ["verify.vault_file"]
    json.dumps(report.to_json())
