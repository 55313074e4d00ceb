from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from emulation.layouts import LAYOUTS, UNKNOWN, with_folders
from hypothesis import given
from hypothesis import strategies as st

from devices.capture import Capture, CapturedEntry
from devices.draft import LOOK, NothingToDraftError, draft
from devices.error import MixedMarksError
from devices.match import Layout, match, recognises
from devices.profile import Profile, load_profiles
from devices.recorder import Identity
from devices.replay import may_meet, replay
from devices.shape import Kind, cut
from devices.table import MAX_PATTERN

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROFILES = load_profiles()


def seen(files: list[str], serial: str = "", **facts: str) -> Capture:
    entries = [CapturedEntry(path=path, size=1, modified_at=None if path.endswith("/") else NOW)
               for path in with_folders(files)]  # fmt: skip
    return Capture(source="emulated", made_at=NOW, serial=serial, entries=tuple(entries), **facts)


def drafted(files: list[str], serial: str = "", **facts: str) -> Profile:
    return Profile.model_validate(tomllib.loads(draft(seen(files, serial, **facts), "our-own", PROFILES)))


def test_a_draft_reads_what_the_names_of_an_unknown_device_say() -> None:
    profile = drafted(UNKNOWN)
    result = replay(profile, seen(UNKNOWN))
    assert result.is_recognised
    assert len(result.footage) == 12
    assert len(result.flagged) == 4
    assert all(one.facts.started_at for one in result.footage)
    assert {one.facts.channel for one in result.footage} == {"F", "R"}
    assert {one.facts.officer_number for one in result.footage} == {"900123"}
    assert {one.facts.sequence for one in result.footage} | {one.facts.part for one in result.footage} >= {
        1,
        2,
        3,
    }
    assert [one.companion_of is not None for one in result.readings if one.path.endswith(".gpx")] == [True]


def test_a_card_with_marked_recordings_alone_is_recognised_too() -> None:
    marked = [path for path in UNKNOWN if "/LOCK/" in path]
    assert recognises(drafted(UNKNOWN), Layout(Identity(), with_folders(marked)))


def test_names_in_very_many_long_folders_still_give_a_pattern_that_a_profile_may_have() -> None:
    folders = [letter * 180 for letter in "ABCDEFGHIJ"]
    files = [f"{folder}/{folder}/V_20261123_08{n:02d}00.mp4" for n, folder in enumerate(folders)]
    profile = drafted(files)
    assert max(map(len, profile.match.requires)) <= MAX_PATTERN


def test_a_name_that_is_too_long_for_a_pattern_is_a_reason_and_no_traceback() -> None:
    with pytest.raises(NothingToDraftError, match="its names make no profile"):
        drafted([f"{'A' * 250}/{'B-' * 120}/{'C' * 250}/{'D-' * 120}/{'E.' * 120}/V_20261123_081500.mp4"])


def test_a_draft_can_meet_no_shipped_profile_on_any_device() -> None:
    assert may_meet(drafted(UNKNOWN), PROFILES) == []


def test_the_serial_that_the_device_says_over_usb_is_found_in_its_names() -> None:
    profile = drafted(
        ["REC/Z9K4711_20261123_081500.mp4", "REC/Z9K4711_20261123_091500.mp4"], serial="Z9K4711"
    )
    facts = replay(profile, seen(["REC/Z9K4711_20261123_081500.mp4"])).footage[0].facts
    assert (facts.serial, facts.officer_number) == ("Z9K4711", None)


def test_serial_and_officer_in_one_word_are_told_apart_and_marked() -> None:
    text = draft(seen(["V/X1A0001060123-20261123081500-0001.mp4"]), "our-own", PROFILES)
    assert "(?P<serial>[0-9A-Z]{7})(?P<officer>[0-9]{6})" in text
    assert f"{LOOK} do the last 6 say the officer?" in text


@pytest.mark.parametrize(
    ("numbers", "per"),
    [
        ([(1, 2), (1, 2)], "day"),
        ([(1, 2), (3, 4)], "recorder"),
        ([(1, 2)], "none"),
        ([(5, 6), (2, 3)], "none"),
    ],
)
def test_what_the_running_number_counts_within_is_seen_from_where_it_begins_again(
    numbers: list[tuple[int, int]], per: str
) -> None:
    files = [
        f"V/{NOW + timedelta(days=day, hours=n):%Y%m%d_%H%M%S}-{n:04d}.mp4"
        for day, pair in enumerate(numbers) for n in pair
    ]  # fmt: skip
    assert drafted(files).sequence.per.value == per


def test_a_device_without_footage_gives_no_draft() -> None:
    with pytest.raises(NothingToDraftError, match="no film, sound or picture"):
        drafted(["readme.txt"])


def test_an_unknown_ending_whose_first_bytes_are_a_film_is_a_film() -> None:
    entry = CapturedEntry(path="V/20261123_081500.dat", size=9, magic="iso-media")
    text = draft(Capture(source="emulated", made_at=NOW, entries=(entry,)), "our-own", PROFILES)
    assert 'video = ["dat"]' in text


