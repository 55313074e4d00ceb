"""Repair: what was damaged or lost is put right from a second copy, when that copy can prove itself.

Invariants: the copy's bytes are held to the signed log before anything in the vault is touched; the damaged original is
set aside in `incoming/` and never deleted; the good one is durable and read back before it gets the name; a key that a
disposal destroyed is never brought back. Every repair is an entry: what, from which copy, where the damaged file is.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from core.digest import sha256_hex
from core.durable import fsync_directory, make_directory
from core.errors import Exit
from vault.audit.verify import verify_vault
from vault.care.beside import Beside, slot_pairs
from vault.care.copying.mirror import Mirror
from vault.care.mending.branch import Branch
from vault.care.mending.exchange import Exchange
from vault.care.mending.fate import Fate
from vault.care.mending.proven import NotProvenError, ProvenTree
from vault.care.mending.repaired import NotRepairableError, Repaired
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.formats.merkle import TILE_WIDTH, width_at
from vault.formats.pack import PAIR_ROOM
from vault.log.ledger import LogReader
from vault.store.medium import MediumError, Reader
from vault.store.objects import Vault

_TILE = re.compile(r"log/tile/(entries|\d)/((?:x\d{3}/)*\d{3})(?:\.p/(\d{1,3}))?\Z")
_PACK = re.compile(r"packs/((?:x\d{3}/)*\d{3})\Z")
_SLOTS = re.compile(r"keys/slots/((?:x\d{3}/)*\d{3})\Z")
_OBJECT = re.compile(r"objects/[0-9a-z]{2}/([0-9A-HJKMNP-TV-Z]{26})\.chunks\Z")
_OF_THE_TREE = frozenset({"verify.bundle", "verify.tile", "verify.root"})
_REPAIRABLE = frozenset({"verify.object", "verify.bundle", "verify.tile", "verify.slot", "verify.pack"})


class WrongCopyError(VaultError):
    """A second copy of another vault."""

    code = "vault.copy_of_another"
    sentence = (
        "{path} is a copy of the vault {found} and not of this one. Nothing was changed; name a copy that "
        "`sealdock backup run` made of this vault."
    )
    exit_code = Exit.WRONG_USE


class Repairer:
    """Mends `vault` from `copy`. Raises WrongCopyError, and NoCheckpointError for a vault without a head."""

    def __init__(self, vault: Vault, copy: Vault) -> None:
        if vault.id != copy.id:
            raise WrongCopyError(path=copy.path, found=copy.id)
        self._vault, self._copy = vault, copy
        head, _ = LogReader(vault).checkpoint()
        self.copy_size = LogReader(copy).checkpoint()[0].size
        self._tree = ProvenTree((vault.log_path, copy.log_path), head)
        self._branch, self._fate = Branch(vault.path, self._tree), Fate(self._tree)
        self._exchange, self._reader = Exchange(vault), Reader()

    def damaged(self) -> list[str]:
        """Files that the verifier finds damaged or lost and that can be looked for in a copy, the tree's first."""
        report = verify_vault(self._vault.path, self._vault.founding_key)
        found = {one.file for one in report.failures if one.code in _REPAIRABLE}
        if any(one.code in _OF_THE_TREE for one in report.failures):
            found.update(self._branch.wrong())  # the verifier cannot always say which of two files is wrong
        return sorted(
            found, key=lambda file: (not file.startswith("log/"), file.startswith("objects/"), file)
        )

    def object_file(self, recording: str) -> str:
        """The file of a recording's object."""
        return Mirror.object_name(recording)

    def repair(self, file: str) -> Repaired | None:
        """Put one file right, by its name below the vault; None when nothing is wrong with it.

        Raises NotProvenError, NotRepairableError, DiskFullError or MediumError.
        """
        if found := _TILE.match(file):
            level = None if found[1] == "entries" else int(found[1])
            return self._repair_tile(file, level, _number(found[2]))
        if found := _PACK.match(file):
            return self._repair_pack(file, _number(found[1]))
        if found := _SLOTS.match(file):
            return self._repair_slots(file, _number(found[1]))
        if found := _OBJECT.match(file):
            return self._repair_object(file, found[1])
        raise NotRepairableError(file=file, why="it is no file that a copy can prove")

    def _repair_tile(self, file: str, level: int | None, number: int) -> Repaired | None:
        good = self._branch.right(file, level, number)
        if good is None:
            return None
        return self._replace(file, good, is_edge=self._branch.is_edge(level, number))

    def _repair_pack(self, file: str, number: int) -> Repaired | None:
        leaves, beside = self._leaves(file, number), self._beside()
        good, changed = beside.pack(number, leaves)
        if beside.problems:
            raise NotProvenError(file=file)
        is_edge = len(leaves) < TILE_WIDTH
        return self._replace(file, good, is_edge=is_edge, entries=tuple(changed)) if changed else None

    def _repair_slots(self, file: str, number: int) -> Repaired | None:
        leaves, beside = self._leaves(file, number), self._beside()
        right, there = beside.slots(number, leaves), slot_pairs(self._vault.path / file)
        if beside.problems:
            raise NotProvenError(file=file)
        pairs = {
            number * TILE_WIDTH + i: pair
            for i, pair in enumerate(right)
            if pair != there[i] and number * TILE_WIDTH + i not in self._fate.destroyable
        }
        return self._mend_slots(file, pairs, is_edge=len(leaves) < TILE_WIDTH) if pairs else None

    def _leaves(self, file: str, number: int) -> list[Leaf]:
        """The entries of a bundle. Raises NotProvenError, and NotRepairableError when the head calls for none."""
        if not width_at(self._tree.size, 0, number):
            raise NotRepairableError(file=file, why="the log's head calls for no such file")
        return [Leaf.parse(raw) for raw in self._tree.entries(number)]

    def _beside(self) -> Beside:
        beside = Beside(self._copy, self._vault.path)
        beside.destroyable = self._fate.destroyable
        return beside

    def _repair_object(self, file: str, recording: str) -> Repaired | None:
        index, leaf = self._fate.find(recording, file)
        if leaf.object is None or recording in self._fate.disposed:
            raise NotRepairableError(file=file, why="it was disposed of, or is no recording")
        fault = self._fault(self._vault.path / file, leaf)
        if not fault:
            return None
        source, sealed = self._copy.object_path(recording), leaf.object
        if self._fault(source, leaf):
            raise NotProvenError(file=file)
        aside = self._exchange.replace_object(file, source, sealed.stored_size, sealed.stored_sha256)
        return self._told(file, fault, sealed.stored_sha256, aside, recording, (index,))

    def _fault(self, path: Path, leaf: Leaf) -> str:
        try:
            found = self._reader.digest(path)
        except MediumError:
            return "unreadable"
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        sealed = leaf.object
        same = sealed is not None and (found.size, found.sha256) == (sealed.stored_size, sealed.stored_sha256)
        return "" if same else "damaged"

    def _replace(self, file: str, good: bytes, *, is_edge: bool, entries: tuple[int, ...] = ()) -> Repaired:
        """Put a whole file in the place of a damaged one; one that vaultd still writes only while it is stopped."""
        fault = "damaged" if (self._vault.path / file).exists() else "missing"
        with self._exchange.writer_stopped(file, is_edge=is_edge):
            aside = self._exchange.replace(file, good)
        return self._told(file, fault, sha256_hex(good), aside, None, entries)

    def _mend_slots(self, file: str, pairs: dict[int, bytes], *, is_edge: bool) -> Repaired:
        """Write single slots in their places: the file is the one in the vault that may change."""
        path = self._vault.path / file
        fault = "damaged" if path.exists() else "missing"
        with self._exchange.writer_stopped(file, is_edge=is_edge):
            aside = self._exchange.keep_copy(file)
            make_directory(path.parent)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640), "r+b", 0) as target:
                for index, pair in pairs.items():
                    os.pwrite(target.fileno(), pair, index % TILE_WIDTH * PAIR_ROOM)
                for index in self._destroyed_meanwhile() & pairs.keys():
                    os.pwrite(target.fileno(), bytes(PAIR_ROOM), index % TILE_WIDTH * PAIR_ROOM)
                os.fsync(target.fileno())
            fsync_directory(path.parent)
        return self._told(file, fault, sha256_hex(path.read_bytes()), aside, None, tuple(pairs))

    def _destroyed_meanwhile(self) -> set[int]:
        """Entries whose keys the log gave up while we were at work: they must not come back."""
        fresh = LogReader(self._vault).leaves(self._tree.size)
        about = {one for leaf in fresh if leaf.type == "dispose" for one in leaf.about}
        gone = set[int]()
        for recording in about:
            with suppress(NotRepairableError):  # sealed after we looked: none of it was touched
                gone.add(self._fate.find(recording, "")[0])
        return gone

    def _told(
        self, file: str, fault: str, sha256: str, aside: str | None, recording: str | None,
        entries: tuple[int, ...],
    ) -> Repaired:  # fmt: skip
        source = str(self._copy.path)
        return Repaired(file, fault, sha256, self.copy_size, source, aside, recording, entries)


def _number(path: str) -> int:
    """The number in a tile's path: `x001/x234/067` is 1234067 (c2sp.org/tlog-tiles)."""
    return int(path.replace("x", "").replace("/", ""))
