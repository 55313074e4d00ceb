"""Erasing in the lab: the kernel's own FAT32 and exFAT, real cards behind a hub, and one that is pulled out early.

The machine has neither a witness nor a second copy, so the policy asks for none; what those gates hold back is tried in
tests/ingest/test_erase_gate.py.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from vm.card import FileSystem, MakeCard, enforcement, film
from vm.machine import Machine
from vm.place import CHECKOUT
from vm.reconfigured import change, start_dock, stop_dock
from vm.station import Station

from vault.log.ledger import LogReader
from vault.store.objects import Vault

POLICY = '[dock.erase]\npolicy = "erase"\ngrace_days = 0\nreplicated = false\nwitnessed = false\n'
KINDS = {1: FileSystem.EXFAT, 2: FileSystem.FAT32}  # by bay
PULLED = 2
FILMS, LARGE = 4, 300_000
SLOW, CRAWL = 75_000, 20_000  # bytes a second: a film takes four seconds to be compared, then fifteen

HAND = """\
import hashlib, sys
from pathlib import Path
sys.path.insert(0, "/hand/eraser")
from devices.eraser import Content, erase, find_card, writable, written_since
from devices.unwritten import sectors_written
card = find_card("sda1", Path("/run/cards"))
before = sectors_written("sda1")
with writable(card) as tree:
    for line in sys.stdin:
        path, size, digest = line.split()
        print(erase(tree, path.encode(), Content(int(size), digest)), flush=True)
print("written", written_since(card, before) > 0)
"""
OURS = ("core/errors.py", "devices/eraser.py", "devices/error.py", "devices/name.py", "devices/structure.py",
        "devices/tree.py", "devices/unwritten.py")  # fmt: skip
MOUNTED = (
    "blockdev --setro /dev/sda /dev/sda1; mkdir -p /run/cards/sda1; mount -i -t {kind} "
    "-o ro,nosuid,nodev,noexec,uid=990,gid=990,dmask=0277,fmask=0377 /dev/sda1 /run/cards/sda1"
)  # as sealdock-card@.service does, for a user that is not root
SANDBOXED = {  # what of the unit is another here: the program, and where its lines come from and go to
    "Type": "oneshot", "ExecStart": "/usr/bin/python3 /hand/eraser/hand.py", "WorkingDirectory": "/",
    "StandardInput": "file:/run/asked", "StandardOutput": "truncate:/run/answered", "RuntimeMaxSec": None,
}  # fmt: skip
CLOSED = "! touch /run/cards/sda1/x && test $(blockdev --getro /dev/sda1) = 1"


def sandboxed() -> str:
    """The eraser's own unit with another program in it."""
    unit = (CHECKOUT / "systemd/sealdock-erase@.service").read_text(encoding="utf-8")
    lines = [line for line in unit.split("\n") if line.partition("=")[0] not in SANDBOXED]
    place = lines.index("[Service]") + 1
    told = [f"{name}={value}" for name, value in SANDBOXED.items() if value is not None]
    return "\n".join([*lines[:place], *told, *lines[place:]])


@pytest.mark.parametrize("kind", [FileSystem.FAT32, FileSystem.EXFAT])
def test_the_kernels_own_drivers_erase_what_is_compared_and_leave_a_clean_card(
    make: MakeCard, workbench: Machine, kind: FileSystem
) -> None:
    """The eraser in its unit's own sandbox, without a station, and what fsck says of the card afterwards."""
    tree = {f"DCIM/100MEDIA/M{number}.MP4": bytes([number]) * 300_000 for number in range(1, 5)}
    gone, (spared, _) = list(tree.items())[:3], list(tree.items())[3]
    asked = [f"{path} {len(raw)} {sha256(raw).hexdigest()}" for path, raw in gone]
    asked.append(f"{spared} 300000 {sha256(b'other bytes').hexdigest()}")
    guest, card = workbench.guest, make(f"hand{kind.name}", kind, tree)
    for name in OURS:
        place = workbench.plan.hand / "eraser" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((CHECKOUT / name).read_bytes())
    (workbench.plan.hand / "eraser/hand.py").write_text(HAND)
    workbench.usb.storage("hand", "4", card)
    try:
        guest.until("test -b /dev/sda1")
        guest.run(MOUNTED.format(kind=kind.value[2]))
        guest.run("cat >/run/asked", stdin="\n".join(asked).encode())
        guest.run("cat >/run/systemd/system/hand.service", stdin=sandboxed().encode())
        guest.run("systemctl daemon-reload; systemctl start hand || journalctl -u hand >&2", within_s=150)
        said = guest.out("cat /run/answered").split("\n")
        assert said[:5] == ["erased", "erased", "erased", "differs", "written True"]
        guest.run(CLOSED)
        assert guest.out("cd /run/cards/sda1 && find . -type f").strip() == f"./{spared}"
        guest.run(f"umount /run/cards/sda1; fsck.{kind.value[2]} -n /dev/sda1")
    finally:
        workbench.usb.pull("hand")


