"""The sealer: what is sealed becomes immutable, and only a logged disposal takes that away.

Invariants, each checked by this process itself and from nothing but the log (it never reads the database):
  1. It acts on entries that a signed, durable checkpoint covers and that it hashed up to that checkpoint's root.
  2. A log that became shorter or different stops everything here: nothing is done on the word of a fork.
  3. Behind such a checkpoint every object of its promised size, every full entry bundle, tile and body pack is made
     immutable (chattr +i), the bundle last of its group, so that after a restart the first bundle without the flag
     says where to go on. `objects/` lets no directory go (+a). Key slots stay: a key must be destroyable.
  4. A `dispose` entry that no `destroy` entry answers is handed to `carry_out`, which proves it again; that is the one
     way in which a flag is ever cleared (`clear`). After a crash it is simply gone over again.
Whoever owns this process can take flags away and delete what they guarded. He cannot read footage, sign an entry as
another process, or keep `vault verify` from naming every file that went without a disposal.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from sqlalchemy.exc import OperationalError

from core import log
from core.digest import sha256_hex
from core.durable import fsync_directory
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH, Frontier, bundle_path, leaf_hash, tile_path
from vault.log.ledger import LogReader
from vault.retention.chronicle import DESTROY, DISPOSE
from vault.store.objects import Vault
from vault.store.worm import Flag, NoWormError, flags, is_immutable, put_on, take_off

CarryOut = Callable[[int], object]
"""Carries out the disposal at this index of the log (vault.retention.execution). Raises VaultError; may be repeated."""

LOOK_S = 2.0  # the checkpoint is read this often: one small file
AGAIN_S = 15.0  # a disposal that must wait (the outbox is not empty) is tried again
FIRST_WALK_S = 60.0  # after the start, when the urgent part is done
WALK_S = 24 * 3600.0  # every flag is looked at once a day: somebody may have cleared one
_GENTLY_S = 0.002  # pause per bundle of that walk, so that it never competes with a dock
_MISSING_KEPT = 20  # paths named in a state; the rest is counted
_LOG = log.get("vault.sealer")


class ForkedError(VaultError):
    """The log is not what it was when the sealer last looked."""

    code = "vault.sealer_forked"
    sentence = (
        "The log in {path} does not continue the {known} entries that the sealer has checked ({why}). Nothing was made "
        "immutable and nothing was disposed of. Compare receipts with `sealdock vault verify --against`."
    )


@dataclass
class WormState:
    """How much of what is sealed is immutable; `missing` names the first files that are not."""

    is_supported: bool
    total: int = 0
    immutable: int = 0
    missing: list[Path] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Everything that should be immutable is."""
        return self.is_supported and self.total == self.immutable


