from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from emulation.layouts import LAYOUTS, UNKNOWN, fill, with_folders

from devices.capture import Capture, CapturedEntry
from devices.draft import draft
from devices.emulation import plug_in
from devices.error import MixedMarksError
from devices.match import Layout
from devices.profile import Profile, load_profiles
from devices.recorder import Identity
from sealdock.cli import sealdock
from sealdock.match_report import contradictions, explained

SHIPPED = load_profiles()
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BAY = "pci-0000:00:04.0-usb-0:3"


def own(*instead_of: str) -> str:
    entries = tuple(CapturedEntry(path=path, size=1, modified_at=NOW) for path in UNKNOWN)
    seen = Capture(source="emulated", made_at=NOW, entries=entries)
    return draft(seen, "park-patrol", SHIPPED, instead_of)


def profile(text: str) -> Profile:
    return Profile.model_validate(tomllib.loads(text))


def lines(files: list[str], *profiles: Profile) -> list[str]:
    return list(explained([*SHIPPED, *profiles], Layout(Identity(), with_folders(files))))


def match(*arguments: object) -> Result:
    return CliRunner().invoke(sealdock, [str(one) for one in arguments])


def test_a_mixed_card_is_explained_by_the_paths_that_show_the_marks_and_the_line_to_change() -> None:
    said = lines([*UNKNOWN, *LAYOUTS["photo-camera"]], profile(own()))
    assert any(line.startswith("park-patrol finds its marks: EVIDENCE/") for line in said)
    assert any("rules it out" in line and line.endswith("a mark of photo-camera") for line in said)
    assert any("instead_of = ['photo-camera']" in line for line in said)
    assert any(line.startswith("photo-camera finds its marks: DCIM/") for line in said)


def test_a_card_that_nobody_knows_is_explained_by_what_each_profile_misses() -> None:
    said = lines(["holiday/a.jpg"])
    assert sum(" misses: " in line for line in said) + sum("otherwise" in line for line in said) == len(
        SHIPPED
    )


def test_a_preference_that_can_never_hold_is_told() -> None:
    text = own().replace("[match]\n", '[match]\ninstead_of = ["photo-camera"]\n', 1)
    said = list(contradictions(profile(text), SHIPPED))
    assert len(said) == 1
    assert said[0].startswith("instead_of names photo-camera")
    assert list(contradictions(profile(own("photo-camera")), SHIPPED)) == []


def test_a_path_that_would_move_the_cursor_is_shown_harmless() -> None:
    said = "\n".join(lines(["DCIM/\x1b[2J" + "x" * 500 + "/a.cr2", "DCIM/100CANON/IMG_0001.CR2"]))
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 400


def test_match_reads_a_bay_and_refuses_a_mixture_after_showing_it(tmp_path: Path) -> None:
    settings = tmp_path / "sealdock.toml"
    settings.write_text(
        f'vault = "v"\nstate = "s"\nkeys = "k"\n[dock]\nemulation = "{tmp_path}/control"\n'
        f'[[dock.bays]]\nnumber = 3\npath = "{BAY}"\n'
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site/park-patrol.toml").write_text(own(), encoding="utf-8")
    card = fill(tmp_path / "card", UNKNOWN)
    (tmp_path / "control").mkdir()
    plug_in(tmp_path / "control/a.json", json.dumps({"id_path": BAY, "directory": str(card)}))
    command = ("--settings", settings, "profile", "match", "--bay", 3, "--site", tmp_path / "site")
    found = match(*command)
    assert (found.exit_code, found.stdout.splitlines()[-1]) == (0, "park-patrol")
    fill(card, LAYOUTS["photo-camera"])
    refused = match(*command)
    assert isinstance(refused.exception, MixedMarksError)
    assert "a mark of photo-camera" in refused.stderr


@pytest.mark.parametrize("arguments", [(), (".", "--bay", "3")])
def test_one_place_is_matched_and_not_none_or_two(arguments: tuple[str, ...]) -> None:
    result = match("profile", "match", *arguments)
    assert result.exit_code == 2
    assert "give a PATH or --bay" in result.output