def policed(station: Station) -> None:
    """The station under a policy that erases, with the processes that prove."""
    stop_dock(station)
    change(station, at_end=POLICY)
    proving(station)
    start_dock(station)


def proving(station: Station) -> None:
    """keyd, unlocked, and the worker."""
    for name in ("keyd", "worker"):
        station.launch(name)
    station.machine.guest.until("test -S /data/state/run/keyd.sock", within_s=240)
    station.sealdock("keyd", "unlock", "--passphrase-file", "/data/passphrase")


def left_on(machine: Machine, image: Path, kind: FileSystem) -> set[str]:
    """What is on a card, as another machine's kernel lists it; none of it is mended before."""
    machine.usb.storage("look", "3", image, read_only=True)
    try:
        machine.guest.until("test -b /dev/sda1")
        listed = machine.guest.out(
            f"mkdir -p /look && mount -o ro -t {kind.value[2]} /dev/sda1 /look && cd /look && find . -type f; "
            "cd /; umount /look"
        )
    finally:
        machine.usb.pull("look")
    return {line.removeprefix("./") for line in listed.split("\n") if line}


def erased(directory: Path) -> Counter[str]:
    """The stages of the `erase` entries in a vault that was taken out."""
    leaves = LogReader(Vault.open(directory)).leaves()
    return Counter(leaf.facts["stage"] for leaf in leaves if leaf.type == "erase")


def test_cards_pulled_and_cut_off_while_they_are_cleared_are_cleared_to_the_end_afterwards(
    make: MakeCard, data: Path, tmp_path: Path, workbench: Machine
) -> None:
    """One card of each file system: FAT32 is pulled in the middle, then the power of the whole box goes."""
    trees = {bay: enforcement(f"X1A000{bay}", "060124", [film(LARGE) for _ in range(FILMS)]) for bay in KINDS}
    cards = {bay: make(f"erase{bay}", kind, trees[bay]) for bay, kind in KINDS.items()}
    with Station.at_work(tmp_path / "m", data) as station:
        policed(station)
        plug(station, cards)
        for bay in KINDS:
            station.until_state(bay, "clearing", within_s=240)
            station.machine.usb.throttle(f"card{bay}", SLOW)
        hold_half_cleared(station, set(KINDS))
        station.machine.usb.pull(f"card{PULLED}")
        tile = station.until_state(PULLED, "interrupted")
        assert tile["message"]["code"] == "ingest.clearing_interrupted"
    for bay, kind in KINDS.items():
        left = left_on(workbench, cards[bay], kind)
        assert 0 < len(left) < FILMS
        assert left < set(trees[bay])
    with Station.after_cut(tmp_path / "m", data) as station:
        station.start()
        proving(station)
        plug(station, cards)
        for bay in KINDS:
            assert station.until_state(bay, "sealed", "partial", within_s=240)["state"] == "sealed"
            station.machine.usb.pull(f"card{bay}")
        kept = station.take_out()
        stages = erased(station.machine.plan.hand / "out/vault")
    assert [left_on(workbench, cards[bay], kind) for bay, kind in KINDS.items()] == [set(), set()]
    assert kept.report.failures == []
    assert kept.contents == Counter(content for tree in trees.values() for content in tree.values())
    assert stages["erased"] == len(KINDS) * FILMS


def plug(station: Station, cards: dict[int, Path]) -> None:
    """Each card into its own bay behind the hub, at full speed."""
    for bay, card in cards.items():
        station.machine.usb.storage(f"card{bay}", f"5.{bay}", card, serial=f"ERASE-{bay}")


def hold_half_cleared(station: Station, bays: set[int]) -> None:
    """Each card barely moves once its first file is erased, so that none is empty before its time."""

    def are_held() -> bool:
        tiles = station.tiles()
        for bay in [bay for bay in bays if tiles[bay]["state"] == "clearing" and tiles[bay]["files_done"]]:
            station.machine.usb.throttle(f"card{bay}", CRAWL)
            bays.remove(bay)
        return not bays

    station.until(are_held, within_s=240)
