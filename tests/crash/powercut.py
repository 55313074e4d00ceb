"""Docks and a vaultd at work on disks whose power goes at a random moment, and what must be there afterwards.

What is told is written to a file on a disk that stays up, as a person's memory does: `S id` once a submission is
committed, `R id receipt` once the dock has verified the receipt and would call the recorder safe to unplug.
Only what was told before the cut began counts. (On ext4 an fsync that is under way while FS_IOC_SHUTDOWN comes may
return without an error and without having done anything; with the power really gone, nobody would have heard of it.)
`Fault` names an fsync to leave out: the same check must then find a loss, or it proves nothing. The docks rest before
such a cut, because the fsyncs of work that goes on would make durable what was forgotten.
"""

from __future__ import annotations

import os
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from threading import Event, Thread

from crash import child
from crash.disk import Disks
from crash.house import Foundation, House
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

import ingest.docking  # noqa: F401  # the table that a recording's row refers to
from core.bell import ring
from core.digest import sha256_hex
from core.durable import fsync_directory
from ingest.receipt import check_receipt
from ingest.recording import IngestRecording
from vault.audit.verify import verify_vault
from vault.error import VaultError
from vault.log.index import receipt_of, wait_sequenced
from vault.log.outbox import NotSequencedError

DOCKS = 3  # files under way at once
CONTENT_BYTES = (1, 150_000)
LATEST_CUT_S = 0.25  # after the receipts that a round waits for; a commit takes a few milliseconds here
SOON_S = 120.0


class Fault(StrEnum):
    """A promise about durability that is not kept."""

    NONE = "none"
    OBJECT = "object"  # the object, its name in incoming/ and its name in objects/
    CHECKPOINT = "checkpoint"  # its content and its name
    DATABASE = "database"  # SQLite with synchronous=OFF


def work_as_vaultd(directory: Path, fault: Fault) -> None:
    break_promise(fault)
    house = House(directory)
    loosen(house, fault)
    house.vaultd().run(Event())


def work_as_docks(directory: Path, told: Path, fault: Fault, files: int | None) -> None:
    break_promise(fault)
    house = House(directory)
    loosen(house, fault)
    teller = os.open(told, os.O_WRONLY | os.O_APPEND)
    turns = count() if files is None else iter(range(files))
    for _ in range(DOCKS):
        Thread(target=dock, args=(house, teller, turns), daemon=True).start()
    Event().wait()


def dock(house: House, teller: int, turns: Iterator[int]) -> None:
    """One bay: copy, seal, submit, wait, verify the receipt; again, while there are turns."""
    for _ in turns:
        content = os.urandom(random.randint(*CONTENT_BYTES))  # noqa: S311
        entry_id = house.ingest(content)
        ring(house.bell)
        os.write(teller, f"S {entry_id}\n".encode())
        try:
            index = wait_sequenced(house.db, entry_id, 30)
        except NotSequencedError:
            continue
        with house.db.reading() as session:
            receipt = receipt_of(session, entry_id)
        recording = IngestRecording(
            id=entry_id, shown_path="a.mp4", sha256=sha256_hex(content), size=len(content)
        )
        assert receipt is not None
        assert check_receipt(receipt, house.vault, recording) == index
        os.write(teller, f"R {entry_id} {b64encode(receipt).decode()}\n".encode())


def break_promise(fault: Fault) -> None:
    """Leave the fsyncs of one part out, in this process."""
    skipped: dict[Fault, Callable[[str], bool]] = {
        Fault.OBJECT: lambda path: "/vault/objects" in path or "/vault/incoming" in path,
        Fault.CHECKPOINT: lambda path: path.endswith("/vault/log") or ".checkpoint." in path,
    }
    real = os.fsync
    if skip := skipped.get(fault):

        def fsync(descriptor: int) -> None:
            if not skip(str(Path(f"/proc/self/fd/{descriptor}").readlink())):
                real(descriptor)

        os.fsync = fsync


def loosen(house: House, fault: Fault) -> None:
    if fault is Fault.DATABASE:
        event.listen(
            house.db.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF")
        )


