"""`sealdock dock forgive`: the note of wrong passwords that keeps the station from locking a recorder."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from core.clock import utc_now
from core.errors import Exit
from devices.serial.attempt import Attempts
from devices.serial.error import PasswordHeldBackError
from sealdock.command.dock import dock
from sealdock.wiring import Station

WRONG = b"not this one"
RECORDER = ("enforcement-serial", "X1A0001")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "sealdock.toml"
    places = "".join(f'{name} = "{tmp_path / name}"\n' for name in ("vault", "state", "keys"))
    path.write_text(places, encoding="utf-8")
    return path


def test_a_recorder_that_was_unlocked_by_its_maker_is_tried_again(settings: Path) -> None:
    attempts = Attempts(Station.load(settings).attempts)
    attempts.reserve(*RECORDER, WRONG, 3, utc_now())
    attempts.refused(*RECORDER, WRONG)
    with pytest.raises(PasswordHeldBackError):
        attempts.reserve(*RECORDER, WRONG, 3, utc_now())
    done = CliRunner().invoke(dock, ["forgive", *RECORDER], obj=settings)
    assert (done.exit_code, "X1A0001" in done.output) == (Exit.YES, True)
    attempts.reserve(*RECORDER, WRONG, 3, utc_now())


def test_a_recorder_without_a_note_is_said(settings: Path) -> None:
    done = CliRunner().invoke(dock, ["forgive", *RECORDER], obj=settings)
    assert (done.exit_code, "No wrong password" in done.output) == (Exit.NO, True)
