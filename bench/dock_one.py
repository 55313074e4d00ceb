"""One recorder on the dock, beside `dd` from the same medium in the same run.

python -m bench.dock_one [--rates 40,120] [--seconds 8] [--dir DIR] [--json FILE]

The medium is a FUSE mount with one head at a steady rate (bench.dock_medium): 40 MB/s is a card behind USB 2, 120 MB/s
a good one behind USB 3. Both readers are timed by the medium, from the first byte asked for to the last byte given. The
way from the plug to "safe to remove" is told beside it: recognising, the last read-back and the receipts included.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.dock_medium import Head, mounted, read_alone
from bench.dock_rig import MEGABYTE, Rig, fill, in_memory, running
from bench.figure import Sheet, arguments, finish
from ingest.status import TileState

FILES = 6  # a shift's parts
DD_SHARE = 0.95  # issue 4


@dataclass(frozen=True)
class Measured:
    """One rate: seconds of the medium in use by dd and by the dock, and from the plug to sealed."""

    rate: int
    alone_s: float
    dock_s: float
    whole_s: float
    size_bytes: int


def measure(rig: Rig, cards: Path, number: int, rate: int, seconds: float) -> Measured:
    """First dd, then the dock, on the same card."""
    size = int(rate * MEGABYTE * seconds / FILES)
    fill(cards / "root" / "card", number, [size] * FILES)
    head = Head(rate * MEGABYTE)
    with mounted(cards / "root", cards / "seen", {"card": head}):
        read_alone(cards / "seen" / "card")
        alone_s, taken = head.seconds, head.taken
        head.again()
        plugged_at = rig.plug(number, cards / "seen" / "card")
        rig.wait([number], TileState.SEALED)
        whole_s = time.monotonic() - plugged_at
        assert head.taken >= taken == size * FILES, (head.taken, taken)
        rig.pull(number)
        rig.wait([number], TileState.EMPTY)
    return Measured(rate, alone_s, head.seconds, whole_s, taken)


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--rates", default="40,120", help="of the medium, MB/s")
    parser.add_argument("--seconds", type=float, default=8.0, help="that dd takes for a card")
    options = parser.parse_args()
    rates = [int(rate) for rate in options.rates.split(",")]
    sheet = Sheet("dock_one")
    with running(options.dir, len(rates)) as rig:
        for number, rate in enumerate(rates, 1):
            with in_memory(None) as cards:
                add(sheet, measure(rig, cards, number, rate, options.seconds))
        rig.verify(FILES * len(rates))
    return finish(sheet, options.json)


def add(sheet: Sheet, one: Measured) -> None:
    """The figures of one rate."""
    name = f"{one.rate} MB/s"
    sheet.add(f"{name}: dd alone", one.size_bytes / one.alone_s / MEGABYTE, "MB/s")
    sheet.add(f"{name}: the dock", one.size_bytes / one.dock_s / MEGABYTE, "MB/s")
    sheet.add(f"{name}: dock : dd", one.alone_s / one.dock_s, "x", at_least=DD_SHARE, gated=True)
    sheet.add(f"{name}: plug to safe to remove : dd", one.alone_s / one.whole_s, "x")


if __name__ == "__main__":
    raise SystemExit(main())
