"""Two recorders pushed into a hub: real USB events, the station's own processes, receipts that verify."""

from __future__ import annotations

import json
from collections import Counter

from vm.card import FileSystem, MakeCard, dcim, enforcement, film
from vm.hardware import BAY
from vm.station import Station


def test_a_fat32_and_an_exfat_recorder_behind_a_hub_become_receipts(make: MakeCard, station: Station) -> None:
    officers = enforcement("X1A0001", "060123", [film(), film(2_000_000)])
    camera = dcim([film(), film(1_000_000)])
    cards = make("fat", FileSystem.FAT32, officers), make("exfat", FileSystem.EXFAT, camera)
    station.machine.guest.listen()
    station.machine.usb.storage("first", "5.1", cards[0], serial="SAME", read_only=True)
    station.machine.usb.storage("second", "5.2", cards[1], serial="SAME", read_only=True)
    first = station.until_state(1, "sealed")
    second = station.until_state(2, "sealed")
    assert (first["profile"], second["profile"]) == ("enforcement-storage", "generic-dcim")
    assert first["transport"] == second["transport"] == "kernel"
    volumes = {
        event.get("ID_PATH").partition(":1.0-")[0]: event.get("ID_FS_TYPE")
        for event in station.machine.guest.events()
        if event.source == "UDEV" and event.get("DEVTYPE") == "partition"
    }
    assert volumes == {BAY.format(port="5.1"): "vfat", BAY.format(port="5.2"): "exfat"}
    key = ("--keys", "/data/recovery.key")
    verified = station.sealdock("vault", "verify", "/data/vault", *key, "--json", check=False, within_s=180)
    assert verified.code == 3, (
        verified.out
    )  # all proven; nobody named the key of the log, which is no secret here
    assert json.loads(verified.out)["failures"] == []
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter([*officers.values(), *camera.values()])
