"""Eight recorders at once beside the vault alone; a ninth with a flagged file; what dockd needs of memory.

python -m bench.dock_eight [--megabytes 256] [--rounds 2] [--dir DIR] [--json FILE]

Round after round, first the vault's limit: eight threads of this process seal the same bytes from the page cache and
submit them, and vaultd puts them on the log; then eight recorders whose cards lie in the page cache, so that only the
vault can be the limit. The best round of each counts. At the moment at which the first bay has read everything, no
bay may have less than half of its share.

Then eight recorders on media of 30 MB/s with an hour to go, and a ninth whose file its officer flagged: the time from
its plug to the first byte that is asked of its card. Memory is what is dockd's own (PSS, sampled) and the kernel's
high-water mark of its resident set, over all rounds.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from bench.dock_medium import Head, mounted
from bench.dock_rig import MEGABYTE, Rig, fill, in_memory, running, wait_for
from bench.figure import Sheet, arguments, finish
from core.clock import utc_now
from ingest.status import BayStatus, TileState
from vault.log.index import wait_sequenced
from vault.log.submission import Draft
from vault.store.deposit import Depositor
from vault.store.keys import bucket_for, ensure_bucket
from vault.store.medium import Buffers

BAYS = 8
FILES = 4  # on each card
SLOW = 30 * MEGABYTE
POOL = 64 * 2**20  # as dockd has it
SAMPLE_S = 0.5  # the kernel adds PSS up page by page: looked at too often, that is what the bench measures
LIMIT_SHARE, FAIR_SHARE, FLAGGED_S = 0.9, 0.5, 2.0  # issue 4
BASE_MIB, BAY_MIB = 220, 4  # issue 4
READING = frozenset({TileState.RECOGNISING, TileState.HANDED_IN, TileState.COPYING})


@dataclass
class Watch:
    """What is seen of dockd and its bays while they work."""

    rig: Rig
    pss: int = 0
    fewest: float = 1.0  # the least share that a bay had of what it should have had
    _is_judged: bool = False
    _next_at: float = field(default=0.0)

    def look(self) -> None:
        """Once; cheap enough to be done fifty times a second."""
        now = time.monotonic()
        if now >= self._next_at:
            self._next_at = now + SAMPLE_S
            self.pss = max(self.pss, self.rig.process("dockd").memory_full_info().pss)

    def judge(self, bays: list[BayStatus]) -> None:
        """When the first bay has read its last file: what the others have by then, of what is fair."""
        done = [bay.bytes_done for bay in bays]
        if self._is_judged or not any(bay.bytes_total and bay.bytes_done >= bay.bytes_total for bay in bays):
            return
        self._is_judged = True
        self.fewest = min(done) / (sum(done) / len(done))


def limit(rig: Rig, cards: list[Path]) -> float:
    """The vault alone, bytes a second: sealed by eight threads, sequenced, read back, on the log."""
    bucket = bucket_for(utc_now())
    ensure_bucket(rig.station.vault, bucket)
    depositor, submitter = Depositor(rig.station.vault, Buffers(POOL)), rig.station.submitter("dockd")

    def seal(card: Path) -> str:
        last = ""
        for path in sorted(card.rglob("*.mp4")):
            with path.open("rb", buffering=0) as file:
                deposit = depositor.deposit(file, bucket, expected_size=path.stat().st_size)
            facts = {"origin": "hand", "media": "video", "session": deposit.id}
            body = {"name": path.name, "path": path.name, "size": deposit.size, "damaged": False}
            with rig.station.db.writing() as session:
                submitter.submit(session, Draft("ingest", facts=facts, body=body, deposit=deposit))
            submitter.ring()
            last = deposit.id
        return last

    began = time.monotonic()
    with ThreadPoolExecutor(len(cards)) as threads:
        for last in list(threads.map(seal, cards)):
            wait_sequenced(rig.station.db, last, 120)
    return size_of(cards) / (time.monotonic() - began)


def together(rig: Rig, first: int, cards: list[Path], watch: Watch) -> float:
    """Eight bays, bytes a second from the first that is recognised to the last that is safe."""
    numbers = range(first, first + len(cards))
    for number, card in zip(numbers, cards, strict=True):
        rig.plug(number, card)
    wait_for(lambda: any(rig.bays()[n].state in READING for n in numbers), "nothing was recognised", 30)
    began = time.monotonic()

    def look() -> None:
        watch.look()
        watch.judge([rig.bays()[number] for number in numbers])

    rig.wait(numbers, TileState.SEALED, look)
    rate = size_of(cards) / (time.monotonic() - began)
    for number in numbers:
        rig.pull(number)
    rig.wait(numbers, TileState.EMPTY)
    return rate


def ninth(rig: Rig, root: Path, first: int, watch: Watch) -> float:
    """Seconds from plugging a recorder with a flagged file in to the first byte, while eight copy long files."""
    heads = {f"card-{n}": Head(SLOW) for n in range(BAYS)} | {"flagged": Head(SLOW)}
    for n in range(BAYS):
        fill(root / "root" / f"card-{n}", first + n, [6 * SLOW])
    fill(root / "root" / "flagged", first + BAYS, [8 * MEGABYTE], mark="_IMP")
    fill(root / "root" / "flagged" / "long", first + BAYS, [8 * MEGABYTE])
    with mounted(root / "root", root / "seen", heads):
        for n in range(BAYS):
            rig.plug(first + n, root / "seen" / f"card-{n}")
        wait_for(lambda: all(heads[f"card-{n}"].taken > SLOW // 4 for n in range(BAYS)), "no eight copy", 60)
        plugged_at = rig.plug(first + BAYS, root / "seen" / "flagged")
        wait_for(lambda: heads["flagged"].first_at > 0, "the flagged file was not begun", 60)
        busy = sum(0 < heads[f"card-{n}"].taken < 6 * SLOW for n in range(BAYS))
        assert busy == BAYS, f"only {busy} were still copying"
        rig.wait(range(first, first + BAYS + 1), TileState.SEALED, watch.look)
    return heads["flagged"].first_at - plugged_at


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--megabytes", type=int, default=256, help="on each card")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    sheet, limits, docks, files = Sheet("dock_eight"), list[float](), list[float](), 0
    with running(options.dir, BAYS * (options.rounds + 1) + 1) as rig:
        watch = Watch(rig)
        shares = list[float]()
        for turn in range(options.rounds):
            first = 1 + turn * BAYS
            with in_memory(None) as place:
                cards = [place / f"card-{number}" for number in range(first, first + BAYS)]
                for number, card in enumerate(cards, first):
                    fill(card, number, [options.megabytes * MEGABYTE // FILES] * FILES)
                limits.append(limit(rig, cards))
                watch.fewest, watch._is_judged = 1.0, False  # noqa: SLF001
                docks.append(together(rig, first, cards, watch))
                shares.append(watch.fewest)
                files += 2 * BAYS * FILES
        with in_memory(None) as place:
            started_s = ninth(rig, place, 1 + options.rounds * BAYS, watch)
        rig.verify(files + BAYS + 2)
        peak = high_water(rig.process("dockd").pid)
    add(sheet, max(limits), max(docks), shares)
    sheet.add("a flagged file on a ninth recorder, to the first byte", started_s, "s", at_most=FLAGGED_S)
    ceiling = BASE_MIB + BAY_MIB * (BAYS + 1)
    sheet.add("dockd's memory with nine, PSS", watch.pss / 2**20, "MiB", at_most=ceiling)
    sheet.add("dockd's memory with nine, high-water of RSS", peak / 2**20, "MiB", at_most=ceiling)
    return finish(sheet, options.json)


def add(sheet: Sheet, vault: float, dock: float, shares: list[float]) -> None:
    """The figures of eight at once."""
    sheet.add("the vault alone, eight threads", vault / MEGABYTE, "MB/s")
    sheet.add("eight recorders on the dock", dock / MEGABYTE, "MB/s")
    sheet.add("eight : the vault alone", dock / vault, "x", at_least=LIMIT_SHARE, gated=True)
    sheet.add("the bay with the least, of its fair share", min(shares), "x", at_least=FAIR_SHARE)


def size_of(cards: list[Path]) -> int:
    """Bytes of footage."""
    return sum(path.stat().st_size for card in cards for path in card.rglob("*.mp4"))


def high_water(pid: int) -> int:
    """The most that was resident, in bytes, as the kernel has it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


if __name__ == "__main__":
    raise SystemExit(main())
