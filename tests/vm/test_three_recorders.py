"""Three kinds of recorder pushed into one hub at once: a disk, MTP, and one that unlocks over its serial line.

The kernel's own events, the station's own processes in the guest, its console before a real Chromium. Where
SEALDOCK_LAB_PICTURES names a directory, the board's pictures are kept there. QEMU's MTP device has ASCII names only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from vm.board import boards, free_port, open_console, picture
from vm.card import FileSystem, MakeCard, dcim, enforcement, film
from vm.guest import Event
from vm.hardware import BAY
from vm.place import CHECKOUT
from vm.station import Station

from vault.formats.proof import Receipt
from vault.log.ledger import LogReader
from vault.store.objects import Vault

SLOW, SPEED = 100_000, 500_000  # bytes a second: the disk is still at it when the other recorder is unlocked
HELD = (
    30_000  # while the board is looked at: no copy ends meanwhile, and no request of the kernel's times out
)
LARGE, LARGEST = 2_500_000, 6_000_000
PICTURES = os.environ.get("SEALDOCK_LAB_PICTURES")
DISK, MTP, SERIAL = 1, 2, 4  # bays behind the hub
HAPPENED = {
    ("5.1", "add", "usb"), ("5.1", "add", "block"), ("5.2", "add", "usb"),
    ("5.3", "add", "tty"), ("5.3", "remove", "tty"), ("5.3", "add", "block"),
}  # fmt: skip
ENDS = {"sealed", "partial", "interrupted", "unknown", "fault"}


@contextmanager
def serial_recorder(path: Path, serial: str) -> Iterator[subprocess.Popen[str]]:
    """The emulated recorder as a program of its own, listening on `path`."""
    program = CHECKOUT / "tests/emulation/serial_recorder.py"
    argv = [sys.executable, str(program), "--socket", str(path), "--serial", serial]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def unlocked(films: list[bytes]) -> dict[str, bytes]:
    """What the recorder's storage holds: its mark, and a folder a day."""
    name = "EVIDENCE/2026-11-23/X1A0009_060123_2026112308{number:02d}00_{number:05d}.mp4"
    return {name.format(number=number): content for number, content in enumerate(films, 1)}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def station(lab: None, tmp_path: Path, data: Path, port: int) -> Iterator[Station]:
    """A station at work whose console can be looked at."""
    with Station.at_work(tmp_path / "m", data, {port: 8443}) as station:
        yield station


def test_three_kinds_of_recorder_on_a_hub_become_receipts_that_verify(
    make: MakeCard, station: Station, port: int, tmp_path: Path, browser: Browser
) -> None:
    disk, phone = enforcement("X1A0001", "060123", [film(), film(LARGEST)]), dcim([film(), film(LARGE)])
    evidence = unlocked([film(), film(LARGE)]) | {"EVIDENCE/SDR1.ID": b"SDR1\n"}
    cards = (
        make("three-a", FileSystem.EXFAT, disk),
        make("three-b", FileSystem.FAT32, evidence),
    )
    for path, content in phone.items():
        (tmp_path / "phone" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "phone" / path).write_bytes(content)
    open_console(station)
    usb = station.machine.usb
    station.machine.guest.listen()
    with (
        boards(browser, port, "zh-CN", "en") as pages,
        serial_recorder(tmp_path / "line", "X1A0009") as recorder,
    ):
        _look(pages, "waiting", {"empty"})
        station.until((tmp_path / "line").exists, within_s=30)
        usb.serial_line("line", "5.3", tmp_path / "line", serial="LINE")
        usb.mtp("phone", "5.2", tmp_path / "phone", serial="PHONE")
        usb.storage("disk", "5.1", cards[0], serial="DISK", read_only=True, bytes_per_second=SLOW)
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "storage\n"
        usb.pull("line")  # it comes back as another USB device, at another speed, in the same bay
        usb.storage("unlocked", "5.3", cards[1], serial="UNLOCKED", read_only=True, bytes_per_second=SPEED)
        _hold_when_copying(station, {DISK: "disk", SERIAL: "unlocked"})
        _look(pages, "copying", {"copying", "handed_in"})
        for name in ("disk", "unlocked"):
            usb.throttle(name, 0)
        tiles = {bay: station.until_state(bay, *ENDS, within_s=180) for bay in (DISK, MTP, SERIAL)}
        _look(pages, "sealed", {"sealed"})
    assert {bay: (tile["state"], tile["profile"], tile["transport"]) for bay, tile in tiles.items()} == {
        DISK: ("sealed", "enforcement-storage", "kernel"),
        MTP: ("sealed", "mtp-camera", "mtp"),
        SERIAL: ("sealed", "enforcement-serial", "kernel"),
    }
    assert tiles[SERIAL]["battery_percent"] == 87  # the line told it, the disk cannot
    assert _seen(station.machine.guest.events()) >= HAPPENED
    verified = station.sealdock(
        "vault", "verify", "/data/vault", "--keys", "/data/recovery.key", "--json", check=False, within_s=180
    )
    assert json.loads(verified.out)["failures"] == []
    kept = station.take_out()
    assert kept.report.failures == []
    assert kept.contents == Counter([*disk.values(), *phone.values(), *evidence.values()])
    assert kept.sessions == len(tiles)
    assert _verify_receipts(station.machine.plan.hand / "out/vault", tmp_path) == len(kept.recordings)


def _hold_when_copying(station: Station, names: dict[int, str]) -> None:
    """From their first bytes on the media barely move."""

    def are_held() -> bool:
        tiles = station.tiles()
        for bay in [bay for bay in names if tiles[bay]["bytes_done"]]:
            station.machine.usb.throttle(names.pop(bay), HELD)
        return not names

    station.until(are_held)


def _seen(events: list[Event]) -> set[tuple[str, str, str]]:
    """What udev told of the bays: the port, the action and the subsystem."""
    return {
        (port, event.get("ACTION"), event.get("SUBSYSTEM"))
        for event in events
        for port in ("5.1", "5.2", "5.3")
        if event.source == "UDEV" and event.get("ID_PATH").startswith(BAY.format(port=port))
    }


def _look(pages: dict[str, Page], moment: str, states: set[str]) -> None:
    """What each page shows in the hub's bays, once it has the station's news."""
    for language, page in pages.items():
        wanted = json.dumps(sorted(states))
        page.wait_for_function(
            f"() => [{DISK}, {SERIAL}].every(n => "
            f"{wanted}.includes(document.querySelector(`[data-bay='${{n}}']`)?.dataset.state))"
        )
        picture(page, Path(PICTURES) if PICTURES else None, f"lab-{moment}-{language.partition('-')[0]}")


def _verify_receipts(directory: Path, place: Path) -> int:
    """Verify the receipts of all recordings, and those of sessions by the program; how many recordings there are."""
    vault = Vault.open(directory)
    log, sealed = LogReader(vault), 0
    for index, leaf in enumerate(log.leaves()):
        if leaf.type == "session":
            receipt = place / f"{leaf.id}.tlog-proof"
            receipt.write_bytes(log.proof(index))
            argv = ["receipt", "verify", str(receipt), "--key", vault.verifier.vkey]
            subprocess.run(
                [sys.executable, "-m", "sealdock", *argv],
                check=True,
                capture_output=True,
                cwd=CHECKOUT,
                timeout=120,
            )
        elif leaf.object:
            sealed += Receipt.parse(log.proof(index)).verify(vault.verifier).object == leaf.object
    return sealed
