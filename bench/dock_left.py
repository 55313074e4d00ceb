"""Whether the time left that is shown is the time that it takes: ten recorders of ten kinds on one dock.

python -m bench.dock_left [--seconds 35] [--dir DIR] [--json FILE]

The cards are slow media (bench.dock_medium): steady and unsteady ones, few long films and hundreds of photographs, slow
to find a file and quick, and one that falls to two thirds of its rate half-way. All are plugged in at once. Looked at
five times a second from ten seconds after a bay began to copy until four before it is safe: a look is true when it is
within a fifth of what it then took, or within the second that the tile rounds to; a session is true when nine looks of
ten are. A look at which nothing was said is not true.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.dock_medium import Head, mounted
from bench.dock_rig import MEGABYTE, Rig, fill, in_memory, running, wait_for
from bench.figure import Sheet, arguments, finish
from ingest.status import BayStatus, TileState

AFTER_S, BEFORE_END_S = 10.0, 4.0
WITHIN, ROUNDING_S, LOOKS_TRUE = 0.2, 1.0, 0.9
SESSIONS_TRUE = 0.9  # issue 4
LOOK_EVERY_S = 0.2
COPYING = frozenset({TileState.COPYING, TileState.HANDED_IN})


@dataclass(frozen=True)
class Kind:
    """One kind of card: its rate in MB/s, how its footage is cut, and what its head is like."""

    name: str
    rate: float
    photographs: int = 0
    films: int = 1
    open_s: float = 0.002
    unsteady: float = 0.0
    tires: bool = False


KINDS = (
    Kind("films", 6.0, films=4),
    Kind("one film", 4.0),
    Kind("films, unsteady", 5.0, films=6, unsteady=0.5),
    Kind("photographs", 2.0, photographs=250, films=0),
    Kind("photographs, slow to find", 3.0, photographs=200, films=0, open_s=0.03),
    Kind("photographs and a film", 4.0, photographs=150),
    Kind("photographs and films, unsteady", 3.0, photographs=80, films=3, unsteady=0.5),
    Kind("few photographs, films", 8.0, photographs=12, films=2),
    Kind("many short films", 3.0, films=40, open_s=0.01),
    Kind("a card that tires", 4.0, films=5, tires=True),
)


@dataclass
class Session:
    """What was seen of one bay."""

    kind: Kind
    began_at: float = 0.0
    ended_at: float = 0.0
    looks: list[tuple[float, int | None]] = field(default_factory=list)

    def look(self, bay: BayStatus, now: float) -> None:
        """Once."""
        if bay.state in COPYING:
            self.began_at = self.began_at or now
            self.looks.append((now, bay.seconds_left))
        elif bay.state is TileState.SEALED:
            self.ended_at = self.ended_at or now

    @property
    def share(self) -> float:
        """How many of the looks that count were true."""
        last = self.ended_at - BEFORE_END_S
        judged = [
            (self.ended_at - at, said) for at, said in self.looks if self.began_at + AFTER_S <= at <= last
        ]
        assert len(judged) >= 10, f"{self.kind.name}: too short to be judged"
        true = sum(
            said is not None and abs(said - left) <= WITHIN * left + ROUNDING_S for left, said in judged
        )
        return true / len(judged)


def sizes(kind: Kind, seconds: float, chance: random.Random) -> list[int]:
    """Files that such a card needs so many seconds for, of unlike sizes."""
    small = [chance.randrange(2_000, 40_000) for _ in range(kind.photographs)]
    busy_s = (kind.photographs + kind.films) * kind.open_s
    left = max(0.0, (seconds - busy_s) * kind.rate * MEGABYTE - sum(small))
    if not kind.films:
        return [size + int(left / len(small)) for size in small]
    parts = [chance.uniform(0.5, 1.5) for _ in range(kind.films)]
    return small + [int(left * part / sum(parts)) for part in parts]


def watch(rig: Rig, heads: list[Head], seconds: float) -> list[Session]:
    """Look at all bays until all are safe."""
    seen = [Session(kind) for kind in KINDS]
    next_at = 0.0

    def over() -> bool:
        nonlocal next_at
        now = time.monotonic()
        if now < next_at:
            return False
        next_at = now + LOOK_EVERY_S
        bays = rig.bays()
        for number, one in enumerate(seen, 1):
            one.look(bays[number], now)
            if one.kind.tires and one.began_at and now - one.began_at > seconds / 2:
                heads[number - 1].rate = one.kind.rate * MEGABYTE * 2 / 3
        return all(one.ended_at for one in seen)

    wait_for(over, "not all were sealed", seconds * 4)
    return seen


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=35.0, help="that each card takes, about")
    options = parser.parse_args()
    chance, sheet = random.Random(20261124), Sheet("dock_left")  # noqa: S311  the same cards every time
    heads = [Head(kind.rate * MEGABYTE, kind.open_s, kind.unsteady) for kind in KINDS]
    with running(options.dir, len(KINDS)) as rig, in_memory(None) as place:
        cut = [sizes(kind, options.seconds, chance) for kind in KINDS]
        for number, files in enumerate(cut, 1):
            fill(place / "root" / f"card-{number}", number, files)
        seen_heads = {f"card-{number}": head for number, head in enumerate(heads, 1)}
        with mounted(place / "root", place / "seen", seen_heads):
            for number in range(1, len(KINDS) + 1):
                rig.plug(number, Path(place / "seen" / f"card-{number}"))
            seen = watch(rig, heads, options.seconds)
        rig.verify(sum(map(len, cut)))
    for one in seen:
        took_s = one.ended_at - one.began_at
        sheet.add(f"{one.kind.name}: true looks", one.share, f"of {took_s:.0f} s")
    true = sum(one.share >= LOOKS_TRUE for one in seen) / len(seen)
    sheet.add("sessions whose time left was true", true, "x", at_least=SESSIONS_TRUE)
    return finish(sheet, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