@pytest.mark.parametrize("said", ['"""\n[x]', "a'b\\", "\x07 bell", "名" * 200, ""])
def test_what_a_device_calls_itself_cannot_write_into_the_file(said: str) -> None:
    profile = drafted(UNKNOWN, manufacturer=said[:100], model=said[:100], label=said[:100])
    assert profile.id == "our-own"


NAMES = st.lists(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=24)
    .filter(lambda name: name not in {".", ".."})
    .map(lambda name: f"V/{name}.mp4"),
    min_size=1, max_size=8, unique=True,
)  # fmt: skip


@given(NAMES)
def test_any_names_at_all_give_a_draft_that_recognises_them_or_a_reason(files: list[str]) -> None:
    try:
        profile = drafted(files)
    except NothingToDraftError:
        return
    assert recognises(profile, Layout(Identity(), with_folders(files)))


@given(st.text(max_size=60), st.none() | st.just(NOW))
def test_the_pieces_of_a_name_are_the_name(path: str, modified_at: datetime | None) -> None:
    named = cut(path, modified_at)
    joined = "".join(piece.text for piece in named.pieces)
    assert path in {joined, f"{joined}.{named.extension}", f"{joined}."}


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("VID_20261123_081500.mp4", "%Y%m%d_%H%M%S"), ("VID20261123081500.mp4", "%Y%m%d%H%M%S"),
        ("2026-11-23 08.15.00.mp4", "%Y-%m-%d %H.%M.%S"), ("2026_1123_081500_0001F.mp4", "%Y_%m%d_%H%M%S"),
        ("261123_0815.mp3", "%y%m%d_%H%M"), ("20261123/a.mp4", "%Y%m%d"), ("X1A20261123.mp4", None),
        ("060123_0001.mp4", None), ("20261399.mp4", None),
    ],
)  # fmt: skip
def test_times_in_names_are_found_and_other_numbers_are_not(path: str, form: str | None) -> None:
    forms = [piece.form for piece in cut(path, NOW).pieces if piece.kind is Kind.MOMENT]
    assert forms == ([form] if form else [])


def test_a_draft_may_take_the_place_of_the_general_profile_where_the_names_say_more() -> None:
    files = ["DCIM/100MEDIA/B77-060123-20261123081500-0001.mp4"]
    text = draft(seen(files), "our-own", PROFILES, ["generic-dcim"])
    own = Profile.model_validate(tomllib.loads(text))
    found = match([*PROFILES, own], seen(files).layout, "it")
    assert found is own
    plain = match([*PROFILES, own], Layout(Identity(), with_folders(LAYOUTS["generic-dcim"])), "it")
    assert plain is not None
    assert plain.id == "generic-dcim"


def test_a_card_with_a_drafted_profiles_marks_and_a_shipped_familys_is_refused_with_both_names() -> None:
    layout = Layout(Identity(), with_folders([*UNKNOWN, *LAYOUTS["photo-camera"]]))
    with pytest.raises(MixedMarksError, match="our-own, photo-camera"):
        match([*PROFILES, drafted(UNKNOWN)], layout, "it")
    with pytest.raises(MixedMarksError, match="our-own, photo-camera"):
        match([drafted(UNKNOWN), *PROFILES], layout, "it")


def test_a_drafted_profile_that_names_the_shipped_one_reads_such_a_card() -> None:
    files = [*UNKNOWN, *LAYOUTS["photo-camera"]]
    text = draft(seen(UNKNOWN), "our-own", PROFILES, ["photo-camera", "generic-dcim"])
    own = Profile.model_validate(tomllib.loads(text))
    assert match([*PROFILES, own], Layout(Identity(), with_folders(files)), "it") is own


def test_a_drafted_profile_is_refused_beside_the_general_one_too() -> None:
    layout = Layout(Identity(), with_folders([*UNKNOWN, "DCIM/100MEDIA/MOV_0001.MP4"]))
    with pytest.raises(MixedMarksError, match="generic-dcim, our-own"):
        match([*PROFILES, drafted(UNKNOWN)], layout, "it")


@given(
    own=st.sets(st.sampled_from(UNKNOWN[:12]), min_size=1),
    theirs=st.sets(st.sampled_from(sorted(set(LAYOUTS) - {"mtp-camera"})), min_size=1),
)
def test_a_site_profile_is_never_passed_over_in_silence(own: set[str], theirs: set[str]) -> None:
    files = [*sorted(own), *(file for name in sorted(theirs) for file in LAYOUTS[name])]
    site = drafted(UNKNOWN)
    with pytest.raises(MixedMarksError) as caught:
        match([*PROFILES, site], Layout(Identity(), with_folders(files)), "it")
    assert site.id in str(caught.value)


def test_the_layout_that_is_called_unknown_is() -> None:
    assert match(PROFILES, Layout(Identity(), with_folders(UNKNOWN)), "it") is None
    assert Path(UNKNOWN[0]).suffix == ".mp4"
