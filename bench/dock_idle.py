"""What a dock costs that has nothing to do, and what the board's update costs the server.

python -m bench.dock_idle [--seconds 20] [--updates 300] [--dir DIR] [--json FILE]

Idle: dockd, vaultd and the console of a station with 24 empty bays, and one board that asks twice a second, as its page
does, and says what it has seen. CPU seconds of all three (user and system) by the clock, of one processor.
The update: 40 bays, of which every one moves between two questions, so that nothing can be answered with "as before";
the console alone, over loopback. What its process spends on an answer, and how long the answer takes.
"""

from __future__ import annotations

import http.client
import random
import statistics
import time
from contextlib import suppress

import psutil

from bench.dock_rig import Rig, running, wait_for
from bench.figure import Sheet, arguments, finish
from core.clock import stamp, utc_now
from ingest.status import BayStatus, DockStatus, TileState, write_status

IDLE_BAYS, MANY_BAYS = 24, 40
IDLE_SHARE, UPDATE_MS = 1.0, 20.0  # issue 4: percent, milliseconds
BOARD_EVERY_S = 0.5  # webconsole/static/js/dock-board.js
SETTLE_S = 5.0
PORT = 18444
PROCESSES = ("vaultd", "dockd", "console")
MOVING = (TileState.COPYING, TileState.HANDED_IN, TileState.VERIFYING, TileState.SEALED, TileState.PARTIAL)


class Page:
    """A board: one connection, and the mark of what it has seen."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        self._seen = ""

    def ask(self) -> tuple[int, float]:
        """The answer's status, and its milliseconds."""
        headers = {"If-None-Match": self._seen} if self._seen else {}
        began = time.perf_counter()
        self._connection.request("GET", "/dock/tiles", headers=headers)
        answer = self._connection.getresponse()
        answer.read()
        self._seen = answer.headers["ETag"]
        return answer.status, (time.perf_counter() - began) * 1000

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def cpu_s(processes: list[psutil.Process]) -> float:
    """User and system time of processes and of all their children."""
    every = [one for process in processes for one in (process, *process.children(recursive=True))]
    return sum(sum(one.cpu_times()[:2]) for one in every)


def idle(rig: Rig, seconds: float) -> dict[str, float]:
    """Percent of one processor, by process."""
    every = {name: rig.process(name) for name in PROCESSES}
    page = Page()
    _poll(page, SETTLE_S)
    before, began = {name: cpu_s([one]) for name, one in every.items()}, time.monotonic()
    _poll(page, seconds)
    passed = time.monotonic() - began
    page.close()
    return {name: (cpu_s([one]) - before[name]) / passed * 100 for name, one in every.items()}


def updates(rig: Rig, count: int) -> tuple[list[float], float]:
    """Milliseconds of each answer, and milliseconds of CPU of one."""
    console, page, chance = rig.process("console"), Page(), random.Random(1)  # noqa: S311
    times = list[float]()
    for turn in range(count + 20):
        write_status(rig.station.dock_status, _moved(turn, chance))
        status, took_ms = page.ask()
        assert status == http.client.OK
        if turn == 20:  # what is made once a language is made
            times, before = [], cpu_s([console])
        times.append(took_ms)
    page.close()
    return times, (cpu_s([console]) - before) / (len(times) - 1) * 1000


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--updates", type=int, default=300)
    options = parser.parse_args()
    sheet = Sheet("dock_idle")
    with running(options.dir, IDLE_BAYS, PROCESSES, PORT) as rig:
        _await_console()
        shares = idle(rig, options.seconds)
    for name, share in shares.items():
        sheet.add(f"{IDLE_BAYS} bays idle: {name}", share, "% of a CPU")
    both = shares["dockd"] + shares["console"]
    sheet.add(f"{IDLE_BAYS} bays idle: dockd and console", both, "% of a CPU", at_most=IDLE_SHARE)
    with running(options.dir, MANY_BAYS, ("console",), PORT) as rig:
        _await_console()
        times, spent_ms = updates(rig, options.updates)
    sheet.add(f"update of {MANY_BAYS} bays, median", statistics.median(times), "ms", at_most=UPDATE_MS)
    sheet.add(f"update of {MANY_BAYS} bays, p95", sorted(times)[int(len(times) * 0.95)], "ms")
    sheet.add(f"update of {MANY_BAYS} bays, CPU", spent_ms, "ms", at_most=UPDATE_MS)
    return finish(sheet, options.json)


def _poll(page: Page, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page.ask()
        time.sleep(BOARD_EVERY_S)


def _moved(turn: int, chance: random.Random) -> DockStatus:
    """Forty bays of which each says something new."""
    bays = tuple(
        BayStatus(
            number=number, state=MOVING[number % len(MOVING)], officer_name=f"Officer {number}",
            officer_number=f"{number:06}", recorder_serial=f"S{number:06}", profile="enforcement-storage",
            files_done=turn % 100, files_total=100, bytes_done=turn * 10**6, bytes_total=10**9,
            bytes_per_second=chance.randrange(10**7), seconds_left=chance.randrange(60, 5000),
            battery_percent=chance.randrange(101), session_id=f"s{number}", flagged_total=3,
        )
        for number in range(1, MANY_BAYS + 1)
    )  # fmt: skip
    return DockStatus(at=stamp(utc_now()), station="bench", bays=bays)


def _await_console() -> None:
    def answers() -> bool:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            connection.request("GET", "/dock/tiles")
            return connection.getresponse().status == http.client.OK
        return False

    wait_for(answers, "the console did not start", 60)


if __name__ == "__main__":
    raise SystemExit(main())
