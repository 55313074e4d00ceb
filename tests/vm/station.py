"""The station in the guest: its own processes over real devices, on a data disk that outlives the machine."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from vm import product
from vm.guest import CommandFailedError, Done
from vm.hardware import BAY
from vm.image import image
from vm.machine import Machine, saved_state, state_with_product

from vault.audit.report import Report
from vault.audit.verify import verify_vault
from vault.formats.age import Identity
from vault.log.ledger import LogReader
from vault.store.keys import Keyring, open_body
from vault.store.objects import Vault, open_object

PORTS = ("5.1", "5.2", "7", "5.3")  # bays 1, 2 and 4 behind the hub in port 5, bay 3 on the machine itself
GADGET_BAY = "platform-dummy_hcd.0-usb-0:1"  # bay 5: where vm.gadget makes devices that QEMU does not have
HUB = "5"
PASSPHRASE = "a passphrase for one machine"
RECORDER_PASSWORD = "000000"
UNDER_WAY = """\
import sqlite3
with sqlite3.connect("/data/state/sealdock.db") as db:
    print(db.execute("select count(*) from ingest_recording where state = 'copying'").fetchone()[0])
"""
SETTINGS = """\
vault = "/data/vault"
state = "/data/state"
keys = "/data/keys"

[dock]
mounts = "/run/sealdock/mounts"
passwords = "/data/passwords"
unregistered = "take"
"""


@dataclass(frozen=True)
class Kept:
    """A vault taken out of a machine: what it says of itself, every recording in the clear, and its entries."""

    report: Report
    recordings: list[bytes]
    bodies: list[dict[str, Any]]
    session_bodies: list[dict[str, Any]]

    @property
    def sessions(self) -> int:
        return len(self.session_bodies)

    @property
    def contents(self) -> Counter[bytes]:
        return Counter(self.recordings)


@dataclass
class Station:
    """A station on the data disk of a machine; `after_cut` finds it there again."""

    machine: Machine
    user: str = "root"  # whom its commands and processes run as
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def at_work(
        cls, directory: Path, data: Path, forwards: Mapping[int, int] | None = None
    ) -> Iterator[Station]:
        """A new station, resumed as it waits for recorders; its hub is plugged in, its data disk becomes `data`."""
        with Machine.boot(directory, data=data, forwards=forwards, state=state_at_work()) as machine:
            machine.usb.hub("hub", HUB)
            yield cls(machine)

    @classmethod
    def found(cls, machine: Machine) -> Station:
        """As docs/operations/install.md says: vault, settings, database."""
        station = cls(machine)
        machine.guest.run("mount /dev/vdb /data && mkdir -p /data/state")
        bays = "".join(
            f'[[dock.bays]]\nnumber = {number}\npath = "{path}"\n'
            for number, path in enumerate([*(BAY.format(port=port) for port in PORTS), GADGET_BAY], 1)
        )
        machine.guest.run("cat >/data/sealdock.toml", stdin=(SETTINGS + bays).encode())
        machine.guest.run("cat >/data/passphrase", stdin=f"{PASSPHRASE}\n".encode())
        machine.guest.run(
            "umask 077; mkdir /data/passwords; cat >/data/passwords/enforcement-serial.password",
            stdin=f"{RECORDER_PASSWORD}\n".encode(),
        )
        station.sealdock(
            "vault", "init", "/data/vault", "--keys", "/data/keys", "--passphrase-file", "/data/passphrase",
            "--recovery-out", "/data/recovery.key",
        )  # fmt: skip
        station.sealdock("db", "upgrade")
        return station

    @classmethod
    @contextmanager
    def after_cut(cls, directory: Path, data: Path) -> Iterator[Station]:
        """The station of a machine whose power went, in a new machine and not yet started."""
        with Machine.boot(directory, data=data) as machine:
            machine.guest.run("mount /dev/vdb /data")
            machine.usb.hub("hub", HUB)
            yield cls(machine)

    def sealdock(self, *argv: str, check: bool = True, within_s: float = 120) -> Done:
        """A `sealdock` command, awaited. Raises CommandFailedError."""
        out = self._order(argv)
        self.machine.guest.until(f"test -e {out}.code", within_s=within_s)
        said = self.machine.guest.out(f"cat {out}.out")
        done = Done(int(self.machine.guest.out(f"cat {out}.code")), said, "")
        if check and done.code:
            raise CommandFailedError(f"sealdock {' '.join(argv)} ended with {done.code}:\n{said}")
        return done

    def start(self) -> None:
        """vaultd and the dock, as processes of their own; awaited until the dock shows its bays."""
        self.machine.guest.run("rm -f /data/state/run/dock.json")  # what a dock said whose power went
        for name in ("vaultd", "dockd"):
            self.launch(name)
        self.until(lambda: bool(self.tiles()), within_s=180)

    def launch(self, name: str, *argv: str) -> None:
        """One more of the station's processes, not awaited: `sealdock run <name>`, or another command of that name."""
        self._order(argv or ("run", name), name)

    def tiles(self) -> dict[int, dict[str, Any]]:
        """The board's tiles by number, as the dock has written them; none before it has."""
        shown = self.machine.guest.run("cat /data/state/run/dock.json", check=False)
        return {tile["number"]: tile for tile in json.loads(shown.out)["bays"]} if shown.code == 0 else {}

    def until_state(self, bay: int, *states: str, within_s: float = 90) -> dict[str, Any]:
        """The bay's tile once it shows one of `states`."""
        self.until(lambda: self.tiles().get(bay, {}).get("state") in states, within_s)
        return self.tiles()[bay]

    def copies_under_way(self) -> int:
        """Recordings of which the database says that they are being copied."""
        return int(self.machine.guest.run(["/usr/bin/python3", "-c", UNDER_WAY]).out)

    def until(self, is_so: Callable[[], bool], within_s: float = 90) -> None:
        """Look again and again. Raises CommandFailedError with what the station said."""
        deadline = time.monotonic() + within_s
        while not is_so():
            if time.monotonic() > deadline:
                raise CommandFailedError(f"not so within {within_s:.0f} s\n{self.said()}")
            time.sleep(0.1)

    def said(self) -> str:
        """Tiles and logs, for whoever looks for a fault."""
        logs = self.machine.guest.out(
            "tail -n 40 /run/*.out; dmesg | tail -n 15; lsblk -f; findmnt -t vfat,exfat || true"
        )
        return f"{json.dumps(self.tiles(), ensure_ascii=False, indent=1)}\n{logs}"

    def take_out(self) -> Kept:
        """A copy of the vault on this side, verified and opened with the recovery key."""
        self.machine.guest.run(
            "rm -rf /hand/out; mkdir /hand/out; cp -r /data/vault /data/recovery.key /hand/out", within_s=120
        )
        return opened(self.machine.plan.hand / "out")

    def _order(self, argv: tuple[str, ...], name: str = "") -> str:
        """Have the forge fork a command; where its output goes, without suffix."""
        out = f"/run/{name or f'command-{next(self._numbers)}'}"
        argv = ("--settings", "/data/sealdock.toml", *argv)
        order = {"argv": argv, "out": f"{out}.out", "user": self.user}
        self.machine.guest.run("cat >/run/forge", stdin=f"{json.dumps(order)}\n".encode())
        return out


