from __future__ import annotations

import pytest

from devices.error import AmbiguousProfileError
from devices.match import Layout, match, matches
from devices.profile import Match, UsbMatch, load_profiles
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
    profile = load_profiles()[1]
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
