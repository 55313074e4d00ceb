from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from emulation.layouts import LAYOUTS, UNKNOWN, fill

from core.errors import SealdockError
from devices.emulation import plug_in
from devices.error import ProfileError
from devices.profile import load_profiles, read_profile
from devices.replay import UnprovenProfileError
from sealdock.cli import sealdock
from sealdock.command.profile import EmptyBayError, FileThereError

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/operations/profiles.md"
CAPTURES = ROOT / "tests/captures"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(sealdock, [str(one) for one in arguments])
    if isinstance(result.exception, SealdockError):
        raise result.exception
    return result


def walk() -> list[str]:
    """The commands of the five-minute walk, as they are printed."""
    text = PAGE.read_text(encoding="utf-8")
    part = text.split("## A device that is not recognised")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", part, re.MULTILINE)


def test_the_page_leads_from_an_unknown_device_to_a_working_profile_as_printed(tmp_path: Path) -> None:
    fill(tmp_path / "card", UNKNOWN)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = ""
    for command in walk():
        if " profile check " in command:
            look_at_what_is_marked(tmp_path / "park-patrol.toml")
        done = subprocess.run(
            ["/bin/bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=60, env={**os.environ, "PATH": path},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said = done.stdout
    assert said.strip() == "park-patrol"
    profiles = load_profiles(site=tmp_path / "profiles")
    assert {one.id for one in profiles} == {one.id for one in load_profiles()} | {"park-patrol"}


def look_at_what_is_marked(file: Path) -> None:
    """What the draft asks of a person, and nothing else: the titles are given, every other guess is right."""
    text = file.read_text(encoding="utf-8")
    assert text.count("# LOOK:") >= 3
    text = re.sub(r"^# LOOK:.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'^en = ".*"$', 'en = "Park patrol recorder"', text, flags=re.MULTILINE)
    file.write_text(
        re.sub(r'^zh_CN = ".*"$', 'zh_CN = "公园巡查记录仪"', text, flags=re.MULTILINE), encoding="utf-8"
    )


def test_a_device_that_is_known_gives_a_capture_and_no_draft(tmp_path: Path) -> None:
    card = fill(tmp_path / "card", LAYOUTS["generic-dcim"])
    result = run("profile", "new", card, "--id", "mine", "--into", tmp_path)
    assert result.exit_code == 1
    assert "--instead-of generic-dcim" in result.output
    assert (tmp_path / "mine.capture.json").exists()
    assert not (tmp_path / "mine.toml").exists()


def test_a_closer_profile_may_take_the_place_of_a_general_one(tmp_path: Path) -> None:
    card = fill(tmp_path / "card", LAYOUTS["generic-dcim"])
    result = run("profile", "new", card, "--id", "mine", "--into", tmp_path, "--instead-of", "generic-dcim")
    assert result.exit_code == 0, result.output
    assert read_profile(tmp_path / "mine.toml").match.instead_of == ("generic-dcim",)
    checked = run("profile", "check", tmp_path / "mine.toml", "--capture", tmp_path / "mine.capture.json")
    assert checked.exit_code == 0, checked.output


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    card = fill(tmp_path / "card", UNKNOWN)
    run("profile", "new", card, "--id", "mine", "--into", tmp_path)
    with pytest.raises(FileThereError, match="is there already"):
        run("profile", "new", card, "--id", "mine", "--into", tmp_path)


def test_check_says_what_is_taken_left_and_why() -> None:
    result = run(
        "profile", "check", ROOT / "firmware_profiles/dash-camera.toml",
        "--capture", CAPTURES / "dash-camera.json",
    )  # fmt: skip
    assert result.exit_code == 0
    for part in (
        "match.requires[0] fits a path",
        "taken as footage: 10",
        "taken as other: 6",
        "channel F",
        "flagged: 2",
    ):
        assert part in result.output


def test_check_says_no_for_a_device_of_another_family() -> None:
    result = run(
        "profile", "check", ROOT / "firmware_profiles/dash-camera.toml",
        "--capture", CAPTURES / "photo-camera.json",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "does not recognise" in result.output
    assert "photo-camera recognises it too (excluded)" in result.output


def test_check_refuses_tested_without_a_capture_of_a_physical_device(tmp_path: Path) -> None:
    text = (ROOT / "firmware_profiles/dash-camera.toml").read_text(encoding="utf-8")
    (tmp_path / "a.toml").write_text(text.replace('"experimental"', '"tested"'), encoding="utf-8")
    with pytest.raises(UnprovenProfileError, match="dash-camera"):
        run("profile", "check", tmp_path / "a.toml", "--captures", CAPTURES)
    with pytest.raises(UnprovenProfileError):
        run("profile", "check", tmp_path, "--captures", CAPTURES)
    seen = json.loads((CAPTURES / "dash-camera.json").read_text(encoding="utf-8"))
    (tmp_path / "c.json").write_text(json.dumps({**seen, "source": "physical"}), encoding="utf-8")
    assert run("profile", "check", tmp_path / "a.toml", "--captures", tmp_path).exit_code == 0


def test_check_lists_all_mistakes_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("schema = 1\nid = 'A!'\n[mtp]\ncolour = 1\n")
    with pytest.raises(ProfileError) as caught:
        run("profile", "check", tmp_path / "a.toml")
    for part in (
        "id: ",
        "match: Field required",
        "allowed here: folders, manufacturers, models, storages, usb",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("profile_id", [one.id for one in load_profiles()])
def test_every_profile_is_shown_in_words_and_as_json(profile_id: str) -> None:
    assert profile_id in run("profile", "show", profile_id).output
    assert json.loads(run("profile", "show", profile_id, "--json").output)["id"] == profile_id


def station(root: Path) -> Path:
    settings = root / "sealdock.toml"
    settings.write_text(
        f'vault = "v"\nstate = "s"\nkeys = "k"\n[dock]\nemulation = "{root}/control"\n'
        '[[dock.bays]]\nnumber = 3\npath = "pci-0000:00:04.0-usb-0:3"\n'
    )
    return settings


def test_a_device_in_a_bay_is_captured_where_it_is(tmp_path: Path) -> None:
    settings = station(tmp_path)
    card = fill(tmp_path / "card", UNKNOWN)
    (tmp_path / "control").mkdir()
    facts = {"id_path": "pci-0000:00:04.0-usb-0:3", "directory": str(card), "serial": "PX900123"}
    plug_in(tmp_path / "control/a.json", json.dumps(facts))
    result = run("--settings", settings, "profile", "new", "--bay", 3, "--id", "mine", "--into", tmp_path)
    assert result.exit_code == 0, result.output
    assert "emulated" in result.output
    with pytest.raises(EmptyBayError, match="bay 4"):
        run("--settings", settings, "profile", "new", "--bay", 4, "--id", "other", "--into", tmp_path)
