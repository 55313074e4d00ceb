# ruff: noqa: DTZ001  # a recorder's own clock has no zone

from __future__ import annotations

import string
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.footage import is_ignored, read_name
from devices.profile import find_profile, load_profiles
from devices.recorder import Medium

PROFILES = load_profiles()
ENFORCEMENT = find_profile(PROFILES, "enforcement-storage")
DCIM = find_profile(PROFILES, "generic-dcim")
ALPHANUMERIC = string.ascii_letters + string.digits


@given(
    serial=st.text(ALPHANUMERIC, min_size=7, max_size=7).filter(lambda s: s != "0000000"),
    officer=st.text(string.digits, min_size=6, max_size=6).filter(lambda s: s != "000000"),
    start=st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2107, 1, 1)),
    part=st.integers(0, 99999),
    ending=st.sampled_from([("mp4", Medium.VIDEO), ("JPG", Medium.IMAGE), ("wav", Medium.AUDIO)]),
)
def test_what_an_enforcement_recorder_writes_is_read_back(
    serial: str, officer: str, start: datetime, part: int, ending: tuple[str, Medium]
) -> None:
    start = start.replace(microsecond=0)
    name = f"{serial}{officer}_{start:%Y%m%d%H%M%S}_{part:04d}.{ending[0]}"
    facts = read_name(ENFORCEMENT, f"DCIM/{start:%Y%m%d}/{name}")
    assert (facts.serial, facts.officer_number, facts.started_at, facts.part) == (
        serial,
        officer,
        start,
        part,
    )
    assert facts.is_footage
    assert facts.media is ending[1]


@given(st.text(max_size=300))
def test_any_name_at_all_gives_facts_and_never_an_error(shown: str) -> None:
    for profile in PROFILES:
        read_name(profile, shown)
        is_ignored(profile, shown)


@pytest.mark.parametrize(
    ("path", "started_at"),
    [
        ("DCIM/20261123/X1A0001060123_20261399990000_0001.mp4", None),
        ("DCIM/20261123/X1A0001060123_00000000000000_0001.mp4", None),
        ("DCIM/19700101/X1A0001060123_19700101000000_0001.mp4", datetime(1970, 1, 1)),
    ],
)
def test_a_start_that_no_calendar_has_is_left_out(path: str, started_at: datetime | None) -> None:
    facts = read_name(ENFORCEMENT, path)
    assert facts.started_at == started_at
    assert facts.serial == "X1A0001"


def test_an_officer_who_was_never_set_is_nobody() -> None:
    facts = read_name(ENFORCEMENT, "20261123/X1A0001000000_20261123080100_0001.mp4")
    assert (facts.serial, facts.officer_number) == ("X1A0001", None)


def test_a_camera_name_with_a_time_gives_the_time_and_others_do_not() -> None:
    assert read_name(DCIM, "DCIM/Camera/VID_20261123_081500.mp4").started_at == datetime(2026, 11, 23, 8, 15)
    assert read_name(DCIM, "DCIM/100MEDIA/MOV_0001.MP4").started_at is None


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("LOG.TXT", Medium.OTHER), ("DCIM/100MEDIA/MOV_0001.MP4", Medium.VIDEO), ("note.wav", Medium.AUDIO),
        ("no extension", Medium.OTHER), (".mp4", Medium.VIDEO), ("DCIM/100MEDIA/MOV_0001.THM", Medium.OTHER),
    ],
)  # fmt: skip
def test_the_kind_of_a_file_is_told_by_its_extension(path: str, media: Medium) -> None:
    assert read_name(DCIM, path).media is media


@pytest.mark.parametrize(
    "path", ["System Volume Information/", ".fseventsd/", "DCIM/._MOV_0001.MP4", "DCIM/Thumbs.db"]
)
def test_what_computers_leave_on_cards_is_ignored(path: str) -> None:
    assert all(is_ignored(profile, path) for profile in PROFILES)


@pytest.mark.parametrize(
    "path",
    [
        "LOG.TXT", "DCIM/", "MISC/SETTING.INI", "DCIM/System Volume Information.mp4", "LOST.DIR/", "LOST.DIR/12",
        ".Trash-1000/", ".Trashes/", "$RECYCLE.BIN/", "RECYCLER/", "lost+found/", "._x/film.mp4", "._x/",
    ],
)  # fmt: skip
def test_everything_else_is_taken(path: str) -> None:
    assert not any(is_ignored(profile, path) for profile in PROFILES)


@pytest.mark.parametrize(("size", "is_left_out"), [(4096, True), (4097, False)])
def test_a_film_is_no_rubbish_because_its_name_begins_like_it(*, size: int, is_left_out: bool) -> None:
    for profile in PROFILES:
        assert is_ignored(profile, "DCIM/._MOV_0001.MP4", size) is is_left_out
