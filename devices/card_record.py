"""What the mount unit's side leaves beside a mounted card, and how dockd asks it to measure again.

The unit alone may read block devices. Before it mounts, it writes `<mounts>/<name>.json` (root's file in root's
directory): which disk this is, the write counter, the digest of the tables. Afterwards dockd sends one line with the
name to `card.sock` beside the mounts, and a small process of root's, started by systemd for that one question, measures
again and answers one JSON line. dockd chooses the moment and nothing else: neither the device, which must have a
record, nor a number. Both measurements also stand in root's journal, where dockd cannot write.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path

from devices.unwritten import Measurement, is_kernel_name

SOCKET = "card.sock"
ANSWER_LIMIT = 4096  # bytes of a record or an answer
ANSWER_S = 45.0  # a hung medium answers EIO after about 36 s


def record_path(mounts: Path, name: str) -> Path:
    """Where the record of a card is."""
    return mounts / f"{name}.json"


def as_line(measurement: Measurement, fs_type: str = "") -> bytes:
    """A measurement as one JSON line; `fs_type` so that it can be made again in the same way."""
    return json.dumps(asdict(measurement) | {"fs_type": fs_type}, sort_keys=True).encode() + b"\n"


def parse_line(line: bytes) -> tuple[Measurement, str] | None:
    """The measurement in a line, and its file system; None for anything else."""
    try:
        found = json.loads(line)
        disk, digest, kind = found["disk"], found["tables_sha256"], found["fs_type"]
        sectors, length = found["sectors"], found["tables_bytes"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_text = isinstance(disk, str) and isinstance(kind, str) and isinstance(digest, str | None)
    if not is_text or not isinstance(sectors, int | None) or not isinstance(length, int):
        return None
    return Measurement(disk, sectors, digest, length), kind


def read_record(mounts: Path, name: str) -> Measurement | None:
    """The measurement taken before this card was mounted; None when there is none that can be used."""
    try:
        with record_path(mounts, name).open("rb") as file:
            found = parse_line(file.read(ANSWER_LIMIT))
    except OSError:
        return None
    return found[0] if found else None


def ask(mounts: Path, name: str, timeout_s: float = ANSWER_S) -> Measurement | None:
    """Have a mounted card measured now; None where nobody answers, which shows nothing and is said so."""
    if not is_kernel_name(name):
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(mounts.parent / SOCKET))
            connection.sendall(name.encode() + b"\n")
            with connection.makefile("rb") as answer:
                found = parse_line(answer.readline(ANSWER_LIMIT))
        except OSError:
            return None
    return found[0] if found else None
