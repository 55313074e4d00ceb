"""`sealdock officer` and `sealdock recorder` over a founded vault's keys and a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click
import pytest
from bureau.sessions import session_entry
from click.testing import CliRunner, Result

from casework.equipment.issue import hand_out
from casework.equipment.recorder import NotAvailableError
from casework.field import DateError
from casework.people.at_dock import named, officer_by_badge, officer_by_pin
from casework.people.badge import BadgeTakenError, WeakPinError
from casework.people.certificate import CertificateExpiredError
from casework.people.unit import register_unit
from casework.subject import UnknownSubjectError
from core import guessable
from core.clock import utc_now
from core.db import Database
from core.settings import load
from sealdock.command.officer import officer
from sealdock.command.recorder import recorder
from sealdock.wiring import Station
from vault.founding import initialise

Run = Callable[..., Result]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(guessable, "MEMORY_KIB", 64)
    monkeypatch.setattr(guessable, "PASSES", 1)
    initialise(tmp_path / "vault", tmp_path / "keys", b"a passphrase of the tests")
    path = tmp_path / "sealdock.toml"
    path.write_text(
        f'vault = "{tmp_path / "vault"}"\nstate = "{tmp_path / "state"}"\nkeys = "{tmp_path / "keys"}"\n'
        '[station]\ntimezone = "Asia/Shanghai"\n',
        encoding="utf-8",
    )
    station = Station.load(path)
    station.db.create_tables()
    with station.db.writing() as session:
        register_unit(session, station.submitter("console"), None, "430682000101", "执法大队一中队")
    station.close()
    return path


@pytest.fixture
def run(settings: Path) -> Run:
    """Call a command; an error of ours comes up as it would reach the command line's own words."""

    def call(group: click.Group, *words: str, typed: str = "") -> Result:
        done = CliRunner().invoke(group, words, obj=settings, input=typed)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


@pytest.fixture
def bureau(run: Run) -> None:
    """Two officers, one of whose certificates is over, and a recorder."""
    run(officer, "add", "060123", "--name", "执法员甲", "--unit", "430682000101", "--certificate", "ZF-1",
        "--valid-from", "2024-01-01", "--valid-until", "2099-12-31")  # fmt: skip
    run(
        officer, "add", "060245", "--name", "执法员乙", "--certificate", "ZF-2", "--valid-until", "2020-01-01"
    )
    run(recorder, "add", "X1A0123", "--model", "DSJ-X1", "--officer", "060123", "--card", "SD-1")


@pytest.mark.usefixtures("bureau")
def test_the_officers_and_what_their_certificates_are_worth(run: Run) -> None:
    first, second = json.loads(run(officer, "list", "--json").output)
    assert (first["number"], first["standing"], first["certificate_valid_from"]) == (
        "060123",
        "valid",
        "2024-01-01",
    )
    assert (second["number"], second["standing"]) == ("060245", "expired")
    run(officer, "change", "060245", "--valid-until", "2098-01-01")
    second = json.loads(run(officer, "list", "--json").output)[1]
    assert (second["standing"], second["name"], second["certificate_number"]) == ("valid", "执法员乙", "ZF-2")
    assert "060245   valid" in run(officer, "list").output
    with pytest.raises(UnknownSubjectError):
        run(officer, "change", "999999", "--name", "x")
    with pytest.raises(UnknownSubjectError):
        run(officer, "add", "060999", "--name", "x", "--unit", "no such")


@pytest.mark.usefixtures("bureau")
def test_badges_and_pins(run: Run, settings: Path, tmp_path: Path) -> None:
    assert "04A27F19" not in run(officer, "badge", "060123", typed="04A27F19\n").output
    secret = tmp_path / "pin"
    secret.write_text("482913\n", encoding="ascii")
    run(officer, "pin", "060123", "--file", str(secret))
    with pytest.raises(BadgeTakenError):
        run(officer, "badge", "060245", typed="04a2:7f19\n")
    with pytest.raises(WeakPinError):
        run(officer, "pin", "060245", typed="123456\n123456\n")
    db = Database(load(settings).database_url)
    with db.reading() as session:
        found = officer_by_badge(session, "04A27F19")
        assert found is not None
        assert officer_by_pin(session, "060123", "482913").number == found.number == "060123"
    run(officer, "badge", "060123", "--take-back")
    with db.reading() as session:
        assert officer_by_badge(session, "04A27F19") is None
    db.close()


@pytest.mark.usefixtures("bureau")
def test_a_recorder_is_issued_and_taken_back(run: Run) -> None:
    with pytest.raises(CertificateExpiredError):  # D15
        run(recorder, "issue", "X1A0123", "060245", "--purpose", "检查")
    with pytest.raises(DateError):
        run(recorder, "issue", "X1A0123", "060123", "--purpose", "检查", "--until", "later")
    run(recorder, "issue", "X1A0123", "060123", "--purpose", "检查")
    (line,) = json.loads(run(recorder, "list", "--json").output)
    assert (line["state"], line["holder"], line["name"], line["card_serial"]) == (
        "issued",
        "060123",
        "执法员甲",
        "SD-1",
    )
    with pytest.raises(NotAvailableError):
        run(recorder, "issue", "X1A0123", "060123", "--purpose", "检查")
    run(recorder, "back", "X1A0123", "--note", "交回")
    assert "X1A0123          available" in run(recorder, "list").output


@pytest.mark.usefixtures("bureau")
def test_overdue_says_so_by_its_exit_code(run: Run, settings: Path) -> None:  # D35
    assert run(recorder, "overdue").exit_code == 0
    station = Station.load(settings)
    with station.db.writing() as session:
        at = utc_now() - timedelta(hours=40)
        hand_out(session, station.submitter("console"), named(session, "060123"), "X1A0123", "检查", at)
    station.close()
    done = run(recorder, "overdue", "--json")
    assert done.exit_code == 1
    assert [line["serial"] for line in json.loads(done.output)] == ["X1A0123"]
    assert run(recorder, "overdue", "--hours", "60").exit_code == 0


@pytest.mark.usefixtures("bureau")
def test_changing_a_recorder_and_saying_what_befell_it(run: Run, settings: Path) -> None:
    assert (
        "'lost'" in run(recorder, "change", "X1A0123", "--serial", "X1A0124", "--say", "report_lost").output
    )
    assert json.loads(run(recorder, "list", "--json", "--state", "lost").output)[0]["serial"] == "X1A0124"
    station = Station.load(settings)
    with station.db.writing() as session:
        station.projections.apply(session, session_entry(recorder_serial="SEEN-1"))
    station.close()
    assert [
        line["serial"] for line in json.loads(run(recorder, "list", "--unregistered", "--json").output)
    ] == ["SEEN-1"]
    assert json.loads(run(recorder, "firmware", "--json").output)[0]["version"] == "V2.1.7"
    assert run(recorder, "firmware", "V2.1.7").output == ""
