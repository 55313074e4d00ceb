"""The log: commits, batches, proofs in a big tree, and vaultd's start.

python -m bench.log [--entries 1M] [--tree 10M] [--dir DIR] [--json FILE]

Everything is written by the log's own writer with every fsync. Only the ten-million-entry tree is built in a shorter
way: all of its tiles are real files over real hashes and its head is signed, but of its entries only those bundles
exist that are asked for.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import tempfile
import time
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import core.log
from bench.figure import Sheet, Spent, arguments, finish
from bench.station import Station, fill, views, writing
from core.clock import new_id, stamp, utc_now
from core.durable import replace
from vault.formats.checkpoint import Checkpoint
from vault.formats.entry import Leaf, pack_bundle
from vault.formats.merkle import TILE_WIDTH, Frontier, Tile, bundle_path, leaf_hash, root_of
from vault.formats.pack import Private
from vault.formats.proof import Receipt
from vault.log import kept
from vault.log.ledger import LogReader
from vault.log.writer import BATCH_LIMIT
from vault.store.keys import seal_body
from vault.store.objects import Vault

SINGLES = 400
BATCHES = 80
PROBES = 300
SUBMITTERS = 2
MIB = 2**20
_UNITS = {"k": 1000, "M": 10**6}


def commit_one(station: Station, sheet: Sheet) -> None:
    """One entry, everything durable and signed."""
    took, bare = [], []
    with writing(station) as writer:
        for leaf in views(SINGLES):
            start = time.perf_counter()
            writer.append([(leaf, Private())])
            took.append((time.perf_counter() - start) * 1000)
            start = time.perf_counter()
            replace(station.keys.parent / "bare", leaf.canonical())
            bare.append((time.perf_counter() - start) * 1000)
    sheet.add("commit of one entry with fsync, median", statistics.median(took), "ms", at_most=5)
    sheet.add("commit of one entry with fsync, p95", statistics.quantiles(took, n=20)[-1], "ms")
    sheet.add("one small file replaced durably, median", statistics.median(bare), "ms")
    sheet.add(
        "commit : such a file", statistics.median(took) / statistics.median(bare), "x", at_most=6, gated=True
    )


def commit_batches(station: Station, sheet: Sheet) -> None:
    """Full batches: entries without bodies, then with bodies, whose encryption is counted in.

    Who submits a body encrypts it: in the house these are dockd and the console, beside vaultd, and so they are here.
    """
    leaves = list(views(BATCHES * BATCH_LIMIT))
    with writing(station) as writer, Spent() as spent:
        for start in range(0, len(leaves), BATCH_LIMIT):
            writer.append([(leaf, Private()) for leaf in leaves[start : start + BATCH_LIMIT]])
    sheet.add("batched entries without bodies", len(leaves) / spent.cost.wall_s, "entries/s", at_least=20_000)
    sheet.add(
        "batched entries without bodies, CPU", spent.cost.cpu_s / len(leaves) * 1e6, "us/entry", at_most=50
    )
    batches = BATCHES // 2
    with writing(station) as writer, Spent() as spent:
        for _ in range(batches // 4):
            writer.append(_batch_with_bodies(station))
    alone = batches // 4 * BATCH_LIMIT / spent.cost.wall_s
    fork = get_context("fork")
    with fork.Pool(SUBMITTERS, _remember, (station,)) as submitters, writing(station) as writer:
        submitters.map(_batch_of, range(SUBMITTERS))  # they have started
        with Spent() as spent:
            for batch in submitters.imap(_batch_of, range(batches)):
                writer.append(batch)
    rate = batches * BATCH_LIMIT / spent.cost.wall_s
    sheet.add("batched entries with bodies, sealed by two submitters", rate, "entries/s", at_least=5_000)
    sheet.add("the same, sealed by the writer's own thread", alone, "entries/s")


_submitting: list[Station] = []  # in a submitter's process: the station whose bodies it seals


def _remember(station: Station) -> None:
    _submitting.append(station)


def _batch_of(_: int) -> list[tuple[Leaf, Private]]:
    return _batch_with_bodies(_submitting[0])


def _batch_with_bodies(station: Station) -> list[tuple[Leaf, Private]]:
    return [_with_body(station, place) for place in range(BATCH_LIMIT)]


def read_entries(station: Station, sheet: Sheet) -> None:
    """One entry from its bytes, every rule of its shape checked; json.loads beside it checks nothing."""
    raws = [_with_body(station, place)[0].canonical() for place in range(1000)]
    for name, read in (
        ("reading an entry, all checks", Leaf.parse),
        ("the same bytes by json.loads", json.loads),
    ):
        looks = []
        for _ in range(7):
            start = time.thread_time()
            for raw in raws:
                read(raw)
            looks.append((time.thread_time() - start) / len(raws) * 1e6)
        sheet.add(name, min(looks), "us", at_most=12 if read == Leaf.parse else None)


def _with_body(station: Station, place: int) -> tuple[Leaf, Private]:
    salted = {"salt": "0" * 64, "fields": {"title": f"案件 {place}", "officer": "a name"}}
    commitment, stored, slot = seal_body(station.vault, salted, "facts")
    leaf = Leaf(id=new_id(), type="case", time=stamp(utc_now()), by="console", body=commitment)
    return leaf, Private(stored, slot)


def long_log(station: Station, entries: int, sheet: Sheet) -> None:
    """A log of `entries`, what that does to memory, and how long vaultd takes to start on it."""
    early = 0

    def told(size: int) -> None:
        nonlocal early
        if not early and size > entries // 10:
            early = _resident()

    with Spent() as spent:
        fill(station, views(entries - LogReader(station.vault).size), told)
    sheet.add(f"{entries:,} entries made and written", spent.cost.wall_s, "s")
    sheet.add("memory grown over the last nine tenths", (_resident() - early) / MIB, "MiB", at_most=16)
    signer = station.key("vaultd")
    reader = LogReader(station.vault)
    with Spent() as spent:
        lookup, _ = kept.restore(reader, signer.verifier)
    skimmed = spent.cost.wall_s
    sheet.add("lookup skimmed from the whole log", skimmed, "s")
    with Spent() as spent:
        kept.keep(reader, lookup, signer)
    sheet.add("lookup written and signed, at vaultd's stop", spent.cost.wall_s, "s")
    with Spent() as spent:
        kept.restore(reader, signer.verifier)
    sheet.add("lookup from the kept copy, checked", spent.cost.wall_s, "s", at_most=2)
    sheet.add("skimmed : kept", skimmed / spent.cost.wall_s, "x", gated=True)
    _start(station, "vaultd's first start, all rows entered in the database", sheet)
    _start(station, "vaultd's start, database up to date", sheet)


def _start(station: Station, name: str, sheet: Sheet) -> None:
    vaultd = station.sequencer()
    with Spent() as spent:
        vaultd.start()
    vaultd.close()
    sheet.add(name, spent.cost.wall_s, "s")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def build_tree(station: Station, size: int, probes: list[int]) -> None:
    """Replace the log by one of `size` entries: every tile, the bundles of `probes`, and a signed head."""
    log = station.vault.log_path
    wanted = {probe // TILE_WIDTH for probe in probes}
    levels: list[list[bytes]] = [[]]
    for number in range(-(-size // TILE_WIDTH)):
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        hashes = _bundle(log, number, width) if number in wanted else _hashes(number, width)
        _put(log / Tile(0, number, hashes).path, b"".join(hashes))
        levels[0] += [root_of(hashes)] if width == TILE_WIDTH else []
    edge = [hashes if width < TILE_WIDTH else ()]
    while levels[-1]:
        edge.append(_level(log, len(levels), levels))
    checkpoint = Checkpoint(station.vault.origin, size, Frontier(size, edge).root())
    _put(log / "checkpoint", checkpoint.signed(station.key("log")))


def _level(log: Path, level: int, levels: list[list[bytes]]) -> tuple[bytes, ...]:
    """Write the tiles over the last level's roots; gives the hashes of the unfinished one."""
    below, roots = levels[-1], list[bytes]()
    for number in range(-(-len(below) // TILE_WIDTH)):
        hashes = tuple(below[number * TILE_WIDTH : (number + 1) * TILE_WIDTH])
        _put(log / Tile(level, number, hashes).path, b"".join(hashes))
        roots += [root_of(hashes)] if len(hashes) == TILE_WIDTH else []
    levels.append(roots)
    rest = len(below) % TILE_WIDTH
    return tuple(below[len(below) - rest :])


def _hashes(number: int, width: int) -> tuple[bytes, ...]:
    return tuple(sha256(b"\0%d/%d" % (number, place)).digest() for place in range(width))


def _bundle(log: Path, number: int, width: int) -> tuple[bytes, ...]:
    raws = [leaf.canonical() for leaf in views(width)]
    _put(log / bundle_path(number, width), pack_bundle(raws))
    return tuple(map(leaf_hash, raws))


def _put(path: Path, content: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.write_bytes(content)


def prove(vault: Vault, probes: list[int], sheet: Sheet) -> None:
    """Receipts of entries here and there, each from files as a fresh reader finds them, each checked."""
    took, sizes = [], []
    for probe in probes:
        start = time.perf_counter()
        receipt = LogReader(vault).proof(probe)
        took.append((time.perf_counter() - start) * 1000)
        sizes.append(len(receipt))
        Receipt.parse(receipt).verify(vault.verifier)
    sheet.add("inclusion proof, median", statistics.median(took), "ms", at_most=5)
    sheet.add("inclusion proof, p95", statistics.quantiles(took, n=20)[-1], "ms")
    sheet.add("receipt with entry and head, longest", max(sizes), "bytes", at_most=4096)


def parse_count(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=parse_count, default=parse_count("1M"))
    parser.add_argument("--tree", type=parse_count, default=parse_count("10M"))
    options = parser.parse_args()
    core.log.configure("bench")
    sheet = Sheet("log")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        station = Station(Path(name) / "station")
        commit_one(station, sheet)
        commit_batches(station, sheet)
        read_entries(station, sheet)
        long_log(station, options.entries, sheet)
        station.close()
        tree = Station(Path(name) / "tree")
        tree.close()
        probes = random.Random(3).sample(range(options.tree), PROBES)  # noqa: S311  # the same places each time
        with Spent() as spent:
            build_tree(tree, options.tree, probes)
        sheet.add(f"tree of {options.tree:,} entries built", spent.cost.wall_s, "s")
        prove(tree.vault, probes, sheet)
    return finish(sheet, options.json)


if __name__ == "__main__":
    sys.exit(main())
