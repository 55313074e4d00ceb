"""Whether the time left that is shown is the time that it takes."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest
from emulation.dock import PORTS, Station

from ingest.status import TileState
from ingest.time_left import TOLD_AFTER_S, TimeLeft

MIB = 1 << 20
AFTER_S = 10.0  # of a session; from then on the time shown is to be within a fifth of the truth
WITHIN = 0.2


def sessions(random: Random) -> list[tuple[list[int], float, float, float]]:
    """Sizes in the order of the plan, bytes a second, seconds for each file, and how unsteady the rate is."""
    made = []
    for _ in range(40):
        rate = random.uniform(2, 60) * MIB
        small = [random.randrange(20_000, 3 * MIB) for _ in range(random.choice([0, 5, 60, 400, 1500]))]
        long = [random.randrange(50 * MIB, 600 * MIB) for _ in range(random.choice([1, 3, 12]))]
        made.append((sorted(small + long), rate, random.uniform(0.005, 0.08), random.choice([0.0, 0.1, 0.3])))
    return made


def played(sizes: list[int], rate: float, each_s: float, unsteady: float, random: Random) -> tuple[int, int]:
    """How often a second's look at the time left was true, and how often there was a look, from 10 s on."""
    left, now, looks = TimeLeft(len(sizes), sum(sizes)), 0.0, list[tuple[float, int | None]]()
    for size in sizes:
        left.begin(now)
        now += each_s / 2
        left.opened(now)
        for start in range(0, size, MIB):
            count = min(MIB, size - start)
            now += count / rate * random.uniform(1 - unsteady, 1 + unsteady)
            left.take(count, now)
            looks.append((now, left.seconds()))
        now += each_s / 2
        left.end(size, now)
    judged = [(now - at, said) for at, said in looks if at > AFTER_S and now - at > 5]
    return sum(said is not None and abs(said - true) <= WITHIN * true + 1 for true, said in judged), len(
        judged
    )


def test_in_nine_sessions_of_ten_the_time_is_true_within_a_fifth_after_ten_seconds() -> None:
    random = Random(20261123)  # noqa: S311  # cards to be simulated, and the same ones every time
    shares = [true / looks for plan in sessions(random) for true, looks in [played(*plan, random)] if looks]
    assert len(shares) > 20
    good = sum(share >= 0.9 for share in shares)
    assert good >= 0.9 * len(shares), sorted(shares)


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    left = TimeLeft(2, 20 * MIB)
    assert left.seconds() is None
    left.begin(0)
    for second in range(1, 9):
        left.take(MIB, second)
        assert (left.seconds() is None) == (second < TOLD_AFTER_S)
    assert left.seconds() == pytest.approx(12, abs=1)


def test_photographs_tell_how_long_the_film_behind_them_takes() -> None:
    random = Random(3)  # noqa: S311
    sizes, now = [20_000] * 60 + [200 * MIB], 0.0
    left = TimeLeft(len(sizes), sum(sizes))
    for size in sizes[:-1]:
        left.begin(now)
        now += random.uniform(0.05, 0.2)  # the log and the disk are what a small file waits for
        left.opened(now)
        now += size / (5 * MIB)
        left.take(size, now)
        now += 0.02
        left.end(size, now)
    assert left.seconds() == pytest.approx(200 / 5, rel=WITHIN)


def test_what_was_passed_over_is_not_waited_for_and_the_end_is_nothing() -> None:
    left = TimeLeft(3, 30 * MIB)
    left.begin(0)
    for second in range(1, 11):
        left.take(MIB, second)
    left.end(10 * MIB, 10)
    left.begin(10)
    left.end(10 * MIB, 10)  # unreadable: nothing of it was read
    assert left.seconds() == pytest.approx(10, abs=1)
    left.plan(0, 0)
    assert left.seconds() == 0


def test_a_hub_that_fills_up_shows_within_a_minute() -> None:
    left = TimeLeft(1, 10_000 * MIB)
    left.begin(0)
    now = 0.0
    for _ in range(1200):
        left.take(20 * MIB // 20, now := now + 1 / 20)
    for _ in range(300):
        left.take(MIB, now := now + 1 / 5)
    true = (10_000 - 1500) / 5
    assert left.seconds() == pytest.approx(true, rel=WITHIN)


def test_throttled_recorders_on_a_real_dock_are_told_the_truth(station: Station, tmp_path: Path) -> None:
    rates = (3_000_000, 1_500_000)
    for number, rate in enumerate(rates):
        folder = tmp_path / f"card{number}" / "DCIM"
        folder.mkdir(parents=True)
        for film in range(20):
            (folder / f"S{film:02d}.MP4").write_bytes(os.urandom(100_000 * (1 + film % 3)))
        (folder / "L.MP4").write_bytes(os.urandom(rate * 14))
    station.start_dockd()
    for number, rate in enumerate(rates):
        station.plug(
            f"slot{number}",
            port=PORTS[number],
            directory=str(tmp_path / f"card{number}"),
            bytes_per_second=rate,
        )
    looks: dict[int, list[tuple[float, int | None]]] = {1: [], 2: []}
    ended: dict[int, float] = {}
    began = monotonic()
    while len(ended) < len(rates) and monotonic() - began < 90:
        for number in set(looks) - set(ended):
            tile = station.tile(number)
            if tile.state in {TileState.COPYING, TileState.HANDED_IN}:
                looks[number].append((monotonic(), tile.seconds_left))
            elif tile.state is TileState.SEALED:
                ended[number] = monotonic()
        sleep(0.2)
    for number, end in ended.items():
        judged = [(end - at, said) for at, said in looks[number] if at - began > AFTER_S and end - at > 4]
        true = sum(said is not None and abs(said - left) <= WITHIN * left + 1 for left, said in judged)
        assert judged
        assert true >= 0.9 * len(judged), judged
    assert len(ended) == len(rates)
