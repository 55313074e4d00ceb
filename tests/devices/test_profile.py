from __future__ import annotations

from pathlib import Path

import pytest

from devices.error import ProfileError, UnknownProfileError
from devices.profile import SHIPPED, find_profile, load_profiles, schema_text

GOOD = """
schema = 1
id = "{id}"
status = "reported"
basis = "used at one station"
[title]
en = "One"
zh_CN = "一"
[match]
requires = ['{requires}']
[[footage]]
files = '.*'
"""


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_schema_is_the_one_that_is_enforced() -> None:
    written = (SHIPPED / "schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "write it again with the command in firmware_profiles/README.md"


def test_every_shipped_profile_is_in_its_readme_and_earns_only_what_emulation_earns() -> None:
    readme = (SHIPPED / "README.md").read_text(encoding="utf-8")
    for profile in load_profiles():
        assert profile.id in readme
        assert (SHIPPED / f"{profile.id}.toml").exists()
        assert profile.status == "experimental"


def test_all_mistakes_of_all_files_come_at_once_with_file_key_and_allowed_values(tmp_path: Path) -> None:
    bad = (
        GOOD.format(id="one", requires="(").replace("reported", "great")
        + "colour = 'red'\n[names]\nzone = 'Mars/Base'\n"
    )
    folder = write(tmp_path / "p", "one.toml", bad)
    write(folder, "two.toml", "schema = 1\nid = 'Two!'")
    write(folder, "three.toml", "not toml at all [")
    with pytest.raises(ProfileError) as caught:
        load_profiles(folder)
    said = str(caught.value)
    for expected in (
        "one.toml: status: Input should be 'tested', 'reported' or 'experimental'",
        "one.toml: match.requires[0]: is not a regular expression",
        "one.toml: footage[0].colour: there is no such key; allowed here: files, media, start",
        "one.toml: names.zone: allowed: 'station' or an IANA zone",
        "two.toml: id: String should match pattern",
        "two.toml: match: Field required",
        "three.toml: file: ",
    ):
        assert expected in said


def test_an_unknown_group_in_a_footage_pattern_is_a_mistake(tmp_path: Path) -> None:
    text = GOOD.format(id="one", requires="x").replace("'.*'", "'(?P<colour>.*)'")
    with pytest.raises(ProfileError, match=r"names the groups .*colour.*allowed: .*officer.*serial"):
        load_profiles(write(tmp_path / "p", "one.toml", text))


def test_a_site_file_replaces_the_shipped_profile_with_its_id_and_may_add_others(tmp_path: Path) -> None:
    site = write(tmp_path / "site", "a.toml", GOOD.format(id="generic-dcim", requires="DCIM/"))
    write(site, "b.toml", GOOD.format(id="our-own", requires="OURS/"))
    profiles = load_profiles(site=site)
    assert {profile.id for profile in profiles} == {one.id for one in load_profiles()} | {"our-own"}
    assert find_profile(profiles, "generic-dcim").basis == "used at one station"


def test_two_files_of_one_place_with_one_id_are_a_mistake(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", "a.toml", GOOD.format(id="one", requires="x"))
    with pytest.raises(ProfileError, match="another file here has the id 'one'"):
        load_profiles(write(folder, "b.toml", GOOD.format(id="one", requires="y")))


def test_a_site_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="there is no such directory"):
        load_profiles(site=tmp_path / "nowhere")


def test_asking_for_a_profile_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UnknownProfileError, match="generic-dcim"):
        find_profile(load_profiles(), "nothing")
