"""Verifying a vault: a long log, and big objects without and with keys.

python -m bench.verify [--entries 1M] [--size 4G] [--rounds 3] [--dir DIR] [--json FILE]

The rival without keys is what anybody could do to the same files: two `openssl dgst -sha256` side by side. With keys
there is no rival; the ideal is what SHA-256 twice and ChaCha20-Poly1305 once would take alone, in CPU time. Nothing of
the files lies in the page cache when one of them begins, as in any vault larger than memory. Verifying does more than
hashing: tree, signatures, slots, shapes, relations.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import core.log
from bench.figure import Cost, Sheet, Spent, arguments, finish, parse_size
from bench.log import parse_count
from bench.primitive import ideal, open_rate, sha256_rate
from bench.seal import make_source
from bench.station import Station, fill, views
from vault.audit.verify import Request, verify_vault_as
from vault.formats.age import Identity
from vault.log.ledger import LogReader

OBJECTS = 4
MEGABYTE = 10**6


def check(station: Station, *, keys: bool) -> Cost:
    """Verify the whole vault, which must be found whole."""
    identities = [Identity.parse(station.identity.recovery_identity)] if keys else []
    with Spent(children=True) as spent:
        report = verify_vault_as(station.vault.path, station.vault.verifier, Request(identities))
    if not report.ok:
        sys.exit(f"the vault of this bench does not verify: {report.findings[:3]}")
    return spent.cost


def long_log(place: Path, entries: int, sheet: Sheet) -> None:
    station = Station(place)
    fill(station, views(entries - LogReader(station.vault).size))
    cost = check(station, keys=False)
    station.close()
    sheet.add(f"verifying {entries:,} entries", cost.wall_s * 10**6 / entries, "s per million", at_most=10)
    sheet.add(f"verifying {entries:,} entries, CPU", cost.cpu_s / entries * 1e6, "us/entry")


def big_objects(place: Path, size: int, rounds: int, sheet: Sheet) -> None:
    station = Station(place)
    files = _seal(station, place / "source.bin", size // OBJECTS)
    stored = sum(file.stat().st_size for file in files)
    keyless, openssl, keyed, best = list[Cost](), list[Cost](), list[Cost](), list[float]()
    for _ in range(rounds):
        cool(files)
        openssl.append(_openssl(files))
        cool(files)
        keyless.append(check(station, keys=False))
        hashing = sha256_rate()
        best.append(ideal(hashing, hashing, open_rate()))
        keyed.append(check(station, keys=True))
    station.close()
    pairs = list(zip(openssl, keyless, strict=True))
    sheet.add("without keys", stored / statistics.median(run.wall_s for run in keyless) / MEGABYTE, "MB/s")
    sheet.add(
        "two openssl dgst", stored / statistics.median(run.wall_s for run in openssl) / MEGABYTE, "MB/s"
    )
    wall = statistics.median(theirs.wall_s / ours.wall_s for theirs, ours in pairs)
    cpu = statistics.median(theirs.cpu_s / ours.cpu_s for theirs, ours in pairs)
    sheet.add("without keys : two openssl dgst, by the clock", wall, "x", at_least=0.85, gated=True)
    sheet.add("without keys : two openssl dgst, per CPU second", cpu, "x", gated=True)
    rates = [stored / run.cpu_s for run in keyed]
    sheet.add("with keys", statistics.median(rates) / MEGABYTE, "MB/cpu-s")
    sheet.add(
        "with keys, by the clock", stored / statistics.median(run.wall_s for run in keyed) / MEGABYTE, "MB/s"
    )
    share = statistics.median(rate / one for rate, one in zip(rates, best, strict=True))
    sheet.add("with keys : ideal from primitives", share, "x", at_least=0.8, gated=True)


def cool(files: list[Path]) -> None:
    """Drop the files from the page cache."""
    os.sync()  # only clean pages can be dropped
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seal(station: Station, source: Path, size: int) -> list[Path]:
    make_source(source, size)
    station.vaultd.start()
    deposits = []
    for _ in range(OBJECTS):
        deposits.append(station.deposit(source))
        station.submit(deposits[-1], "a.mp4")
        station.sequence()
    station.vaultd.close()
    source.unlink()
    return [station.vault.object_path(deposit.id) for deposit in deposits]


def _openssl(files: list[Path]) -> Cost:
    with Spent(children=True) as spent:
        both = [
            subprocess.Popen(["openssl", "dgst", "-sha256", "-r", *files[half::2]], stdout=subprocess.DEVNULL)
            for half in (0, 1)
        ]
        if any(one.wait() for one in both):
            sys.exit("openssl dgst failed")
    return spent.cost


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--entries", type=parse_count, default=parse_count("1M"))
    parser.add_argument("--size", type=parse_size, default=parse_size("4G"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    core.log.configure("bench")
    sheet = Sheet("verify")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        big_objects(Path(name) / "objects", options.size, options.rounds, sheet)
        long_log(Path(name) / "entries", options.entries, sheet)
    return finish(sheet, options.json)


if __name__ == "__main__":
    sys.exit(main())