def worm_state(vault: Vault) -> WormState:
    """Look at every flag; for `sealdock doctor` and reports. Raises VaultError or OSError where the log is unreadable.

    One open and one ioctl per object and bundle: about 10 us each from cache.
    """
    state, reader = WormState(flags(vault.path / "objects") is not None), LogReader(vault)
    size = reader.size
    for number in range(-(-size // TILE_WIDTH)):
        leaves = list(reader.leaves(number * TILE_WIDTH, min(size, (number + 1) * TILE_WIDTH)))
        for final in _final_files(vault, number, leaves):
            state.total += 1
            if is_immutable(final.path):
                state.immutable += 1
            elif len(state.missing) < _MISSING_KEPT:
                state.missing.append(final.path)
    return state


@dataclass(frozen=True)
class _Final:
    """A file that will never change, and what it must be like before anybody makes sure of that."""

    path: Path
    size: int | None = None
    tile: str | None = None  # its name in the tree, for a tile that was computed here


def clear(path: Path) -> None:
    """Take the immutable flag off what a logged disposal names; handed to vault.retention and to nothing else.

    Raises NoWormError or OSError.
    """
    take_off(path, Flag.IMMUTABLE)


class Sealer:
    """Follows one vault's log.

    Without `carry_out` it takes no flag away. `immutable` is the station's wish; disposals are carried out either way.
    """

    def __init__(
        self,
        vault: Vault,
        carry_out: CarryOut | None = None,
        *,
        immutable: bool = True,
        look_s: float = LOOK_S,
    ) -> None:
        self._vault, self._reader = vault, LogReader(vault)
        self._carry_out, self._immutable, self._look_s = carry_out, immutable, look_s
        self._frontier = Frontier()
        self._digests: dict[
            str, str
        ] = {}  # of every full tile, as it was computed here (6 MB for 10 million entries)
        self._disposals: dict[str, int] = {}  # index of each that no `destroy` entry answers, by id
        self._next: int | None = None  # the first entry whose files may be without their flag
        self._again_at, self._walk_at = 0.0, time.monotonic() + FIRST_WALK_S

    def run(self, stop: Event) -> None:
        """Follow the log until `stop` is set. Raises ForkedError; whatever may pass is told and tried again."""
        while not stop.is_set():
            try:
                self.step(stop)
            except ForkedError:
                raise
            except (VaultError, OSError) as cause:
                _LOG.error("the sealer could not go on and tries again", why=str(cause))
            stop.wait(self._look_s)

    def step(self, stop: Event | None = None) -> int:
        """One look: check what is new, seal it, carry out what is to be; gives the number of new entries."""
        fresh = self._check()
        if self._immutable:
            self._seal(stop or Event())
        self._dispose()
        if self._immutable and time.monotonic() >= self._walk_at:
            self._walk(stop or Event())
        return fresh

    def _check(self) -> int:
        """1 and 2: hash every new entry, and believe none of them before they lead to the signed root."""
        checkpoint, _ = self._reader.checkpoint()
        known = self._frontier.size
        if checkpoint.size < known:
            raise ForkedError(path=self._vault.log_path, known=known, why=f"it has {checkpoint.size}")
        fsync_directory(self._vault.log_path)  # so that no power cut can take back what is acted upon
        frontier, disposals = deepcopy(self._frontier), dict(self._disposals)
        for index, raw in enumerate(self._reader.raws(known, checkpoint.size), known):
            for tile in frontier.add(leaf_hash(raw)):
                self._digests[tile.path] = sha256_hex(tile.raw)
            if b'"type":"d' in raw:  # only a glance; `_follow` looks
                _follow(disposals, index, Leaf.parse(raw))
        if frontier.root() != checkpoint.root:
            raise ForkedError(path=self._vault.log_path, known=known, why="it leads to another root")
        if disposals != self._disposals:
            self._again_at = 0.0
        self._frontier, self._disposals = frontier, disposals
        return checkpoint.size - known

    def _seal(self, stop: Event) -> None:
        """3: everything between the first bundle without its flag and the head."""
        try:
            if self._next is None:
                put_on(self._vault.path / "objects", Flag.APPEND_ONLY)
                self._next = self._first_unsealed() * TILE_WIDTH
            while self._next < self._frontier.size and not stop.is_set():
                self._seal_bundle(self._next // TILE_WIDTH, self._next % TILE_WIDTH)
                self._next = min((self._next // TILE_WIDTH + 1) * TILE_WIDTH, self._frontier.size)
        except NoWormError as cause:
            self._immutable = False  # once, and loudly; `worm_state` tells whoever asks later
            _LOG.critical("sealed files are not immutable on this station", why=str(cause))

    def _first_unsealed(self) -> int:
        """The first full bundle without its flag; those before it were finished in an earlier life."""
        full = range(self._frontier.size // TILE_WIDTH)
        log_path = self._vault.log_path
        return bisect_left(full, True, key=lambda number: not is_immutable(log_path / bundle_path(number)))

    def _seal_bundle(self, number: int, first: int = 0) -> list[Path]:
        """Make the files of one bundle immutable, from its entry `first`; gives those that were not."""
        changed = list[Path]()
        for final in _final_files(self._vault, number, self._proven(number), first):
            if not self._is_whole(final):
                _LOG.critical(
                    "a sealed file is damaged and stays changeable for its repair", path=str(final.path)
                )
            elif put_on(final.path, Flag.IMMUTABLE):
                changed.append(final.path)
        return changed

    def _is_whole(self, final: _Final) -> bool:
        if final.tile is not None:
            return sha256_hex(final.path.read_bytes()) == self._digests[final.tile]
        return final.size is None or final.path.stat().st_size == final.size

    def _proven(self, number: int) -> list[Leaf]:
        """The entries of one bundle, if they are still the ones that were hashed. Raises ForkedError."""
        stop = min(self._frontier.size, (number + 1) * TILE_WIDTH)
        raws = list(self._reader.raws(number * TILE_WIDTH, stop))
        found = b"".join(map(leaf_hash, raws))
        if len(raws) == TILE_WIDTH:
            same = sha256_hex(found) == self._digests[tile_path(0, number)]
        else:
            edge = [tile.raw for tile in self._frontier.partial_tiles() if tile.level == 0]
            same = edge == [found]
        if not same:
            why = f"the entries of bundle {number} were exchanged"
            raise ForkedError(path=self._vault.log_path, known=self._frontier.size, why=why)
        return [Leaf.parse(raw) for raw in raws]

    def _dispose(self) -> None:
        """4: each disposal that is left, in the order of the log."""
        if self._carry_out is None or not self._disposals or time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + AGAIN_S
        for index in sorted(self._disposals.values()):
            try:
                self._carry_out(index)
            except (VaultError, OSError, OperationalError) as cause:  # the last: the database is busy or full
                _LOG.error("a disposal waits", index=index, why=str(cause))

    def _walk(self, stop: Event) -> None:
        """Every flag once; one that is missing behind `_next` was taken away, and is put back loudly."""
        for number in range(self._frontier.size // TILE_WIDTH):
            for path in self._seal_bundle(number):
                _LOG.critical("a sealed file had lost its flag, which is set again", path=str(path))
            if stop.wait(_GENTLY_S):
                return
        self._walk_at = time.monotonic() + WALK_S


def _follow(disposals: dict[str, int], index: int, leaf: Leaf) -> None:
    """Keep the disposals that nothing on the log says were carried out."""
    if leaf.type == DISPOSE:
        disposals[leaf.id] = index
    elif leaf.type == DESTROY:
        disposals.pop(str(leaf.facts.get("dispose")), None)


def _final_files(vault: Vault, number: int, leaves: Sequence[Leaf], first: int = 0) -> Iterator[_Final]:
    """The files that are final once these entries of bundle `number` are on the log; the bundle itself is the last.

    An object that was disposed of is not among them, and whatever else is missing is for `vault verify` to name.
    """
    wanted = [
        _Final(vault.object_path(leaf.id), leaf.object.stored_size) for leaf in leaves[first:] if leaf.object
    ]
    if len(leaves) == TILE_WIDTH:
        tiles = [_Final(vault.log_path / name, tile=name) for name in _tiles_filled_by(number)]
        wanted += [_Final(vault.packs.path(number)), *tiles, _Final(vault.log_path / bundle_path(number))]
    return (final for final in wanted if final.path.exists())


def _tiles_filled_by(number: int) -> Iterator[str]:
    """The tiles of every level whose last hash comes with bundle `number`."""
    level, count = 0, number + 1
    yield tile_path(level, count - 1)
    while count % TILE_WIDTH == 0:
        level, count = level + 1, count // TILE_WIDTH
        yield tile_path(level, count - 1)
