"""After a fault: what the tile says, and that nothing is lost and nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from vm.place import CHECKOUT
from vm.station import Kept, Station

ENDED = ("sealed", "partial", "fault", "unknown")
PROVEN = (0, 3)  # all holds; with 3 nobody named the key of the log, which is no secret here
VERIFIED_WITHIN_S = 120


def ended(station: Station, bay: int, within_s: float = 150) -> dict[str, Any]:
    """The bay's tile once its session has ended, however that was."""
    return station.until_state(bay, *ENDED, within_s=within_s)


def said(tile: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """State, the code of the sentence, and what a person must do."""
    return tile["state"], tile.get("message", {}).get("code"), tile.get("needs")


def proven(station: Station, whole: Iterable[bytes], more: int = 0) -> Kept:
    """`sealdock vault verify` finds no failure, and the recordings are `whole`, each once, beside `more` others."""
    kept = station.take_out()
    assert kept.report.failures == []
    out = station.machine.plan.hand / "out"
    argv = ["vault", "verify", str(out / "vault"), "--keys", str(out / "recovery.key"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "sealdock", *argv], capture_output=True, text=True, check=False, cwd=CHECKOUT,
        timeout=VERIFIED_WITHIN_S,
    )  # fmt: skip
    assert done.returncode in PROVEN, done.stdout + done.stderr
    assert json.loads(done.stdout)["failures"] == []
    wanted = Counter(whole)
    assert wanted - kept.contents == Counter()  # nothing lost
    assert (kept.contents - wanted).total() == more  # nothing twice
    return kept
