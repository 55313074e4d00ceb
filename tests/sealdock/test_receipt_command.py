"""`sealdock receipt` on a real vault: printed, scanned, typed, and held against the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from crash.house import House, found

from core.errors import Exit
from sealdock.command.receipt import NoReceiptError, NoRecordingError, receipt
from vault.audit.verify import verify_vault


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    foundation = found(tmp_path_factory.mktemp("house"))
    made = House(foundation.directory, foundation.identity.recovery_identity)
    yield made
    made.close()


@pytest.fixture(scope="module")
def settings(house: House) -> Path:
    path = house.directory / "sealdock.toml"
    path.write_text(
        f'vault = "{house.vault.path}"\nstate = "{house.directory / "state"}"\nkeys = "{house.keys}"\n'
        f'database = "sqlite:///{house.directory / "house.db"}"\n'
        '[station]\nname = "Station 1"\nbureau = "市场监督管理局"\nlocale = "zh_CN"\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def recording(house: House) -> str:
    made = house.ingest(b"what was recorded")
    house.settle()
    return made


def sealdock(settings: Path, *argv: object) -> Result:
    return CliRunner().invoke(receipt, [str(one) for one in argv], obj=settings)


def test_a_receipt_is_printed_in_either_language(settings: Path, recording: str, tmp_path: Path) -> None:
    for language, words in (("en", "Place in the log"), ("zh-CN", 'lang="zh-CN"')):
        page = tmp_path / f"{language}.html"
        done = sealdock(settings, "print", recording, "--out", page, "--language", language)
        assert done.exit_code == 0, done.output
        text = page.read_text(encoding="utf-8")
        assert words in text
        assert recording in text


def test_it_is_kept_as_a_file(house: House, settings: Path, recording: str, tmp_path: Path) -> None:
    done = sealdock(settings, "keep", recording, "--out", tmp_path / "kept.tlog-proof")
    assert done.exit_code == 0, done.output
    told = sealdock(settings, "verify", tmp_path / "kept.tlog-proof", "--key", house.vault.verifier.vkey)
    assert told.exit_code == Exit.YES
    assert "No outside evidence was checked" in told.output


def test_a_copy_is_held_only_against_a_recording(
    house: House, settings: Path, recording: str, tmp_path: Path
) -> None:
    film, other = tmp_path / "film", tmp_path / "other"
    film.write_bytes(b"what was recorded")
    other.write_bytes(b"what was not")
    genesis = next(house.reader.leaves()).id
    for entry_id in (recording, genesis):
        sealdock(settings, "keep", entry_id, "--out", tmp_path / entry_id)
    key = ("--key", house.vault.verifier.vkey)
    for copy, code in ((film, Exit.YES), (other, Exit.NO)):
        assert sealdock(settings, "verify", tmp_path / recording, "--recording", copy, *key).exit_code == code
    none = sealdock(settings, "verify", tmp_path / genesis, "--recording", film, *key)
    assert isinstance(none.exception, NoRecordingError)
    assert none.exception.exit_code == Exit.WRONG_USE
    assert "seals no recording" in str(none.exception)
    assert none.output == "", "nothing was said before"


@pytest.mark.parametrize("unknown", ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "no id at all"])
def test_an_id_that_the_log_does_not_know(settings: Path, tmp_path: Path, unknown: str) -> None:
    done = sealdock(settings, "print", unknown, "--out", tmp_path / "none.html")
    assert isinstance(done.exception, NoReceiptError)
    assert not (tmp_path / "none.html").exists()


def test_the_daily_page_holds_the_log_to_it(
    house: House, settings: Path, recording: str, tmp_path: Path
) -> None:
    page = tmp_path / "day.html"
    done = sealdock(settings, "daily", "--out", page)
    assert done.exit_code == 0, done.output
    lines = re.search(r'<pre class="note">(.*?)</pre>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert lines is not None
    typed = tmp_path / "typed.txt"
    typed.write_text(lines[1].replace("—", "-").replace("\n", "\r\n").strip(), encoding="utf-8")
    read = sealdock(settings, "read", typed, "--out", tmp_path / "page.checkpoint")
    assert read.exit_code == 0, read.output
    house.case()
    house.settle()
    report = verify_vault(house.vault.path, house.vault.verifier, against=[tmp_path / "page.checkpoint"])
    assert report.failures == []
    assert report.counts["against"] == 1


@pytest.mark.parametrize("day", ["tomorrow", "2026-13-01"])
def test_a_day_that_is_none(settings: Path, tmp_path: Path, day: str) -> None:
    done = sealdock(settings, "daily", "--date", day, "--out", tmp_path / "none.html")
    assert done.exit_code == Exit.WRONG_USE
    assert not (tmp_path / "none.html").exists()


def test_what_is_neither_receipt_nor_checkpoint_is_not_written(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("roses are red\n", encoding="utf-8")
    done = sealdock(settings, "read", tmp_path / "poem.txt", "--out", tmp_path / "out")
    assert done.exit_code != 0
    assert not (tmp_path / "out").exists()
