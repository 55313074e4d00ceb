from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from crash.house import Foundation, House, found
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer
from support.station import Station

from core.errors import Exit, SealdockError
from sealdock.cli import sealdock
from vault.anchor.witness_server import WitnessServer
from vault.audit.anchor import NEVER


@pytest.fixture(scope="module")
def foundations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Foundation, Foundation]:
    return found(tmp_path_factory.mktemp("one")), found(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority"))


class Bureau:
    """A station with a settings file, driven by its command line."""

    def __init__(self, foundation: Foundation, directory: Path) -> None:
        self.house = House.copy(foundation, directory)
        self.station = Station(self.house, directory.name)
        self.directory = directory
        self.settle("")

    def settle(self, anchor: str) -> None:
        (self.directory / "sealdock.toml").write_text(
            f'vault = "vault"\nstate = "state"\nkeys = "keys"\n'
            f'database = "sqlite:///{self.directory}/house.db"\n[anchor]\n{anchor}\n',
            encoding="utf-8",
        )

    def run(self, *argv: object) -> Result:
        settings = ["--settings", str(self.directory / "sealdock.toml")]
        done = CliRunner().invoke(sealdock, [*settings, *map(str, argv)], standalone_mode=True)
        if isinstance(done.exception, SealdockError):
            done.exit_code = int(done.exception.exit_code)
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done


@pytest.fixture
def bureaus(foundations: tuple[Foundation, Foundation], tmp_path: Path) -> Iterator[tuple[Bureau, Bureau]]:
    one, two = Bureau(foundations[0], tmp_path / "one"), Bureau(foundations[1], tmp_path / "two")
    yield one, two
    for bureau in (one, two):
        bureau.house.close()


def authority(openssl: OpensslAuthority, url: str | None = None) -> str:
    address = f'url = "{url}"\n' if url else ""
    return f'[[anchor.authorities]]\nname = "stamper"\n{address}roots = "{openssl.place}/roots.pem"\n'


def peer(vkey: str, url: str | None = None) -> str:
    address = f'url = "{url}"\n' if url else ""
    return f'[[anchor.witnesses]]\nname = "two"\n{address}vkey = "{vkey}"\n'


def test_without_evidence_it_says_so(bureaus: tuple[Bureau, Bureau]) -> None:
    done = bureaus[0].run("anchor", "status")
    assert (done.exit_code, done.stdout.strip()) == (Exit.NO, NEVER)


def test_a_round_on_line_from_now_to_check(bureaus: tuple[Bureau, Bureau], openssl: OpensslAuthority) -> None:
    one, two = bureaus
    two_desk = two.station.desk(one.house.vault.verifier)
    with AuthorityServer(openssl) as stamper, WitnessServer(two_desk, "127.0.0.1:0") as witness:
        vkey = two.station.keys[0].vkey
        one.settle(authority(openssl, stamper.url) + peer(vkey, f"http://127.0.0.1:{witness.port}"))
        size = one.station.grow()
        done = one.run("anchor", "now")
        assert done.exit_code == Exit.YES, done.output
        one.house.settle()
    told = json.loads(one.run("anchor", "status", "--json").stdout)
    assert (told["last"]["size"], told["waiting"], told["conflicts"]) == (size, [], [])
    assert told["uncovered"].startswith("The machine's owner could have rewritten entries since ")
    checked = one.run("anchor", "check")
    assert checked.exit_code == Exit.YES, checked.output
    assert "1 anchors, 2 statements that hold." in checked.stdout
    kept = one.house.vault.path / f"log/anchors/{size}/stamper.tsr"
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-1])
    broken = one.run("anchor", "check", "--json")
    assert broken.exit_code == Exit.NO
    assert [one["file"] for one in json.loads(broken.stdout)["failures"]] == [
        f"log/anchors/{size}/stamper.tsr"
    ]


def test_one_that_is_away_makes_it_three(bureaus: tuple[Bureau, Bureau], openssl: OpensslAuthority) -> None:
    one = bureaus[0]
    one.settle(authority(openssl, "http://127.0.0.1:9/"))
    assert one.run("anchor", "now").exit_code == Exit.CANNOT
    assert "waits  stamper" in one.run("anchor", "status").stdout


