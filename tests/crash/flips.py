"""Random single-bit flips in every file that a leaf, tile or checkpoint covers: all found, none stumbled over.

`script/crash flips` runs 10,000 of them; tests/crash/test_flips.py runs some hundred. Each flip is judged without keys
and with the root's; the vaults are small so that a verification takes milliseconds, and have every kind of file: full
and partial tiles on two levels, objects of several chunks, re-wrapped keys, a handed-over log, stamps and cosignatures.
What no entry covers is left out and listed in NOT_COVERED with the reason.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from conformance.small_vault import SmallVault, found
from support.authority import Authority

from vault.audit.verify import Request, verify_vault_as
from vault.formats import timestamp
from vault.formats.age import Identity
from vault.formats.cosignature import CosignerSigningKey, Kind
from vault.formats.note import Note, VerifierKey

FLIPS = 10_000
NOT_COVERED = {
    "vault.json": "made_at is for people; its other facts are the first entry's, and the reader brings the key",
    "log/policy": "quorum and witnesses are the administrator's; the lines of logs are checked",
}


@dataclass
class Trial:
    """One vault and what its reader knows."""

    vault: SmallVault
    founding: VerifierKey
    roots: dict[str, bytes] = field(default_factory=dict)
    witnesses: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """Every covered file with something in it."""
        paths = (path for path in self.vault.path.rglob("*") if path.is_file() and path.stat().st_size)
        return sorted(path for path in paths if str(path.relative_to(self.vault.path)) not in NOT_COVERED)

    def finds(self, *identities: Identity) -> bool:
        """Whether the verifier sees that something is wrong. Whatever it raises is a failure of the trial."""
        request = Request(identities, roots=self.roots, witnesses=self.witnesses, processes=1)
        return not verify_vault_as(self.vault.path, self.founding, request).ok


@dataclass
class Outcome:
    """What became of the flips, by kind of file."""

    flips: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)


def small(place: Path) -> Trial:
    """A dozen entries with everything in them."""
    vault = found(place / "vault")
    authority, witness = Authority(place / "authority"), CosignerSigningKey.generate("witness", Kind.ED25519)
    founding = vault.verifier
    vault.add(original=os.urandom(70_000), fields={"name": "a.mp4"})
    vault.add(original=b"", fields={"name": "b.mp4"})
    vault.add(fields={"name": "a case"})
    vault.write()
    note = (vault.path / "log/checkpoint").read_bytes()
    vault.anchor("timestamp", "authority", authority.answer(timestamp.query(note).raw))
    vault.write()
    text = Note.parse((vault.path / "log/checkpoint").read_bytes()).text
    vault.anchor("cosignature", "witness", witness.line(text, datetime.now(UTC)))
    vault.hand_over()
    vault.rewrap(2, "B-2026-11")
    vault.destroy_keys(2)
    vault.add(original=os.urandom(300), fields={"name": "c.mp4"})
    vault.write()
    return Trial(vault, founding, {"authority": authority.roots}, (witness.vkey,))


def wide(place: Path) -> Trial:
    """Two full bundles and a partial one: tiles of two levels."""
    vault = found(place / "wide")
    for index in range(2, 520):
        vault.add(
            original=os.urandom(40) if index % 100 == 0 else None,
            fields={"n": 1} if index % 50 == 0 else None,
        )
    vault.write()
    return Trial(vault, vault.verifier)


def flip(trial: Trial, count: int, chance: random.Random, outcome: Outcome) -> Iterator[int]:
    """Turn `count` bits, one at a time; yields after each."""
    files = trial.files()
    for done in range(count):
        path = files[done % len(files)] if done < len(files) else chance.choice(files)
        place = chance.randrange(path.stat().st_size * 8)
        name = str(path.relative_to(trial.vault.path))
        outcome.flips[kind_of(name)] += 1
        turn(path, place)
        try:
            for keys in ((), (trial.vault.root,)):
                if not trial.finds(*keys):
                    outcome.missed.append(f"{name} bit {place} {'with' if keys else 'without'} keys")
        except Exception as cause:  # noqa: BLE001  # whatever it is, a verifier must not stumble
            outcome.crashed.append(f"{name} bit {place}: {cause!r}")
        finally:
            turn(path, place)
        yield done


def turn(path: Path, place: int) -> None:
    """Turn one bit where it lies."""
    with path.open("r+b") as file:
        file.seek(place // 8)
        byte = file.read(1)[0]
        file.seek(place // 8)
        file.write(bytes([byte ^ 1 << place % 8]))


def kind_of(name: str) -> str:
    """The first two names of a path, and whether a tile is of hashes."""
    parts = name.split("/")
    return "/".join(
        parts[:3] if parts[:2] == ["log", "tile"] else parts[:2] if parts[0] != "objects" else parts[:1]
    )


def run(count: int, seed: int, place: Path) -> Outcome:
    """`count` flips, nine of ten in the small vault."""
    chance, outcome = random.Random(seed), Outcome()  # noqa: S311  # a trial that can be done again
    trials = (small(place), count - count // 10), (wide(place), count // 10)
    for trial, share in trials:
        if trial.finds() or trial.finds(trial.vault.root):
            raise AssertionError("the vault on trial is not whole")
        for _ in flip(trial, share, chance, outcome):
            pass
    return outcome


def main(arguments: list[str]) -> int:
    """`python -m crash.flips [COUNT [SEED]]`: prints a line for each kind of file; 1 when anything was missed."""
    count = int(arguments[0]) if arguments else FLIPS
    seed = int(arguments[1]) if arguments[1:] else random.SystemRandom().randrange(1 << 32)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sealdock-flips-") as place:
        outcome = run(count, seed, Path(place))
    for kind, flips in sorted(outcome.flips.items()):
        sys.stdout.write(f"      {flips:6} flips in {kind}\n")
    for line in (*outcome.missed, *outcome.crashed):
        sys.stdout.write(f"LOST  {line}\n")
    bad = len(outcome.missed) + len(outcome.crashed)
    found_all = (
        f"{len(outcome.missed)} missed, {len(outcome.crashed)} crashed, {time.monotonic() - begun:.0f} s"
    )
    sys.stdout.write(
        f"{'LOST' if bad else 'ok  '}  {outcome.flips.total()} flips, seed {seed}: {found_all}\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
