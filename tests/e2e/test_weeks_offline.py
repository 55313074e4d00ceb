"""A station without a network for weeks: it takes in, seals and gives receipts as ever, and makes good in one round.

The machine's clock is moved through the weeks; dock, vaultd and anchord are the real ones, in threads of the test.
The authority is stock `openssl ts`, the witness our own server; until the line is back, nobody listens where they
are asked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from emulation.dock import PASSPHRASE, Station
from sqlalchemy import select
from support.authority import Authority as OpensslAuthority
from support.authority import AuthorityServer

from casework.paper.window import Outsiders, first_over, window_of
from core import clock
from core.clock import parse_stamp
from ingest.docking import DockingSession
from ingest.recording import IngestRecording
from ingest.status import TileState
from vault.anchor.anchord import Anchord
from vault.anchor.entry import AnchorEntries
from vault.anchor.gather import Gathered, Gatherer
from vault.anchor.source import Authority, Witness
from vault.anchor.store import AnchorStore
from vault.anchor.witness import Witness as WitnessDesk
from vault.anchor.witness_server import WitnessServer
from vault.audit.verify import Request, verify_vault_as
from vault.formats.cosignature import CosignerSigningKey, Kind
from vault.formats.note import SigningKey
from vault.formats.proof import Receipt
from vault.founding import initialise
from vault.log.index import ReceiptRow, custody, wait_sequenced
from vault.log.ledger import LogReader
from vault.log.outbox import Projections, Submitter

WEEKS = timedelta(days=24)
DOCKED_ON = (0, 9, 16, 23)  # days after the line went down
NOBODY = "http://127.0.0.1:9/"  # the discard port: reserved, and refused at once
HOUR_S = 3600.0


@dataclass
class Calendar:
    """The station's clock, behind the world's by what is left of the weeks."""

    behind: timedelta = WEEKS
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return datetime.now(UTC) - self.behind

    def seconds(self) -> float:
        """A clock that only goes on, for whoever counts pauses."""
        return (self.now() - self.began + WEEKS).total_seconds()

    def day(self, number: int) -> None:
        """Let the day `number` of the weeks come."""
        self.behind = WEEKS - timedelta(days=number)


@pytest.fixture
def calendar() -> Iterator[Calendar]:
    """Every module that tells the time tells this one's."""
    made, real = Calendar(), clock.utc_now
    _tell(real, made.now)
    yield made
    _tell(made.now, real)


def _tell(before: object, after: object) -> None:
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("utc_now") == before:
            module.utc_now = after  # type: ignore[attr-defined]


@pytest.fixture
def station(tmp_path: Path, calendar: Calendar) -> Iterator[Station]:
    """Founded on the first of the days; dock and vaultd at work."""
    root = tmp_path / "station"
    root.mkdir()
    initialise(root / "vault", root / "keys", PASSPHRASE)
    (root / "run").mkdir()
    made = Station.open(root)
    made.db.create_tables()
    made.start_vaultd()
    made.start_dockd()
    yield made
    made.stop()


@dataclass
class Outside:
    """Those who are asked, whether or not anybody can reach them."""

    station: Station
    openssl: OpensslAuthority
    key: CosignerSigningKey
    calendar: Calendar

    def anchord(self, stamper: str, witness: str) -> Anchord:
        """The process, as it is started on a machine from which these addresses are reached."""
        station = self.station
        asked = Gatherer(
            AnchorStore(LogReader(station.vault)), station.root / "alarms",
            [Authority("stamper", stamper, self.openssl.place / "roots.pem")],
            [Witness("peer", witness, self.key.verifier)],
        )  # fmt: skip
        signer = SigningKey.read(station.root / "keys/anchord.key")
        entries = AnchorEntries(
            station.db, Submitter(signer, Projections(), station.root / "run/vaultd.bell")
        )
        return Anchord(asked, entries, HOUR_S, clock=self.calendar.seconds)

    @property
    def believed(self) -> Outsiders:
        return Outsiders({"stamper": self.openssl.roots}, (self.key.verifier.vkey,))


@pytest.fixture
def outside(station: Station, calendar: Calendar, tmp_path: Path) -> Outside:
    key = CosignerSigningKey.generate("witness/peer", next(iter(Kind)))
    return Outside(station, OpensslAuthority(tmp_path / "authority"), key, calendar)


