"""The cost of the millionth recording beside that of the thousandth: all through the log, database and all.

python -m bench.million [--small 1000] [--large 1000000] [--looks 300] [--dir DIR] [--json FILE]

Two stations side by side, one with a thousand recordings, one with a million. Then they take turns: a small recording
each, by the whole real way (sealed, durable, submitted, read back, logged, signed, entered in the database, with its
receipt), so that whatever else the machine does falls on both alike.

The filling before is honest about what it makes and shorter in how: the entries go on the log by the log's own writer
with key slots; every recording has its own file in objects/ of the right length, and all its rows; but the bytes are
random, no file is fsynced for itself, and stored receipts are noise of a receipt's length. It takes some minutes and
about 6 GB, so this bench runs only when it is named.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert
from ulid import ULID

import core.log
from bench.figure import Cost, Sheet, Spent, arguments, finish
from bench.log import parse_count
from bench.station import Station, writing
from core.clock import stamp, utc_now
from core.digest import sha256_hex
from vault.formats.entry import Leaf, ObjectCommitment
from vault.formats.pack import Private
from vault.formats.payload import sealed_size
from vault.log import index
from vault.log.index import ReceiptRow
from vault.log.ledger import LogReader
from vault.log.outbox import OutboxRow, RowState
from vault.log.writer import BATCH_LIMIT

SMALL_OBJECT = 1000  # bytes of plaintext
_SLOT = bytes(range(184))
_RECEIPT = 1800  # bytes of a receipt with this entry
_ROWS_AT_ONCE = 64 * BATCH_LIMIT


def recordings(count: int, bucket: str) -> Iterator[Leaf]:
    """Ingest entries in the order of time."""
    slot, stored_size, start = sha256_hex(_SLOT), sealed_size(SMALL_OBJECT), time.time() - count
    for place in range(count):
        digest = sha256_hex(b"%d" % place)
        sealed = ObjectCommitment(digest, SMALL_OBJECT, digest, stored_size, bucket, slot)
        yield Leaf(
            id=str(ULID.from_timestamp(start + place)), type="ingest", time=stamp(utc_now()), by="dockd",
            facts={"origin": "dock"}, object=sealed,
        )  # fmt: skip


def prefill(station: Station, count: int) -> None:
    """As the docstring says; the database knows every entry afterwards."""
    private, waiting = Private(object_slot=_SLOT), list[tuple[int, Leaf]]()
    _enter(station, list(enumerate(LogReader(station.vault).leaves())))
    with writing(station) as writer:
        leaves = recordings(count, station.bucket)
        while batch := [leaf for _, leaf in zip(range(BATCH_LIMIT), leaves, strict=False)]:
            done = writer.append([(leaf, private) for leaf in batch])
            for leaf in batch:
                _object(station, leaf)
            waiting += enumerate(batch, done.start)
            if len(waiting) >= _ROWS_AT_ONCE:
                _enter(station, waiting)
                waiting = []
    _enter(station, waiting)


def _object(station: Station, leaf: Leaf) -> None:
    path = station.vault.object_path(leaf.id)
    try:
        path.write_bytes(os.urandom(sealed_size(SMALL_OBJECT)))
    except FileNotFoundError:
        path.parent.mkdir()
        path.write_bytes(os.urandom(sealed_size(SMALL_OBJECT)))


def _enter(station: Station, entries: list[tuple[int, Leaf]]) -> None:
    if not entries:
        return
    ingests = [(place, leaf) for place, leaf in entries if leaf.object is not None]
    made_at = utc_now()
    rows = [
        {
            "id": leaf.id, "type": leaf.type, "note": leaf.canonical().decode(), "state": RowState.SEQUENCED,
            "entry_index": place, "made_at": made_at, "sequenced_at": made_at,
        }
        for place, leaf in ingests
    ]  # fmt: skip
    with station.db.writing() as session:
        index.insert(session, entries)
        if ingests:
            session.execute(insert(OutboxRow), rows)
            session.execute(
                insert(ReceiptRow),
                [{"entry_id": leaf.id, "text": os.urandom(_RECEIPT)} for _, leaf in ingests],
            )


def ingest(station: Station, source: Path) -> Cost:
    """One recording, from its first byte to the row that has its receipt."""
    with Spent() as spent:
        deposit = station.deposit(source)
        station.submit(deposit, source.name)
        station.sequence()
    return spent.cost


def compare(small: Station, large: Station, looks: int, work: Path, sheet: Sheet) -> None:
    source = work / "small.bin"
    source.write_bytes(os.urandom(SMALL_OBJECT))
    costs: dict[Station, list[Cost]] = {small: [], large: []}
    for turn in range(looks):
        for station in (small, large) if turn % 2 else (large, small):
            costs[station].append(ingest(station, source))
    cpu = {station: _middle([one.cpu_s for one in found]) * 1000 for station, found in costs.items()}
    wall = {station: _middle([one.wall_s for one in found]) * 1000 for station, found in costs.items()}
    sheet.add("one ingest on the small station, CPU", cpu[small], "ms")
    sheet.add("one ingest on the large station, CPU", cpu[large], "ms")
    sheet.add("large : small, CPU", cpu[large] / cpu[small], "x", at_most=1.1, gated=True)
    sheet.add("one ingest on the small station, by the clock", wall[small], "ms")
    sheet.add("one ingest on the large station, by the clock", wall[large], "ms")
    sheet.add("large : small, by the clock", wall[large] / wall[small], "x", at_most=1.1, gated=True)


def _middle(values: list[float]) -> float:
    """Mean of the middle half: CPU time comes in steps too coarse for a median alone."""
    kept = sorted(values)[len(values) // 4 : -(len(values) // 4) or None]
    return statistics.fmean(kept)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--small", type=parse_count, default=1000)
    parser.add_argument("--large", type=parse_count, default=10**6)
    parser.add_argument("--looks", type=int, default=300)
    options = parser.parse_args()
    core.log.configure("bench")
    sheet = Sheet("million")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        work = Path(name)
        small, large = Station(work / "small"), Station(work / "large")
        for station, count in ((small, options.small), (large, options.large)):
            with Spent() as spent:
                prefill(station, count)
            sheet.add(f"{count:,} recordings prepared", spent.cost.wall_s, "s")
        os.sync()
        for station in (small, large):
            with Spent() as spent:
                station.vaultd.start()
            sheet.add("vaultd's start on it", spent.cost.wall_s, "s")
        compare(small, large, 20, work, Sheet("warming up"))
        compare(small, large, options.looks, work, sheet)
        for station in (small, large):
            station.close()
        shutil.rmtree(work / "large")
    return finish(sheet, options.json)


if __name__ == "__main__":
    sys.exit(main())
