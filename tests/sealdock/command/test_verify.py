from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from crash.house import Foundation, House, found

from core.canonical import decode
from core.digest import sha256_hex
from core.errors import Exit, SealdockError
from sealdock.cli import sealdock
from sealdock.command.verify import bar_line
from sealdock.disposal_audit import DisposalAudit
from vault.audit.verify import Progress
from vault.formats.entry import Leaf
from vault.formats.note import open_note
from vault.formats.proof import Receipt


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Foundation:
    return found(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def house(foundation: Foundation, tmp_path: Path) -> Iterator[House]:
    house = House.copy(foundation, tmp_path / "house")
    (house.directory / "sealdock.toml").write_text(
        f'vault = "vault"\nstate = "state"\nkeys = "keys"\ndatabase = "sqlite:///{house.directory}/house.db"\n',
        encoding="utf-8",
    )
    house.ingest(b"what was recorded")
    house.settle()
    yield house
    house.close()


def run(house: House, *argv: object, settings: str = "sealdock.toml") -> Result:
    given = ["--settings", str(house.directory / settings), "vault", *map(str, argv)]
    done = CliRunner().invoke(sealdock, given)
    if isinstance(done.exception, SealdockError):
        done.exit_code = int(done.exception.exit_code)
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def verify(house: House, *options: object, settings: str = "sealdock.toml") -> Result:
    return run(
        house, "verify", house.vault.path, "--key", house.vault.verifier.vkey, *options, settings=settings
    )


@contextmanager
def vaultd(house: House) -> Iterator[None]:
    stop = threading.Event()
    daemon = house.vaultd()
    thread = threading.Thread(target=daemon.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        daemon.close()


def test_a_person_reads_what_was_proven_and_what_was_not(house: House) -> None:
    done = verify(house)
    assert done.exit_code == Exit.YES
    assert "entries and everything they seal are as they were signed" in done.stdout
    assert "1 recording (" in done.stdout
    assert "1 of these recordings is not immutable on this disk: its owner can remove it" in done.stdout
    assert "there is no outside evidence" in done.stdout


def test_with_the_recovery_key_everything_is_opened(house: House, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"# kept in the safe\n{house.recovery_identity}\n")
    done = verify(house, "--keys", tmp_path / "key", "--json")
    assert json.loads(done.stdout)["counts"]["opened_objects"] == 1
    (tmp_path / "key").write_text("# nothing\n")
    assert verify(house, "--keys", tmp_path / "key").exit_code == Exit.WRONG_USE


def test_the_report_of_a_station_is_signed_and_logged(house: House, tmp_path: Path) -> None:
    path = tmp_path / "report"
    with vaultd(house):
        done = verify(house, "--report", path, "--log")
    assert done.exit_code == Exit.YES, done.output
    raw = path.read_bytes()
    told = decode(open_note(raw, [house.key("bureau").verifier]).removesuffix("\n").encode())
    leaf = house.reader.leaf(house.reader.size - 1)
    assert leaf.type == "report"
    assert leaf.by == "bureau"
    assert leaf.facts == {
        "sha256": sha256_hex(raw), "size": told["checkpoint"]["size"], "since": 0, "resumed": False, "ok": True,
        "failures": 0,
    }  # fmt: skip


def test_elsewhere_it_is_not_signed_and_cannot_be_logged(house: House, tmp_path: Path) -> None:
    path = tmp_path / "report"
    assert verify(house, "--report", path, settings="none.toml").exit_code == Exit.YES
    assert decode(path.read_bytes().removesuffix(b"\n"))["ok"] is True
    assert verify(house, "--report", path, "--log", settings="none.toml").exit_code == Exit.WRONG_USE
    assert verify(house, "--log").exit_code == Exit.WRONG_USE


def test_since_a_kept_checkpoint_and_against_it(house: House, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes((house.vault.log_path / "checkpoint").read_bytes())
    house.ingest(b"something newer")
    house.settle()
    done = verify(house, "--since", tmp_path / "kept", "--against", tmp_path / "kept", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["counts"]["objects"], told["counts"]["against"]) == (Exit.YES, 1, 1)
    assert told["since"] > 0


def test_damage_is_a_no(house: House) -> None:
    [path] = house.vault.path.glob("objects/*/*")
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1])
    done = verify(house)
    assert done.exit_code == Exit.NO
    assert f"FAILED  {path.relative_to(house.vault.path)}" in done.stdout


def test_a_malformed_authority_is_wrong_use(house: House) -> None:
    assert verify(house, "--authority", "nobody").exit_code == Exit.WRONG_USE


def test_the_first_entry_has_a_proof_like_any_other(house: House, tmp_path: Path) -> None:
    genesis = house.reader.leaf(0)
    assert run(house, "prove", genesis.id, "--out", tmp_path / "proof").exit_code == Exit.YES
    assert Receipt.parse((tmp_path / "proof").read_bytes()).verify(house.vault.verifier) == genesis
    for unknown in ("../../etc/passwd", "01ARZ3NDEKTSV4RRFFQ69G5FAV", ""):
        assert run(house, "prove", unknown).exit_code == Exit.NO


def test_prove_writes_a_receipt_that_holds(house: House, tmp_path: Path) -> None:
    index = house.reader.size - 1
    entry = house.reader.leaf(index).id
    done = run(house, "prove", entry, "--out", tmp_path / "proof")
    assert done.exit_code == Exit.YES, done.output
    assert "outside evidence" in done.stdout
    assert Receipt.parse((tmp_path / "proof").read_bytes()).verify(house.vault.verifier).id == entry
    assert run(house, "prove", "01KAR8M7ZC0V5Z1Y3T8QK2N9DX").exit_code == Exit.NO


@pytest.mark.parametrize(
    ("progress", "read", "seconds", "expected"),
    [
        (Progress(0, 10, 0, 1000), 0, 0.0, "   0%        0 MB/s  0:00:00 left"),
        (Progress(5, 10, 500_000_000, 1_000_000_000), 500_000_000, 2.0, "  50%      250 MB/s  0:00:02 left"),
        (Progress(10, 10, 0, 0), 0, 1.0, "   0%        0 MB/s"),
    ],
)
def test_the_bar_says_share_speed_and_time_left(
    progress: Progress, read: int, seconds: float, expected: str
) -> None:
    assert expected.strip() in bar_line(progress, read, seconds)


def test_a_disposal_that_the_rules_refuse_is_named(house: House) -> None:
    index = house.reader.size - 1
    leaf = house.reader.leaf(index)
    wrong = Leaf(
        id=leaf.id, type="dispose", time=leaf.time, by="console", about=(leaf.id,),
        facts={"schedule": leaf.id, "basis": "none", "approvals": []},
    )  # fmt: skip
    audit = DisposalAudit(house.vault.path)
    assert audit.judge(index + 1, wrong) != ""
    assert audit.judge(index, leaf) == ""