def state_at_work() -> Path:
    """The saved state of a new station with vaultd and the dock running."""
    digest = sha256(product.digest().encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return saved_state(image(), "station", digest, state_with_product, _set_to_work)


def _set_to_work(machine: Machine) -> None:
    Station.found(machine).start()
    machine.guest.run("rm /run/command-*")


def opened(directory: Path) -> Kept:
    """The vault in `directory` with the recovery key beside it."""
    vault, recovery = Vault.open(directory / "vault"), (directory / "recovery.key").read_text().strip()
    keyring, leaves = Keyring.from_identity(vault, recovery), list(LogReader(vault).leaves())
    report = verify_vault(vault.path, vault.verifier, identities=[Identity.parse(recovery)])
    recordings, bodies, session_bodies = [], [], []
    for index, leaf in enumerate(leaves):
        if leaf.type == "session":
            session_bodies.append(dict(open_body(vault, index, leaf, keyring) or {}))
        slot = vault.slots.object_slot(index) if leaf.object else None
        if leaf.object is None or slot is None:
            continue
        with open_object(vault, index, leaf, keyring.file_key(slot, leaf.object.bucket)) as source:
            recordings.append(source.read())
        bodies.append(dict(open_body(vault, index, leaf, keyring) or {}))
    return Kept(report, recordings, bodies, session_bodies)
