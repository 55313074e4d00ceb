"""A scene for test_bay.py: `sealdock bay map` while somebody plugs things in, over the real pyudev (umockdev).

Run by `umockdev-wrapper` with the settings file and the answers as arguments; prints what the command said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Semaphore, Thread

sys.path.insert(0, str(Path(__file__).parents[2] / "devices"))

from click.testing import CliRunner
from gate_scene import ROOT_HUB, device
from umockdev_scene import Bed

from devices.port_watch import Plugged, PortWatch
from sealdock.command.bay import bay

GIVEN_UP_S = 20.0
ANSWER_S = 5.0


def main() -> None:
    settings, answers = Path(sys.argv[1]), sys.argv[2]
    bed, waiting = Bed(), Semaphore(0)
    bed.add(ROOT_HUB)
    bed.add(device("1-9", 9, "030101"))  # plugged in all along: no answer to the question
    plain_wait = PortWatch.wait

    def wait(
        watch: PortWatch, timeout_s: float, is_over: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[str, Plugged]]:
        if timeout_s == ANSWER_S:  # Enter was pressed: one thing is plugged in for one answer
            waiting.release()
        return plain_wait(watch, timeout_s, is_over)

    PortWatch.wait = wait  # type: ignore[method-assign]

    def hand() -> None:
        for name, number, interface in (("1-4", 4, "090000"), ("1-4.1", 5, "080650"), ("1-4.2", 6, "ff0000")):
            if interface != "090000":
                waiting.acquire(timeout=GIVEN_UP_S)
            bed.add(device(name, number, interface))

    plugging = Thread(target=hand)
    plugging.start()
    done = CliRunner().invoke(
        bay, ["map", "--timeout", str(ANSWER_S)], input=answers.replace("|", "\n"), obj=settings
    )
    plugging.join()
    listed = CliRunner().invoke(bay, ["list"], obj=settings)
    sys.stdout.write(f"{done.output}\nexit {done.exit_code} {done.exception!r}\n{listed.output}")


main()
