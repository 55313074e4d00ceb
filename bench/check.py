"""The gate: runs benches and compares their ratios with nine tenths of those in bench/kept.json.

python -m bench.check [seal log read verify ...] [--dir DIR] [--keep] [--json DIR]

Only ratios from one run are compared: they mean the same on a busy day. `--keep` writes what was found as the figures
to hold, which is done on a quiet machine and looked at before it is committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.figure import KEPT, TOLERANCE, Sheet, arguments

BENCHES = ("seal", "log", "read", "verify")


def run(bench: str, directory: Path | None, place: Path) -> Sheet:
    """Run one bench in a process of its own; a goal it misses is its own affair, a crash ends the gate."""
    told = place / f"{bench}.json"
    where = ["--dir", str(directory)] if directory else []
    done = subprocess.run([sys.executable, "-m", f"bench.{bench}", "--json", told, *where], check=False)
    if not told.exists():
        sys.exit(f"bench.{bench} ended with {done.returncode} and no figures")
    return Sheet.read(told)


def worse(sheet: Sheet, kept: dict[str, float]) -> list[str]:
    """A line for every ratio that is worse than the kept one allows, or is gone."""
    found = {figure.name: figure for figure in sheet.figures if figure.gated}
    lines = [f"{sheet.bench}: '{name}' is not measured any more" for name in kept if name not in found]
    for name, figure in found.items():
        if name in kept and figure.worse_than(kept[name]):
            lines.append(f"{sheet.bench}: {name} is {figure.value:.2f}, kept is {kept[name]:.2f}")
    return lines


def gated(sheet: Sheet) -> dict[str, float]:
    """What is kept of a sheet."""
    return {figure.name: round(figure.value, 3) for figure in sheet.figures if figure.gated}


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("benches", nargs="*", default=BENCHES)
    parser.add_argument("--keep", action="store_true", help="write the ratios found to bench/kept.json")
    options = parser.parse_args()
    kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    lines = list[str]()
    with tempfile.TemporaryDirectory() as name:
        place = options.json or Path(name)
        place.mkdir(parents=True, exist_ok=True)
        for bench in options.benches:
            print(f"== {bench}", flush=True)
            sheet = run(bench, options.dir, place)
            lines += worse(sheet, kept.get(bench, {}))
            if options.keep:
                kept[bench] = gated(sheet)
    if options.keep:
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        return 0
    for line in lines:
        print(f"WORSE {line}")
    print(f"the gate {'is shut' if lines else 'holds'}: ratios at {TOLERANCE:.0%} of {KEPT.name}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
