"""A real vaultd and a dock in one traced process, and what the kernel's record of it must look like.

`python -m crash.traced DIRECTORY FAULT` seals a few recordings in a house that is there and says so, one line each, in
`told`. `violations` reads what strace wrote. The rules, each about calls that the kernel saw:
  1. Before an object is submitted: fsync of its bytes, then of incoming/.
  2. Before a checkpoint gets its name: fsync of every file that got a name since the last one, and after that name
     fsync of its directory; fsync of packs and slots after the last write.
  3. Before vaultd writes to the database again: fsync of the checkpoint's bytes before its name, of log/ after it.
  4. Before a receipt is told: a sync of the database's journal by vaultd, after the checkpoint.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from crash.house import House
from sqlalchemy import event

from core.bell import ring
from vault.log.index import receipt_of, wait_sequenced

RECORDINGS = 2
TRACED = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat"
FAULTS = {  # an fsync to leave out, by the end of its path
    "object": r"/incoming/[^/]+\.part$",
    "incoming": r"/incoming$",
    "objects": r"/objects/[^/]+$",
    "pack": r"/packs/\d+$",
    "slots": r"/slots/\d+$",
    "bundle": r"/tile/entries/.+\.tmp$",
    "tile": r"/tile/0/.+\.tmp$",
    "tile directory": r"/tile/0/000\.p$",
    "checkpoint": r"/\.checkpoint\..+\.tmp$",
    "log directory": r"/log$",
    "database": "",
}
_LINE = re.compile(r"^(?P<thread>\d+)\s+(?P<call>\w+)\((?P<rest>.*)$")
_PATH = re.compile(r'<(/[^>]*)>|"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Call:
    """One call that succeeded: by whom, what, and the paths in it."""

    thread: str
    name: str
    paths: tuple[str, ...]


def work(directory: Path, fault: str) -> None:
    """Seal and tell."""

    leave_out(fault)
    house, stop = House(directory), Event()
    if fault == "database":
        event.listen(house.db.engine, "connect", lambda db, _: db.execute("PRAGMA synchronous=OFF"))
    vaultd = Thread(target=house.vaultd().run, args=(stop,))
    vaultd.start()
    teller = os.open(directory / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for _ in range(RECORDINGS):
        entry_id = house.ingest(os.urandom(20_000))
        ring(house.bell)
        wait_sequenced(house.db, entry_id, 30)
        with house.db.reading() as session:
            assert receipt_of(session, entry_id)
        os.write(teller, f"{entry_id}\n".encode())
        time.sleep(
            0.05
        )  # so that vaultd is idle before the next: its commits and ours do not mix in the record
    stop.set()
    ring(house.bell)
    vaultd.join()


def leave_out(fault: str) -> None:
    """No fsync of paths that end like this, in this process."""
    pattern, real = FAULTS.get(fault), os.fsync
    if pattern:

        def fsync(descriptor: int) -> None:
            if not re.search(pattern, str(Path(f"/proc/self/fd/{descriptor}").readlink())):
                real(descriptor)

        os.fsync = fsync


def calls(trace: Path) -> Iterator[Call]:
    """The calls of a record written by `strace -f -y`; those that were cut in two are put together first."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if rest.startswith("<..."):
            rest = begun.pop(thread, "") + rest.partition("resumed>")[2]
        name, _, arguments = rest.partition("(")
        if arguments and " = -1 " not in arguments and not name.startswith(("+++", "---")):
            if name == "openat" and "O_CREAT|O_EXCL" in arguments:
                name = "create"
            yield Call(thread, name, tuple(a or b for a, b in _PATH.findall(arguments)))


def violations(record: list[Call], house: Path) -> list[str]:
    """What breaks the rules."""
    judge = _Judge(str(house))
    for call in record:
        judge.take(call)
    if judge.told != RECORDINGS:
        judge.found.append(f"{judge.told} receipts in the record instead of {RECORDINGS}")
    return judge.found


class _Judge:
    """Walks along the record and remembers what is not durable yet."""

    def __init__(self, house: str) -> None:
        self._vault, self._journal, self._teller = f"{house}/vault", f"{house}/house.db-wal", f"{house}/told"
        self.found: list[str] = []
        self.told = 0
        self._unsynced: set[str] = set()  # files written, directories that names were made in
        self._head: str | None = None  # what is still to happen after a checkpoint got its name
        self._writer = ""  # vaultd's thread

    def take(self, call: Call) -> None:
        if call.name in {"fsync", "fdatasync"}:
            self._synced(call)
        elif call.name.startswith(("rename", "link")):
            self._named(call)
        elif call.name == "create" and call.paths[-1].endswith(".part"):
            self._unsynced.add(str(Path(call.paths[-1]).parent))
        elif call.name in {"write", "pwrite64"} and call.paths:
            self._written(call)

    def _written(self, call: Call) -> None:
        path = call.paths[0]
        if path == self._teller:
            self._tell()
        elif path == self._journal:
            self._commit(call)
        elif path.startswith(self._vault) and not path.endswith("/lock"):
            self._unsynced.add(path)

    def _named(self, call: Call) -> None:
        """A file gets its name: its bytes are durable, and the name is to be."""
        source, target = call.paths[-2], call.paths[-1]
        if not target.startswith(self._vault):
            return
        if source in self._unsynced:
            self.found.append(f"2: {target} was named before its bytes were durable")
        if target.endswith("/log/checkpoint"):
            self._check(call.thread)
        else:
            self._unsynced.add(str(Path(target).parent))

    def _check(self, thread: str) -> None:
        """A checkpoint gets its name: everything it covers is durable."""
        self._writer, self._head = thread, "log"
        covered = {path for path in self._unsynced if not path.endswith((".part", "/incoming"))}
        self.found += [f"2: {path} was not durable before a checkpoint" for path in sorted(covered)]

    def _synced(self, call: Call) -> None:
        path = call.paths[0]
        self._unsynced.discard(path)
        if path == f"{self._vault}/log" and self._head == "log":
            self._head = "journal"
        elif path == self._journal and call.thread == self._writer and self._head == "journal":
            self._head = "told"

    def _commit(self, call: Call) -> None:
        """The journal is written to: by vaultd after a checkpoint, or by a dock for what it has finished."""
        if call.thread == self._writer:
            if self._head == "log":
                self.found.append("3: the database was told before the checkpoint was durable")
            return
        waiting = sorted(path for path in self._unsynced if "/incoming" in path)
        self.found += [f"1: {path} was not durable before its submission" for path in waiting]

    def _tell(self) -> None:
        self.told += 1
        if self._head != "told":
            self.found.append(f"4: a receipt was told before its {self._head} was durable")
        self._head = "next"


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2])
