"""The real worker around a recorder that is written down: a JSON file with its tree and with what goes wrong.

Started as a process by the tests, with the path of the file as its first argument. `faults` happen once: a worker
leaves the name of each fault that it has met in the file's folder, and the next worker does not meet it again.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from devices.mtp.library import ROOT, Item, LibraryError, LibraryMissingError, Storage
from devices.mtp.worker import serve

CHUNK = 16 << 10  # what libmtp hands over at once
REQUESTS = {"open": 0x1002, "list": 0x1007, "read": 0x101B, "whole": 0x1009}


class ScriptedDevice:
    """Answers as `devices.mtp.library.Library` does."""

    def __init__(self, path: Path, vendor: int) -> None:
        self._path = path
        self._script: dict[str, Any] = json.loads(path.read_text())
        self._offset = self._new_session()
        self._met("open")
        self._asked(REQUESTS["open"])
        if self._script.get("missing"):
            raise LibraryMissingError("libmtp.so.9 is not installed")
        if vendor != 0x1234:
            raise LibraryError("another device")

    def text(self, what: str) -> bytes:
        return str(self._script["texts"].get(what, "")).encode("latin-1")

    def battery(self) -> tuple[int, int] | None:
        level, most = self._script["battery"]
        return level, most

    def storages(self) -> Iterator[Storage]:
        for row in self._script["storages"]:
            yield Storage(row["id"], row["name"].encode("latin-1"), row["capacity"], row["free"])

    def reads_parts(self) -> bool:
        return bool(self._script["parts"])

    def list(self, storage: int, folder: int) -> Iterator[Item]:
        self._asked(REQUESTS["list"])
        self._met("list")
        parent = 0 if folder == ROOT else folder - self._offset
        for row in self._script["objects"]:
            if (row["storage"], row["parent"]) == (storage, parent):
                name = row["name"].encode("latin-1")
                yield Item(
                    row["handle"] + self._offset, name, row["size"], row.get("modified_s", 0), row["folder"]
                )

    def read(self, handle: int, offset: int, room: memoryview) -> int:
        self._asked(REQUESTS["read"])
        self._met(f"read at {offset}")
        if offset >= 1 << 32 and not self._script.get("far"):
            raise LibraryError("only 32 bits")
        row = self._object(handle)
        piece = content(row["seed"], offset, min(len(room), row.get("real_size", row["size"]) - offset))
        room[: len(piece)] = piece
        return len(piece)

    def stream(self, handle: int, take: Callable[[int, int], bool]) -> None:
        self._asked(REQUESTS["whole"])
        row = self._object(handle)
        for offset in range(0, row["size"], CHUNK):
            self._met(f"read at {offset}")
            piece = content(row["seed"], offset, min(CHUNK, row["size"] - offset))
            held = ctypes.create_string_buffer(piece, len(piece))
            if not take(ctypes.addressof(held), len(piece)):
                raise LibraryError("cancelled")

    def close(self) -> None:
        self._asked(0x1003)

    def _object(self, handle: int) -> dict[str, Any]:
        for row in self._script["objects"]:
            if row["handle"] + self._offset == handle:
                return dict(row)
        raise LibraryError("no such object")

    def _asked(self, code: int) -> None:
        os.write(1, f"LIBMTP ptp_usb_sendreq[1266]: REQUEST: 0x{code:04x}, something\n".encode())

    def _new_session(self) -> int:
        """Handles of one session mean nothing in the next."""
        sessions = len(list(self._path.parent.glob("session-*"))) + 1
        self._path.with_name(f"session-{sessions}").touch()  # empty: the worker may write to no file
        return 1000 * sessions

    def _met(self, where: str) -> None:
        """What goes wrong here, once."""
        for index, fault in enumerate(self._script.get("faults", [])):
            mark = self._path.with_name(f"met-{index}")
            if fault["where"] != where or (mark.exists() and not fault.get("always")):
                continue
            mark.touch()
            self._suffer(fault["what"])

    def _suffer(self, what: str) -> None:
        if what == "crash":
            os.kill(os.getpid(), 11)
        elif what == "hang":
            time.sleep(3600)
        elif what == "depart":
            self._path.with_name("node").unlink()
            raise LibraryError("input/output error")
        elif what == "refuse":
            raise LibraryError("the device said no")
        elif what == "delete":
            self._asked(0x100B)
        elif what == "other":
            self._script["texts"]["Serialnumber"] = "ANOTHER"


def content(seed: int, offset: int, length: int) -> bytes:
    """The bytes of a file at a place, without its having to be anywhere."""
    words = range(offset // 4, (offset + length) // 4 + 1)
    whole = b"".join(((word * 2654435761 + seed) & 0xFFFFFFFF).to_bytes(4, "little") for word in words)
    return whole[offset % 4 :][:length]


if __name__ == "__main__":
    script = Path(sys.argv[1])
    serve(lambda _bus, _number, vendor, _product: ScriptedDevice(script, vendor), sys.argv[2:])  # type: ignore[arg-type,return-value]