@dataclass
class Outcome:
    """What so many power cuts did."""

    kind: str
    cuts: int = 0
    submitted: int = 0
    receipted: int = 0
    seconds: float = 0.0
    losses: list[str] = field(default_factory=list)


class Trial:
    """One house on disks whose power is cut again and again."""

    def __init__(self, kind: str, foundation: Foundation, place: Path, fault: Fault = Fault.NONE) -> None:
        self.outcome = Outcome(kind)
        self._fault = fault
        self._disks = Disks(kind, place)
        self._house = self._disks.house
        self._disks.fill(foundation.directory)
        House(self._house).close()  # makes the tables, before two processes would
        self._told = place / "told"
        self._told.touch()

    def run(
        self, receipts: int, per_cut: int, *, until_loss: bool = False, most_cuts: int = 10_000
    ) -> Outcome:
        """Cut until so many receipts were given (or something was lost), then look once more at all of it."""
        began = time.monotonic()
        while self.outcome.receipted < receipts and self.outcome.cuts < most_cuts:
            self._round(per_cut)
            self._look()
            if self.outcome.losses and until_loss:
                break
        if not self.outcome.losses:
            self._against_every_receipt()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def close(self) -> None:
        self._disks.unmount()

    def _round(self, per_cut: int) -> None:
        wanted, is_broken = len(self._lines("R")) + per_cut, self._fault is not Fault.NONE
        working = [
            child.start(work_as_vaultd, self._house, self._fault),
            child.start(work_as_docks, self._house, self._told, self._fault, per_cut if is_broken else None),
        ]
        end = time.monotonic() + SOON_S
        while len(self._lines("R")) < wanted:
            assert time.monotonic() < end, f"only {len(self._lines('R'))} receipts of {wanted}"
            assert all(process.is_alive() for process in working), "a process ended by itself"
            time.sleep(0.005)
        if not is_broken:
            time.sleep(random.uniform(0, LATEST_CUT_S))  # noqa: S311  # waits for nothing: the random moment
        told = self._told.stat().st_size
        self._disks.cut_power()
        child.kill(*working)
        os.truncate(self._told, told)  # what was told later was told to nobody: there was no power any more
        self._disks.come_back()
        self.outcome.cuts += 1

    def _look(self) -> None:
        """1. all that was submitted is in the outbox; 2. it can be started; 3. all is on the log; 4. all is proven."""
        submitted, receipted = set(self._lines("S")), set(self._lines("R"))
        self.outcome.submitted, self.outcome.receipted = len(submitted), len(receipted)
        house = None
        try:
            house = House(self._house)
            before = {leaf.id for leaf in house.reader.leaves()}
            self._lost("receipted and not on the log", receipted - before)
            self._lost("submitted and forgotten", submitted - {row.id for row in house.rows()})
            report = house.verify()
            self._lost("not proven", {finding.sentence for finding in report.failures})
            house.settle()
            after = {leaf.id for leaf in house.reader.leaves()}
            self._lost("submitted and never sealed", submitted - after)
            self._lost("not proven", {finding.sentence for finding in house.verify().failures})
            fsync_directory(house.vault.path)
        except (VaultError, OSError, SQLAlchemyError) as cause:
            self.outcome.losses.append(f"cannot go on: {cause}")
        finally:
            if house is not None:
                house.close()

    def _against_every_receipt(self) -> None:
        """Every receipt that any dock was ever given is a beginning of the log as it is now."""
        house = House(self._house)
        kept = self._told.parent / "receipts"
        kept.mkdir(exist_ok=True)
        paths = []
        for entry_id, receipt in self._lines("R").items():
            path = kept / entry_id
            path.write_bytes(b64decode(receipt))
            paths.append(path)
        report = verify_vault(house.vault.path, house.vault.verifier, against=paths)
        self._lost("receipt of another log", {finding.sentence for finding in report.failures})
        house.close()

    def _lost(self, what: str, which: set[str]) -> None:
        self.outcome.losses += [f"{what}: {one}" for one in sorted(which)]

    def _lines(self, kind: str) -> dict[str, str]:
        """What was told, by id; a line that the kill cut short was told to nobody."""
        words = [
            line.split() for line in self._told.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
        return {word[1]: word[-1] for word in words if word[0] == kind}
