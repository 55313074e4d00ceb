"""The walk of docs/operations/profiles.md, at a bay: from a device that nobody knows to its receipts."""

from __future__ import annotations

import re
import time
from collections import Counter

from emulation.layouts import UNKNOWN
from vm.card import FileSystem, MakeCard, film
from vm.reconfigured import change, start_dock, stop_dock
from vm.station import Station

SLOW_S = (
    900.0  # of an emulated machine beside others; the walk itself took 74 s (docs/operations/profiles.md)
)
WALK = "/data/walk"


def looked_at(draft: str) -> str:
    """What the draft asks of a person: the titles, and to confirm what is marked."""
    assert draft.count("# LOOK:") >= 3
    text = re.sub(r"^# LOOK:.*\n", "", draft, flags=re.MULTILINE)
    text = re.sub(r'^en = ".*"$', 'en = "Park patrol recorder"', text, flags=re.MULTILINE)
    return re.sub(r'^zh_CN = ".*"$', 'zh_CN = "公园巡查记录仪"', text, flags=re.MULTILINE)


def test_a_device_that_no_profile_knows_is_drafted_checked_installed_and_sealed(
    make: MakeCard, station: Station
) -> None:
    tree = {path: film() if path.endswith(".mp4") else f"of {path}\n".encode() for path in UNKNOWN}
    guest = station.machine.guest
    station.machine.usb.storage(
        "strange", "5.1", make("strange", FileSystem.EXFAT, tree), serial="PX900123", read_only=True
    )
    tile = station.until_state(1, "unknown")
    assert tile["message"]["code"] == "devices.unknown"

    began = time.monotonic()
    guest.run(f"mkdir -p {WALK}")
    drafted = station.sealdock("profile", "new", "--bay", "1", "--id", "park-patrol", "--into", WALK)
    assert "13 files" not in drafted.out
    assert f"{len(UNKNOWN)} files of an emulated device" in drafted.out
    text = looked_at(guest.out(["cat", f"{WALK}/park-patrol.toml"]))
    guest.run(f"cat >{WALK}/park-patrol.toml", stdin=text.encode())
    checked = station.sealdock(
        "profile", "check", f"{WALK}/park-patrol.toml", "--capture", f"{WALK}/park-patrol.capture.json"
    )
    assert "taken as footage: 12" in checked.out
    guest.run(f"mkdir -p /data/profiles && cp {WALK}/park-patrol.toml /data/profiles")
    matched = station.sealdock("profile", "match", "--bay", "1", "--site", "/data/profiles")
    assert matched.out.splitlines()[-1] == "park-patrol"
    change(station, in_dock='profiles = "/data/profiles"')
    stop_dock(station)
    start_dock(station)
    tile = station.until_state(1, "sealed", within_s=SLOW_S)
    took_s = time.monotonic() - began

    assert tile["profile"] == "park-patrol"
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter(tree.values())
    print(f"the walk took {took_s:.0f} s under emulation")  # noqa: T201  # docs/operations/profiles.md says it
