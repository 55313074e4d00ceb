"""The mount unit's own program: measures a card before it is mounted, and again when dockd asks.

    python -m devices.card before sda1     writes the record; sealdock-card@.service, before it mounts
    python -m devices.card answer          one question on standard input; sealdock-card-answer@.service

Runs as root with the block devices of cards and nothing else; imports no database, no settings, no log library. It
opens devices for reading only, and only those that a record names. What it measured is printed: systemd puts it into
the journal under root's unit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from core.durable import replace
from devices.card_record import ANSWER_LIMIT, as_line, parse_line, record_path
from devices.unwritten import Measurement, is_kernel_name, measure

MOUNTS = Path("/run/sealdock/mounts")
DEV = Path("/dev")
WRONG_USE, CANNOT = 2, 3
QUESTION_LIMIT = 64  # bytes; a kernel name is shorter


def before(name: str, mounts: Path = MOUNTS, fs_type: str | None = None) -> Measurement:
    """Measure a card that is about to be mounted, and leave the record. Raises OSError."""
    kind = _fs_type(name) if fs_type is None else fs_type
    found = measure(DEV / name, kind)
    replace(record_path(mounts, name), as_line(found, kind), 0o644)
    return found


def answer(question: BinaryIO, reply: BinaryIO, mounts: Path = MOUNTS) -> Measurement | None:
    """Measure the card that is asked for once more; nothing is said of a device without a record."""
    name = question.readline(QUESTION_LIMIT).decode("ascii", "replace").strip()
    if not is_kernel_name(name):
        return None
    try:
        with record_path(mounts, name).open("rb") as file:
            recorded = parse_line(file.read(ANSWER_LIMIT))
    except OSError:
        return None
    if recorded is None:
        return None
    found = measure(DEV / name, recorded[1])
    reply.write(as_line(found, recorded[1]))
    reply.flush()
    return found


def _fs_type(name: str) -> str:
    """What udev has read of the card already."""
    argv = ["udevadm", "info", "--query=property", "--property=ID_FS_TYPE", "--value", f"--name=/dev/{name}"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    return done.stdout.strip()


def main(argv: Sequence[str]) -> int:
    """One measurement. 0 done, 2 wrong use, 3 nothing to measure."""
    match argv:
        case ["before", name] if is_kernel_name(name):
            found: Measurement | None = before(name)
        case ["answer"]:
            found = answer(sys.stdin.buffer, sys.stdout.buffer)
        case _:
            sys.stderr.write("usage: python -m devices.card before NAME | answer\n")
            return WRONG_USE
    if found is None:
        return CANNOT
    sys.stderr.write(f"{argv[-1]}: {found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
