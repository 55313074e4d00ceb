"""A station that erases: a card on a real loop device, the kernel's mounts, vaultd with its rules, keyd, a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from emulation.card import make_ext4, run
from emulation.dock import PASSPHRASE, PORTS, Station, wait_until
from sqlalchemy import select
from support.loop import attach, detach
from support.root import opener

import ingest.log_rule
import ingest.projection
from core import jobs
from core.errors import SealdockError
from core.settings import EraseSettings, MediaSettings
from devices.detect import Arrival, Departure
from devices.profile import load_profiles
from ingest import erase_open
from ingest.bay import Bay
from ingest.erase_gate import Gates
from ingest.erase_line import Reach
from ingest.erasing import Erasing
from ingest.proxies import Workshop
from ingest.recording import IngestRecording
from ingest.status import Tile, TileState
from ingest.workplace import Erase, Workplace
from vault.formats.entry import Leaf
from vault.formats.note import SigningKey
from vault.keyd import Keyd, KeydClient
from vault.log.ledger import LogReader
from vault.log.outbox import Projections, Submitter, pending_ids
from vault.log.rules import Rules
from vault.log.submission import Draft
from vault.store.derived import DerivedStore
from vault.vaultd import Vaultd

SERIAL = "SN-ERASE"
AT_ONCE = EraseSettings(policy="erase", grace_days=0, replicated=False, witnessed=False)
FILES = {f"DCIM/100MEDIA/MOV_{number:04d}.MP4": bytes([number]) * (70_000 * number) for number in range(1, 5)}


@dataclass
class Scene:
    """One bay of the station and one card; `seen` are the states that the tile has shown."""

    station: Station
    card: Path
    mounts: Path
    worker: Workshop
    seen: list[TileState] = field(default_factory=list)
    copy: Path | None = None
    is_working: bool = True

    def __post_init__(self) -> None:
        self.reader, self.tile = LogReader(self.station.vault), Tile(1, self._note)
        self.loop = attach(self.card)
        self.volume = f"/devices/pci/usb1/1-1/{self.loop.name}"

    def policy(
        self, settings: EraseSettings = AT_ONCE, covered: int = 0, *, stalled_s: float = 15
    ) -> Erasing:
        reach = Reach(
            self.mounts.parent / "erase.sock", self.station.vault.path, self.mounts, settings.grace_days
        )
        return Erasing(
            self.station.line, Gates(settings, self.reader, lambda: covered), reach, stalled_s=stalled_s
        )

    def dock(self, erase: Erase) -> TileState:
        """Plug the card into the bay, and wait until the bay has nothing more to do; the tile as it ended."""
        place = Workplace(
            self.station.line,
            load_profiles(),
            self.mounts,
            {}.get,
            Event(),
            lambda _one, _two: None,
            erase=erase,
        )
        self.bay = Bay(1, self.tile, place)
        self.seen.clear()
        self.bay.arrive(Arrival(self.volume, PORTS[0], self.loop, "ext4", serial=SERIAL, usb_device="1-1"))
        assert self.bay.join(60)
        ended = self.tile.status.state
        self.bay.depart(Departure(self.volume, PORTS[0]))
        return ended

    def on_card(self) -> dict[str, bytes]:
        """What the card holds, read by a mount of its own."""
        place = self.card.with_suffix(".look")
        place.mkdir(exist_ok=True)
        run("mount", "-o", "ro,noload", str(self.loop), str(place))
        try:
            files = [path for path in place.rglob("*") if path.is_file()]
            return {str(path.relative_to(place)): path.read_bytes() for path in files}
        finally:
            run("umount", str(place))

    def tamper(self, content: bytes) -> None:
        """Flip one bit of a file where it lies on the medium, below the file system."""
        image = self.card.read_bytes()
        place = image.index(content[:65_536])
        with self.card.open("r+b") as medium:
            medium.seek(place + 100)
            medium.write(bytes([image[place + 100] ^ 1]))

    def empty(self) -> None:
        """Somebody deletes everything by hand."""
        place = self.card.with_suffix(".hand")
        place.mkdir()
        run("blockdev", "--setrw", str(self.loop))
        run("mount", str(self.loop), str(place))
        try:
            for row in self.rows():
                (place / row.shown_path).unlink()
        finally:
            run("umount", str(place))

    def refill(self, *, is_same: bool = False) -> None:
        """The recorder records again, under the names and times of before, the same bytes only where told."""
        place = self.card.with_suffix(".hand")
        place.mkdir()
        run("blockdev", "--setrw", str(self.loop))
        run("mount", str(self.loop), str(place))
        try:
            for row in self.rows():
                path = place / row.shown_path
                path.write_bytes(FILES[row.shown_path] if is_same else bytes(row.size))
                moment = row.modified_at.timestamp() if row.modified_at else 0
                os.utime(path, (moment, moment))
        finally:
            run("umount", str(place))

    def submit(self, by: str, draft: Draft) -> str:
        """An entry of another process, on the log when this returns."""
        key = SigningKey.read(self.station.root / f"keys/{by}.key")
        with self.station.db.writing() as session:
            entry = Submitter(key, projections(), self.station.root / "run/vaultd.bell").submit(
                session, draft
            )
        wait_until(lambda: not self.waiting(), lambda: "the outbox is not empty")
        return entry

    def rows(self) -> list[IngestRecording]:
        """The recordings, by name."""
        with self.station.db.reading() as session:
            return list(session.scalars(select(IngestRecording).order_by(IngestRecording.shown_path)))

    def entries(self, stage: str) -> list[Leaf]:
        """The `erase` entries of one stage, in order."""
        wait_until(lambda: not self.waiting(), lambda: "the outbox is not empty")
        return [
            leaf for leaf in self.reader.leaves() if leaf.type == "erase" and leaf.facts["stage"] == stage
        ]

    def waiting(self) -> bool:
        with self.station.db.reading() as session:
            return bool(pending_ids(session))

    def states(self) -> list[str]:
        with self.station.db.reading() as session:
            return [
                row.state
                for row in session.scalars(select(IngestRecording).order_by(IngestRecording.shown_path))
            ]

    def work(self, stop: Event) -> None:
        """What the worker does: open what it is asked to."""
        while not stop.wait(0.02):
            job = jobs.claim(self.station.db, [erase_open.KIND]) if self.is_working else None
            if job is not None:
                try:
                    erase_open.handle(job, self.worker, self.copy)
                except SealdockError as cause:
                    jobs.fail(self.station.db, job, str(cause), final=True)

    def _note(self) -> None:
        state = self.tile.status.state
        if not self.seen or self.seen[-1] is not state:
            self.seen.append(state)


@contextmanager
def scene(root: Path) -> Iterator[Scene]:
    """Everything at work."""
    folder = root / "folder"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    station = Station.make(root / "station")
    stop, rules = Event(), Rules()
    ingest.log_rule.register(rules)
    keys = station.root / "keys"
    vaultd = Vaultd(
        station.vault, station.db, SigningKey.read(keys / "log.key"), SigningKey.read(keys / "vaultd.key"), rules,
        station.root / "run/vaultd.bell", projections=projections(),
    )  # fmt: skip
    keyd = Keyd(station.vault, opener(station.vault, keys), station.root / "run/keyd.sock")
    keyd.unlock(PASSPHRASE)
    made = Scene(station, make_ext4(root / "card.img", folder), root / "mounts", _workshop(station))
    threads = [Thread(target=one, args=(stop,), daemon=True) for one in (vaultd.run, keyd.run, made.work)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        station.stop()
        detach(made.loop)


def projections() -> Projections:
    """What the dock remembers."""
    made = Projections()
    ingest.projection.register(made)
    return made


def _workshop(station: Station) -> Workshop:
    signer = SigningKey.read(station.root / "keys/worker.key")
    return Workshop(
        db=station.db, vault=station.vault, reader=LogReader(station.vault),
        keyd=KeydClient(station.root / "run/keyd.sock", signer),
        derived=DerivedStore(station.root / "derived", station.vault), signer=signer,
        submitter=Submitter(signer, projections(), station.root / "run/vaultd.bell"),
        lenses=station.root / "lenses", settings=MediaSettings(),
    )  # fmt: skip
