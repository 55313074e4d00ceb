"""Reads one file and writes what it finds as sections to standard output (media.section is the other end).

    FILE [probe]       4 bytes name, 4 bytes big-endian length, content; `done` is the last

Nothing that is written here is trusted outside.
"""

from __future__ import annotations

import struct
import sys

from media.inside.canvas import RefusalError
from media.inside.reading import read

MAGIC = b"sealdock-index 1\n"


def main(path: str, *, deep: bool) -> None:
    """Write every section for the file at `path`."""
    sys.stdout.buffer.write(MAGIC)
    try:
        for name, content in read(path, deep=deep):
            put(name, content)
    except RefusalError as refusal:
        put(b"no  ", str(refusal).encode())
    put(b"done", b"")
    sys.stdout.buffer.flush()


def put(name: bytes, content: bytes) -> None:
    """One section."""
    sys.stdout.buffer.write(name + struct.pack(">I", len(content)) + content)


if __name__ == "__main__":
    main(sys.argv[1], deep=sys.argv[2:] != ["probe"])
