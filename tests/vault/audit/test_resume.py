from __future__ import annotations

import json
from pathlib import Path

import pytest
from conformance.small_vault import SmallVault, found

from vault.audit import resume
from vault.audit.report import Report
from vault.audit.resume import ResumeError, load_state
from vault.audit.verify import Progress, Request, verify_vault_as
from vault.formats.age import Identity


class StoppedError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture
def vault(tmp_path: Path) -> SmallVault:
    made = found(tmp_path / "vault")
    for index in range(2, 700):
        made.add(original=b"x" * index if index % 7 == 0 else None)
    made.write()
    return made


def check(vault: SmallVault, state: Path, *identities: Identity, stop: bool = False) -> Report:
    def told(progress: Progress) -> None:
        if stop and progress.entries > 300:
            raise StoppedError

    request = Request(identities, resume=state, progress=told)
    return verify_vault_as(vault.path, vault.verifier, request)


@pytest.fixture
def stopped(vault: SmallVault, tmp_path: Path) -> Path:
    state = tmp_path / "state"
    with pytest.raises(StoppedError):
        check(vault, state, stop=True)
    return state


def test_a_run_that_was_stopped_is_gone_on_from(vault: SmallVault, stopped: Path) -> None:
    assert stopped.stat().st_mode & 0o777 == 0o600
    begun = json.loads(stopped.read_bytes())
    assert 0 < begun["next"] < 700
    path = vault.object_path(7)
    path.write_bytes(bytes(path.stat().st_size))  # was read before: nobody looks again
    report = check(vault, stopped)
    assert report.ok, report.failures
    assert report.resumed == begun["at"]
    assert report.counts["objects"] == 99
    assert report.counts["object_bytes"] == sum(one.stat().st_size for one in vault.path.rglob("*.chunks"))
    assert not stopped.exists()  # it is done: the next run reads everything again
    assert not check(vault, stopped).ok


def test_what_was_found_before_the_stop_is_not_forgotten(vault: SmallVault, tmp_path: Path) -> None:
    path = vault.object_path(7)
    kept = path.read_bytes()
    path.write_bytes(bytes(len(kept)))
    with pytest.raises(StoppedError):
        check(vault, tmp_path / "state", stop=True)
    path.write_bytes(kept)
    [finding] = check(vault, tmp_path / "state").failures
    assert (finding.code, finding.entry) == ("verify.object", 7)


def test_an_object_that_is_gone_since_is_missed(vault: SmallVault, stopped: Path) -> None:
    vault.object_path(14).unlink()
    [finding] = check(vault, stopped).failures
    assert finding.entry == 14


def test_a_longer_log_is_gone_on_with_and_another_one_is_not(
    vault: SmallVault, stopped: Path, tmp_path: Path
) -> None:
    with pytest.raises(ResumeError, match="no state"):
        check(vault, stopped, vault.root)  # nothing was opened in the first run
    other = found(tmp_path / "other")
    other.write()
    with pytest.raises(ResumeError):
        check(other, stopped)
    vault.add(original=b"newer")
    vault.write()
    assert check(vault, stopped).ok


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"v":1}', b"\xff", b'{"v":2}'])
def test_a_file_that_is_no_state(vault: SmallVault, tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "state").write_bytes(raw)
    with pytest.raises(ResumeError):
        check(vault, tmp_path / "state")


def test_a_state_is_written_now_and_then(
    vault: SmallVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "_EVERY_S", 0.0)
    state = load_state(tmp_path / "state", vault.write(), [])
    state.take(3, {"object_bytes": 5}, ())
    again = load_state(tmp_path / "state", vault.write(), [])
    assert (again.next, again.counts, again.resumed_bytes) == (4, {"object_bytes": 5}, 5)
