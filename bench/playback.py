"""How long a player waits after a seek, and how fast footage streams: a real console on loopback.

    python -m bench.playback [--mebibytes 512] [--seeks 200]

Founds a vault, seals one file of random bytes through the vault's own line, runs vaultd, keyd and the console as
their own processes, gives a custodian's reason once, then asks for random ranges over one connection as Chromium
does. "First byte" is from sending the request to the first byte of the body; each is decrypted and checked.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from casework.access.permission import Role
from casework.evidence.viewing import record_view
from core.clock import utc_now
from ingest.media_facts import MediaFacts
from sealdock import schema
from sealdock.wiring import Station
from vault.founding import initialise
from vault.log.index import wait_sequenced
from vault.log.submission import Draft
from vault.store.deposit import Depositor
from vault.store.keys import ensure_bucket
from vault.store.medium import Buffers
from webconsole.auth.account import create_account
from webconsole.auth.session import begin

MEBIBYTE = 1024 * 1024
PASSPHRASE = b"a passphrase of the benchmark"
TARGET_MS = 50.0
PORT = 18443
SETTINGS = 'vault = "vault"\nstate = "state"\nkeys = "keys"\n[console]\nport = {port}\n'


class RandomBytes:
    """A source of random bytes that cost nothing to make: one mebibyte again and again, numbered."""

    def __init__(self, size: int) -> None:
        self._block, self._left, self._turn = bytearray(os.urandom(MEBIBYTE)), size, 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much as there is."""
        count = min(len(buffer), self._left, MEBIBYTE)
        self._turn += 1
        self._block[:8] = self._turn.to_bytes(8, "big")
        buffer[:count] = memoryview(self._block)[:count]
        self._left -= count
        return count


@contextmanager
def running(settings: Path, *names: str) -> Iterator[None]:
    """The station's processes, each as its own, until the block ends."""
    argv = [sys.executable, "-m", "sealdock", "--settings", str(settings), "run"]
    started = [subprocess.Popen([*argv, name], stderr=subprocess.DEVNULL) for name in names]
    try:
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)


def prepare(directory: Path, size: int) -> tuple[Station, Path]:
    """A founded station."""
    settings = directory / "sealdock.toml"
    settings.write_text(SETTINGS.format(port=PORT))
    initialise(directory / "vault", directory / "keys", PASSPHRASE)
    station = Station.load(settings)
    schema.upgrade(station.db)
    assert size > 0
    return station, settings


def seal(station: Station, size: int) -> str:
    """One recording on the log, shown directly."""
    bucket = f"A-{utc_now():%Y-%m}"
    ensure_bucket(station.vault, bucket)
    deposit = Depositor(station.vault, Buffers()).deposit(RandomBytes(size), bucket)
    facts = {"origin": "hand", "media": "video", "session": deposit.id}
    body = {"name": "long.mp4", "path": "long.mp4", "size": size, "damaged": False}
    submitter = station.submitter("dockd")
    with station.db.writing() as session:
        submitter.submit(session, Draft("ingest", facts=facts, body=body, deposit=deposit))
        session.merge(MediaFacts(recording_id=deposit.id, media="video", play="direct", mime="video/mp4"))
    submitter.ring()
    wait_sequenced(station.db, deposit.id, 120)
    return deposit.id


def look(station: Station, recording_id: str) -> str:
    """A signed-in custodian with a reason; gives the cookie."""
    submitter = station.submitter("console")
    with station.db.writing() as session:
        account = create_account(
            session, submitter, "bench", "Bench", [Role.CUSTODIAN], "a benchmark's password"
        )
        token = begin(session, account, "127.0.0.1")
        entry = record_view(session, submitter, account.id, [recording_id], "original", "technical")
    submitter.ring()
    wait_sequenced(station.db, entry, 30)
    return f"sealdock={token}"


def first_bytes(path: str, cookie: str, size: int, seeks: int) -> list[float]:
    """Milliseconds to the first byte of `seeks` random ranges over one connection."""
    connection, spent = http.client.HTTPConnection("127.0.0.1", PORT), []
    chance = random.Random(1)  # noqa: S311  the same seeks every time
    for _ in range(seeks):
        start = chance.randrange(size)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie, "Range": f"bytes={start}-"})
        answer = connection.getresponse()
        answer.read(1)
        spent.append((time.perf_counter() - began) * 1000)
        assert answer.status == http.client.PARTIAL_CONTENT
        answer.read()
    connection.close()
    return spent


def throughput(path: str, cookie: str) -> float:
    """MiB a second of the whole file in one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    began, total = time.perf_counter(), 0
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    room = bytearray(MEBIBYTE)
    while count := answer.readinto(room):
        total += count
    connection.close()
    return total / MEBIBYTE / (time.perf_counter() - began)


def wait_for_console() -> None:
    """Until it answers."""
    for _ in range(600):
        with suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
            connection.request("GET", "/sign-in")
            connection.getresponse()
            return
        time.sleep(0.1)
    raise SystemExit("the console did not start")


def wait_for_keyd(station: Station) -> None:
    """Until the key process listens."""
    for _ in range(300):
        if station.socket("keyd").exists():
            return
        time.sleep(0.1)
    raise SystemExit("the key process did not start")


def main() -> None:
    """Print the figures; exit 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--seeks", type=int, default=200)
    chosen = parser.parse_args()
    size = chosen.mebibytes * MEBIBYTE
    with tempfile.TemporaryDirectory(prefix="bench-playback-") as name:
        station, settings = prepare(Path(name), size)
        with running(settings, "vaultd", "keyd", "console"):
            wait_for_console()
            wait_for_keyd(station)
            station.keyd("console").unlock(PASSPHRASE)
            recording_id = seal(station, size)
            cookie, path = look(station, recording_id), f"/media/{recording_id}/original"
            cold = first_bytes(path, cookie, size, 1)[0]
            warm = sorted(first_bytes(path, cookie, size, chosen.seeks))
            speed = throughput(path, cookie)
        station.close()
    report(cold, warm, speed)
    raise SystemExit(0 if warm[int(len(warm) * 0.95)] <= TARGET_MS else 1)


def report(cold: float, warm: list[float], speed: float) -> None:
    """The figures, in the form of docs/benchmarks.md."""
    print(f"first byte after a seek, ms   median {statistics.median(warm):.1f}   "
          f"p95 {warm[int(len(warm) * 0.95)]:.1f}   worst {warm[-1]:.1f}   (target {TARGET_MS:.0f})")  # fmt: skip
    print(f"first byte of a first look, ms   {cold:.1f}   (the key comes from keyd)")
    print(f"streaming, MiB/s   {speed:.0f}")


if __name__ == "__main__":
    main()
