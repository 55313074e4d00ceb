"""A desk (database and outbox, nothing sealed) and a station (a real vault, vaultd and keyd) to do casework at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from casework.package.build import Package, Packager
from casework.package.door import OriginalDoor
from core.clock import new_id, stamp, utc_now
from core.db import Database
from vault.formats.entry import Leaf, ObjectCommitment
from vault.formats.note import SigningKey
from vault.keyd import KeydClient
from vault.log.ledger import LogReader
from vault.log.outbox import AppliedEntry, Projections, Submitter, pending_ids
from vault.log.submission import Draft
from vault.store.deposit import Depositor
from vault.store.keys import bucket_for, ensure_bucket
from vault.store.medium import Buffers
from vault.store.objects import Vault
from vault.vaultd import Vaultd

SEALED = datetime(2026, 11, 23, 8, tzinfo=UTC)
PASSPHRASE = b"a passphrase for a second"
ZONE = "Asia/Shanghai"
MP4, HEVC, NOTE = b"an H.264 original" * 9000, b"an HEVC original" * 7000, b"not media at all"
PLAYABLE = b"a copy that browsers play" * 3000


@dataclass
class Desk:
    """Where a custodian works: entries wait in the outbox, projections are written."""

    db: Database
    submitter: Submitter
    projections: Projections
    actor: str

    def replayed(self, count: int, **fields: Any) -> list[str]:
        """Recordings as the replay of the log writes them, a second apart."""
        made = [sealed_leaf(place) for place in range(count)]
        with self.db.writing() as session:
            for place, leaf in enumerate(made):
                body = {"name": f"clip_{place}.mp4", "path": "DCIM", "officer_number": "060123", **fields}
                self.projections.apply(session, AppliedEntry(leaf, body, place))
        return [leaf.id for leaf in made]


@dataclass
class Station(Desk):
    """A desk with a vault behind it; `settle` does vaultd's rounds until nothing waits."""

    vault: Vault
    vaultd: Vaultd
    keys: Path
    dock: Submitter
    worker: Submitter
    log: LogReader
    keyd: KeydClient

    def settle(self) -> None:
        while self.vaultd.step() or self._waits():
            pass

    def _waits(self) -> bool:
        with self.db.reading() as session:
            return bool(pending_ids(session))

    def ingest(self, name: str, content: bytes, **fields: Any) -> str:
        """Seal an original as the dock does."""
        bucket = bucket_for(utc_now())
        ensure_bucket(self.vault, bucket)
        deposit = Depositor(self.vault, Buffers()).deposit(BytesIO(content), bucket)
        with self.db.writing() as session:
            return ingest_entry(session, self.dock, name, deposit=deposit, **fields)

    def packager(self, renditions: dict[str, bytes] | None = None) -> Packager:
        def open_rendition(recording_id: str, _grant: int) -> tuple[BytesIO, int, str] | None:
            raw = (renditions or {}).get(recording_id)
            return None if raw is None else (BytesIO(raw), len(raw), sha256(raw).hexdigest())

        return Packager(
            db=self.db, log=self.log, signer=SigningKey.read(self.keys / "console.key"),
            organisation="某县应急管理局", zone=ZONE,
            open_original=OriginalDoor(self.vault, self.keyd), open_rendition=open_rendition,
        )  # fmt: skip


def sealed_leaf(place: int = 0, identity: str | None = None, media: str = "video") -> Leaf:
    """The entry of an original, as far as casework looks at it."""
    return Leaf(
        id=identity or new_id(), type="ingest", time=stamp(SEALED + timedelta(seconds=place)), by="dockd",
        facts={"origin": "dock", "media": media},
        object=ObjectCommitment("0" * 64, 100, "1" * 64, 116, "A-2026-11", "2" * 64),
    )  # fmt: skip


def ingest_entry(session: Session, dock: Submitter, name: str, *, deposit: Any, **fields: Any) -> str:
    body = {
        "name": name, "path": f"DCIM/{name}", "size": deposit.size, "officer_number": "060123",
        "recorder_serial": "X1A0123", "started_at": "2026-11-20T09:15:00", "clock_source": "recorder",
        "bay": 1, "profile": "generic-dcim", "damaged": False, **fields,
    }  # fmt: skip
    media = body.pop("media", "video")
    facts = {"origin": "dock", "media": media, "session": new_id()}
    return dock.submit(session, Draft(type="ingest", facts=facts, body=body, deposit=deposit))


def account(session: Session, submitter: Submitter, name: str) -> str:
    """An account entry as the console makes it."""
    identity = new_id()
    facts = {"event": "created", "account": identity, "roles": ["custodian"]}
    body = {"username": f"user{identity[-4:].lower()}", "name": name}
    submitter.submit(session, Draft(type="account", about=(identity,), facts=facts, body=body))
    return identity


@dataclass
class Disclosed:
    """One case with three recordings, disclosed: what tests about packages share and never change."""

    station: Station
    case_id: str
    recordings: list[str]
    package: Package
    directory: Path

    @property
    def vkey(self) -> str:
        return self.station.vault.verifier.vkey