def dock(station: Station, tmp_path: Path, number: int) -> str:
    """A recorder with one file comes, is green, and goes; the id of the recording, once its session is on the log."""
    folder = tmp_path / f"card-{number}"
    (folder / "DCIM").mkdir(parents=True)
    (folder / f"DCIM/X1A0001060123_202611{number + 1:02}081000_0001.mp4").write_bytes(os.urandom(300_000))
    control = station.plug(f"slot-{number}", directory=str(folder))
    tile = station.wait_tile(TileState.SEALED, TileState.FAULT, TileState.PARTIAL)
    assert tile.state is TileState.SEALED, tile
    assert tile.session_id is not None
    wait_sequenced(station.db, tile.session_id, 60.0)
    control.unlink()
    station.wait_tile(TileState.EMPTY)
    with station.db.reading() as session:
        ingested = select(IngestRecording.id).where(IngestRecording.session_id == tile.session_id)
        return session.scalars(ingested).one()


def told(station: Station, recording: str) -> list[tuple[str, str]]:
    """The chain of custody as the log has it: what happened, by whose key."""
    with station.db.reading() as session:
        return [(row.type, row.by) for row in custody(session, recording)]


def test_weeks_without_a_network_end_in_equal_custody(
    station: Station, outside: Outside, calendar: Calendar, tmp_path: Path
) -> None:
    log, recordings = LogReader(station.vault), list[str]()
    anchord = outside.anchord(NOBODY, NOBODY)
    for day in DOCKED_ON:
        calendar.day(day)
        recordings.append(dock(station, tmp_path, day))
        gathered = anchord.step()
        assert gathered is not None
        assert gathered.failed == {"stamper", "peer"}  # asked, and nothing waited for them
    assert _sealed_days(station) == list(DOCKED_ON)
    assert window_of(log, outside.believed).latest is None
    before = {one: (told(station, one), _receipt(station, one)) for one in recordings}

    calendar.day(WEEKS.days)
    gathered = _line_is_back(outside)
    assert gathered.failed == frozenset()
    assert {one.kind for one in gathered.outcomes} == {"timestamp", "cosignature"}
    for recording in recordings:
        covered = first_over(log, outside.believed, wait_sequenced(station.db, recording, 60.0))
        assert covered is not None
        assert covered[0].size == gathered.anchor.size  # one round made good for all the weeks
        assert (told(station, recording), _receipt(station, recording)) == before[recording]

    later = dock(station, tmp_path, WEEKS.days)
    assert {str(told(station, one)) for one in (*recordings, later)} == {str(told(station, later))}
    station.stop()
    believed = outside.believed
    asked = Request(roots=believed.roots, witnesses=believed.witness_vkeys)
    report = verify_vault_as(station.vault.path, station.vault.verifier, asked)
    assert report.ok, report.failures


def _line_is_back(outside: Outside) -> Gathered:
    """The next round of an anchord that was started anew meanwhile: what is missing is told by the files alone."""
    station = outside.station
    desk = WitnessDesk(station.root / "witness", [outside.key], [station.vault.verifier])
    with AuthorityServer(outside.openssl) as stamper, WitnessServer(desk, "127.0.0.1:0") as witness:
        gathered = outside.anchord(stamper.url, f"http://127.0.0.1:{witness.port}").step()
    assert gathered is not None
    return gathered


def _sealed_days(station: Station) -> list[int]:
    """On which of the days the sessions ended, by the station's clock as the log has it."""
    log = LogReader(station.vault)
    ended = [parse_stamp(leaf.time) for leaf in log.leaves(0, log.size) if leaf.type == "session"]
    with station.db.reading() as session:
        began = min(session.scalars(select(DockingSession.attached_at)))
    return [round((at - began) / timedelta(days=1)) for at in ended]


def _receipt(station: Station, recording: str) -> bytes:
    """The recording's receipt, verified now under the log's key."""
    with station.db.reading() as session:
        text = session.get_one(ReceiptRow, recording).text
    assert Receipt.parse(text).verify(station.vault.verifier).id == recording
    return text
