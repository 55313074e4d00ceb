from __future__ import annotations

from itertools import combinations

import pytest
from emulation.layouts import LAYOUTS as CARDS
from emulation.layouts import MTP_LAYOUT, with_folders
from hypothesis import given
from hypothesis import strategies as st

from devices.error import AmbiguousProfileError
from devices.match import Layout, Speaks, excludes, match, matches, may_concern, recognises, rivals
from devices.profile import Profile, find_profile, load_profiles
from devices.profile_table import Match, UsbMatch
from devices.recorder import Identity

ENFORCEMENT = "X1A0001060123_20261123080100_0001.mp4"
LAYOUTS = {
    "a camera": (["DCIM/", "DCIM/100MEDIA/", "DCIM/100MEDIA/MOV_0001.MP4"], "generic-dcim"),
    "a camera, emptied": (["DCIM/"], "generic-dcim"),
    "a camera in lower case": (["dcim/", "dcim/100andro/", "dcim/100andro/a.jpg"], "generic-dcim"),
    "a recorder with DCIM": (
        ["DCIM/", "DCIM/20261123/", f"DCIM/20261123/{ENFORCEMENT}"],
        "enforcement-storage",
    ),
    "a recorder without DCIM": (["20261123/", f"20261123/{ENFORCEMENT}", "LOG/"], "enforcement-storage"),
    "a recorder, deep": (
        ["VIDEO/", "VIDEO/20261123/", f"VIDEO/20261123/{ENFORCEMENT}"],
        "enforcement-storage",
    ),
    "a USB stick": (["holiday/", "holiday/a.jpg", "thesis.doc"], None),
    "an empty card": ([], None),
    "a name that is nearly right": (["20261123/", "20261123/X1A0001060123_2026112308_0001.mp4"], None),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_belongs_to_one_profile_or_none(name: str) -> None:
    paths, expected = LAYOUTS[name]
    profiles = load_profiles()
    layout = Layout(Identity(), paths)
    assert sum(matches(profile.match, layout) for profile in profiles) <= 1
    found = match(profiles, layout, name)
    assert (found.id if found else None) == expected


def test_two_profiles_that_claim_one_device_are_both_named() -> None:
    profile = find_profile(load_profiles(), "generic-dcim")
    twin = profile.model_copy(update={"id": "twin"})
    with pytest.raises(AmbiguousProfileError, match=f"{profile.id}, twin"):
        match([profile, twin], Layout(Identity(), ["DCIM/"]), "a camera")


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (Identity(vendor_id="4255", product_id="0001", label="BODYCAM"), True),
        (Identity(vendor_id="4255", product_id="ffff", label="BODYCAM"), False),
        (Identity(vendor_id="1d6b", product_id="9999", label="bodycam"), True),
        (Identity(vendor_id="1d6b", label="OTHER"), False),
        (Identity(vendor_id="0000", label="BODYCAM"), False),
    ],
)
def test_usb_ids_and_labels_narrow_a_match(identity: Identity, expected: bool) -> None:  # noqa: FBT001
    usb = (UsbMatch(vendor="4255", product="0001"), UsbMatch(vendor="1d6b"))
    rule = Match(usb=usb, labels=("(?i)bodycam",), requires=("DCIM/",))
    assert matches(rule, Layout(identity, ["DCIM/"])) is expected


SHIPPED = load_profiles()
MARKED = [file for files in CARDS.values() for file in files]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_of_each_family_belongs_to_that_family(name: str) -> None:
    found = match(SHIPPED, Layout(Identity(), with_folders(CARDS[name])), name)
    assert found is not None
    assert found.id == name


def test_a_device_over_mtp_belongs_to_profiles_with_an_mtp_table_alone() -> None:
    layout = Layout(Identity(), with_folders(MTP_LAYOUT), Speaks.MTP, "Maker", "Model")
    assert [one.id for one in SHIPPED if recognises(one, layout)] == ["mtp-camera"]
    disk = Layout(Identity(), with_folders([f"x/{path}" for path in CARDS["generic-dcim"]]))
    assert not any(recognises(one, disk) for one in SHIPPED if one.mtp)


@pytest.mark.parametrize(("one", "other"), list(combinations(SHIPPED, 2)))
def test_no_two_shipped_profiles_can_match_one_device_whatever_is_on_it(one: Profile, other: Profile) -> None:
    """Where one requires a pattern that the other excludes, no listing at all fits both: no sample is needed."""
    by_itself = {speaks(one), speaks(other)}
    assert len(by_itself) == 2 or excludes(one, other) or excludes(other, one)


def speaks(profile: Profile) -> str:
    if profile.serial is not None:
        return f"serial:{profile.id}"  # considered only for what it has unlocked itself
    return "mtp" if profile.mtp is not None else "storage"


@given(
    files=st.lists(st.sampled_from(MARKED), max_size=12, unique=True),
    noise=st.lists(st.text(max_size=30).filter(lambda text: "\0" not in text), max_size=4),
    how=st.sampled_from(list(Speaks)),
    unlocked_by=st.sampled_from([None, "enforcement-serial"]),
)
def test_any_mixture_belongs_to_one_profile_or_none_or_is_refused_with_the_names(
    files: list[str], noise: list[str], how: Speaks, unlocked_by: str | None
) -> None:
    layout = Layout(Identity(), with_folders([*files, *noise]), how, "m", "m", unlocked_by)
    fitting = [one.id for one in SHIPPED if recognises(one, layout)]
    assert len(fitting) <= 1
    known = [one for one in SHIPPED if may_concern(one, layout)]
    claiming = [one for one in known if matches(one.match.model_copy(update={"excludes": ()}), layout)]
    if not fitting and len(rivals(claiming)) > 1:
        with pytest.raises(AmbiguousProfileError, match=", "):
            match(SHIPPED, layout, "it")
    else:
        found = match(SHIPPED, layout, "it")
        assert [found.id if found else None] == (fitting or [None])


@given(names=st.sets(st.sampled_from(sorted(set(CARDS) - {"generic-dcim"})), min_size=2))
def test_a_card_of_two_families_is_refused_aloud_with_the_names_of_both(names: set[str]) -> None:
    layout = Layout(Identity(), with_folders([file for name in sorted(names) for file in CARDS[name]]))
    with pytest.raises(AmbiguousProfileError) as caught:
        match(SHIPPED, layout, "a mixed card")
    assert all(name in str(caught.value) for name in names)


def test_a_profile_may_take_the_place_of_one_that_it_names() -> None:
    general = find_profile(SHIPPED, "generic-dcim")
    rule = general.match.model_copy(update={"instead_of": ("generic-dcim",), "excludes": ()})
    own = general.model_copy(update={"id": "own", "match": rule})
    layout = Layout(Identity(), ["DCIM/"])
    assert match([general, own], layout, "it") is own
    assert match([own, general], layout, "it") is own


def test_an_unlocked_recorder_belongs_to_the_profile_that_unlocked_it() -> None:
    paths = with_folders(["EVIDENCE/SDR1.ID"])
    assert match(SHIPPED, Layout(Identity(), paths), "it") is None
    found = match(SHIPPED, Layout(Identity(), paths, unlocked_by="enforcement-serial"), "it")
    assert found is not None
    assert found.id == "enforcement-serial"