def test_two_stations_by_files_that_are_carried(
    bureaus: tuple[Bureau, Bureau], openssl: OpensslAuthority, tmp_path: Path
) -> None:
    one, two = bureaus
    vkeys = [
        line.split()[1] for line in two.run("witness", "key", "--name", "witness/two").stdout.splitlines()
    ]
    assert len(vkeys) == 2
    assert [line.split()[1] for line in two.run("witness", "key").stdout.splitlines()] == vkeys
    two.settle(f'witness_for = ["{one.house.vault.verifier.vkey}"]')
    one.settle(authority(openssl) + peer(vkeys[0]))
    size, stick = one.station.grow(), tmp_path / "stick"
    asked = one.run("anchor", "request", stick)
    assert asked.exit_code == Exit.YES, asked.output
    assert {path.name for path in stick.iterdir()} == {"checkpoint", "stamper.tsq", "two.add-checkpoint"}
    assert two.run("witness", "status").stdout.endswith("nothing cosigned yet\n")
    done = two.run("witness", "cosign", stick / "two.add-checkpoint", "--out", stick / "two.cosignature")
    assert done.exit_code == Exit.YES, done.output
    (stick / "stamper.tsr").write_bytes(openssl.answer((stick / "stamper.tsq").read_bytes()))
    one.station.grow()
    done = one.run("anchor", "accept", stick / "two.cosignature", stick / "stamper.tsr")
    assert done.exit_code == Exit.YES, done.output
    assert f"over {size} entries" in done.stdout
    assert json.loads(one.run("anchor", "status", "--json").stdout)["last"]["size"] == size
    assert two.run("witness", "status").exit_code == Exit.YES
    assert one.run("anchor", "accept", stick / "checkpoint").exit_code == Exit.NO


def test_a_rollback_carried_on_a_stick_is_told_and_kept(
    bureaus: tuple[Bureau, Bureau], tmp_path: Path
) -> None:
    one, two = bureaus
    two.settle(f'witness_for = ["{one.house.vault.verifier.vkey}"]')
    vkey = two.run("witness", "key").stdout.split()[1]
    one.settle(peer(vkey))
    stick = tmp_path / "stick"
    for number in range(2):
        one.station.grow()
        assert one.run("anchor", "request", stick / str(number)).exit_code == Exit.YES
        out = stick / f"{number}.cosignature"
        question = stick / str(number) / "two.add-checkpoint"
        assert two.run("witness", "cosign", question, "--out", out).exit_code == Exit.YES
        assert one.run("anchor", "accept", out).exit_code == Exit.YES
    one.station.grow()
    one.run("anchor", "request", stick / "2")
    older = (
        stick / "1/two.add-checkpoint"
    ).read_bytes()  # asks to go on from what was cosigned before the last
    (stick / "older").write_bytes(older)
    newest = stick / "2/two.add-checkpoint"
    assert two.run("witness", "cosign", newest, "--out", stick / "2.cosignature").exit_code == Exit.YES
    refused = two.run("witness", "cosign", stick / "older", "--out", stick / "x")
    assert refused.exit_code == Exit.NO
    assert "holds both checkpoints" in refused.stderr
    assert not (stick / "x").exists()
    status = two.run("witness", "status", "--json")
    assert status.exit_code == Exit.NO
    (conflict,) = json.loads(status.stdout)[0]["conflicts"]
    assert {path.name for path in Path(conflict["evidence"]).iterdir()} == {"known", "offered"}


def test_serving_wants_an_address(bureaus: tuple[Bureau, Bureau]) -> None:
    done = bureaus[0].run("witness", "serve")
    assert done.exit_code == Exit.WRONG_USE
    assert "anchor.listen" in done.output


@pytest.mark.parametrize("argv", [["anchor"], ["witness"], ["anchor", "request"], ["witness", "cosign"]])
def test_help_is_there(argv: list[str], bureaus: tuple[Bureau, Bureau]) -> None:
    assert bureaus[0].run(*argv, "--help").exit_code == Exit.YES
