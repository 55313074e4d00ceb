"""From the plug to the first byte: how long a recorder is in its bay before its card is read.

python -m bench.dock_start [--plugs 10] [--files 50] [--dir DIR] [--json FILE]

A quiet dock, one recorder after another, each in a bay of its own; its card is a medium that is as fast as it goes
(bench.dock_medium), which knows when its first byte was asked for. The control file stands for the kernel's
enumeration; that it is looked for every 0.2 s is in the figure, where libudev's event comes by itself. A card with
thousands of files is told beside it: everything on it is listed before anything is read, here through FUSE.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from bench.dock_medium import Head, mounted
from bench.dock_rig import Rig, fill, in_memory, running, wait_for
from bench.figure import Sheet, arguments, finish
from ingest.status import TileState

FIRST_BYTE_S = 1.0  # issue 4
SMALL = 4096
MANY = 2000


def first_byte(rig: Rig, root: Path, number: int, files: int) -> float:
    """Seconds from the plug to the first byte of a card with so many files."""
    fill(root / "root" / "card", number, [SMALL] * files)
    head = Head()
    with mounted(root / "root", root / "seen", {"card": head}):
        plugged_at = rig.plug(number, root / "seen" / "card")
        wait_for(lambda: head.first_at > 0, "nothing was read", 120)
        if files < MANY:
            rig.wait([number], TileState.SEALED)
            rig.pull(number)
            rig.wait([number], TileState.EMPTY)
    return head.first_at - plugged_at


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--plugs", type=int, default=10)
    parser.add_argument("--files", type=int, default=50, help="on each card")
    options = parser.parse_args()
    sheet, found = Sheet("dock_start"), list[float]()
    with running(options.dir, options.plugs + 1) as rig:
        for number in range(1, options.plugs + 1):
            with in_memory(None) as place:
                found.append(first_byte(rig, place, number, options.files))
        with in_memory(None) as place:
            many_s = first_byte(rig, place, options.plugs + 1, MANY)
    sheet.add("plug to first byte, median", statistics.median(found), "s", at_most=FIRST_BYTE_S)
    sheet.add("plug to first byte, longest", max(found), "s", at_most=FIRST_BYTE_S)
    sheet.add(f"the same, {MANY} files on the card", many_s, "s")
    return finish(sheet, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
