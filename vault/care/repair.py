"""Repair: what was damaged or lost is put right from a second copy, when that copy can prove itself.

Invariants: the copy's bytes are held to the signed log before anything in the vault is touched; the damaged original is
set aside in `incoming/` and never deleted; the good one is durable and read back before it gets the name; a key that a
disposal destroyed is never brought back. Every repair is an entry: what, from which copy, where the damaged file is.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from secrets import token_hex

from core.digest import sha256_hex
from core.durable import fsync_directory, make_directory
from core.errors import Exit
from vault.audit.verify import verify_vault
from vault.care.beside import Beside, slot_pairs
from vault.care.copying.mirror import Mirror
from vault.care.placing import Placing
from vault.care.mending.proven import NotProvenError, ProvenTree
from vault.error import VaultError
from vault.formats.entry import Leaf, pack_bundle
from vault.formats.merkle import TILE_WIDTH, bundle_path, tile_path, width_at
from vault.formats.pack import PAIR_ROOM
from vault.log.ledger import LogReader
from vault.log.submission import Draft
from vault.store.medium import MediumError, Reader
from vault.store.objects import Vault
from vault.store.worm import Flag, NoWormError, flags, put_on, take_off

_TILE = re.compile(r"log/tile/(entries|\d)/((?:x\d{3}/)*\d{3})(?:\.p/(\d{1,3}))?\Z")
_BESIDE = re.compile(r"(packs|keys/slots)/((?:x\d{3}/)*\d{3})\Z")
_OBJECT = re.compile(r"objects/[0-9a-z]{2}/([0-9A-HJKMNP-TV-Z]{26})\.chunks\Z")
_DESTROYS = (b'"type":"dispose"', b'"type":"rewrap"')
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


class NotRepairableError(VaultError):
    """A name that no repair is known for, or a file that must not be touched now."""

    code = "vault.not_repairable"
    sentence = "{file} was not repaired ({why}). Nothing was changed."


@dataclass(frozen=True)
class Repaired:
    """One file put right. `aside` is where the damaged one lies; None when it was lost."""

    file: str
    fault: str
    sha256: str
    copy_size: int
    source: str
    aside: str | None
    recording: str | None = None
    entries: tuple[int, ...] = field(default=())

    def draft(self) -> Draft:
        """The entry that tells of it; paths are for the bureau and stand in the private part."""
        facts: dict[str, object] = {
            "file": self.file, "fault": self.fault, "sha256": self.sha256, "copy_size": self.copy_size,
        }  # fmt: skip
        if self.entries:
            facts["entries"] = list(self.entries)
        about = (self.recording,) if self.recording else ()
        return Draft(
            "repair", about=about, facts=facts, body={"source": self.source, "set_aside": self.aside}
        )


class Repairer:
    """Mends `vault` from `copy`. Raises WrongCopyError, and NoCheckpointError for a vault without a head."""

    def __init__(self, vault: Vault, copy: Vault) -> None:
        if vault.id != copy.id:
            raise WrongCopyError(path=copy.path, found=copy.id)
        self._vault, self._copy = vault, copy
        self._head, _ = LogReader(vault).checkpoint()
        self.copy_size = LogReader(copy).checkpoint()[0].size
        self._tree = ProvenTree((vault.log_path, copy.log_path), self._head)
        self._reader = Reader()

    def damaged(self) -> list[str]:
        """Files that the verifier finds damaged or lost and that can be looked for in a copy, the tree's first."""
        report = verify_vault(self._vault.path, self._vault.founding_key)
        found = {one.file for one in report.failures if one.code in _REPAIRABLE}
        if any(one.code in _OF_THE_TREE for one in report.failures):
            found.update(self._wrong_in_tree())  # the verifier cannot always say which of two files is wrong
        return sorted(
            found, key=lambda file: (not file.startswith("log/"), file.startswith("objects/"), file)
        )

    def _wrong_in_tree(self) -> Iterator[str]:
        """Tiles and bundles that are not the ones that lead to the signed root, or that nothing here proves."""
        level = 0
        while count := self._tree.size >> 8 * level:
            for number in range(-(-count // TILE_WIDTH)):
                width = width_at(self._tree.size, level, number)
                for file in (
                    tile_path(level, number, width),
                    *([bundle_path(number, width)] if not level else []),
                ):
                    if not self._is_right(
                        f"log/{file}", level if file.startswith(f"tile/{level}/") else None, number
                    ):
                        yield f"log/{file}"
            level += 1

    def _is_right(self, file: str, level: int | None, number: int) -> bool:
        try:
            return self._content(file) == self._right(level, number)
        except NotProvenError:
            return False

    def _right(self, level: int | None, number: int) -> bytes:
        """What a tile of this level, or the bundle (None), has to be. Raises NotProvenError."""
        if level is None:
            return pack_bundle(self._tree.entries(number))
        return b"".join(self._tree.hashes(level, number))

    @staticmethod
    def _name(level: str, number: int, width: int) -> str:
        if not width:
            return ""
        below = bundle_path(number, width) if level == "entries" else tile_path(int(level), number, width)
        return f"log/{below}"

    def _content(self, file: str) -> bytes:
        try:
            return (self._vault.path / file).read_bytes()
        except OSError:
            return b""

    def object_file(self, recording: str) -> str:
        """The file of a recording's object."""
        return Mirror.object_name(recording)

    def repair(self, file: str) -> Repaired | None:
        """Put one file right, by its name below the vault; None when nothing is wrong with it.

        Raises NotProvenError, NotRepairableError, DiskFullError or MediumError.
        """
        if found := _TILE.match(file):
            return self._repair_tile(file, found[1], _number(found[2]))
        if found := _BESIDE.match(file):
            return self._repair_beside(file, found[1], _number(found[2]))
        if found := _OBJECT.match(file):
            return self._repair_object(file, found[1])
        raise NotRepairableError(file=file, why="it is no file that a copy can prove")

    def _repair_tile(self, file: str, level: str, number: int) -> Repaired | None:
        width = width_at(self._tree.size, 0 if level == "entries" else int(level), number)
        if file != self._name(level, number, width):
            raise NotRepairableError(file=file, why="the log's head calls for no such file")
        good = self._right(None if level == "entries" else int(level), number)
        if self._content(file) == good:
            return None
        span = 1 if level == "entries" else 256 ** int(level)
        return self._replace(file, good, is_edge=self._tree.size < (number + 1) * span * TILE_WIDTH)

    def _repair_beside(self, file: str, kind: str, number: int) -> Repaired | None:
        if not width_at(self._tree.size, 0, number):
            raise NotRepairableError(file=file, why="the log's head calls for no such file")
        leaves = [Leaf.parse(raw) for raw in self._tree.entries(number)]
        is_edge = width_at(self._tree.size, 0, number) < TILE_WIDTH
        beside = Beside(self._copy, self._vault.path)
        beside.destroyable = self._destroyable
        if kind == "packs":
            good, changed = beside.pack(number, leaves)
            if beside.problems:
                raise NotProvenError(file=file)
            return self._replace(file, good, is_edge=is_edge, entries=tuple(changed)) if changed else None
        right, there = (
            enumerate(beside.slots(number, leaves), number * TILE_WIDTH),
            slot_pairs(self._vault.path / file),
        )
        if beside.problems:
            raise NotProvenError(file=file)
        pairs = {i: pair for i, pair in right if pair != there[i % TILE_WIDTH] and i not in self._destroyable}
        return self._mend_slots(file, pairs, is_edge=is_edge) if pairs else None

    def _repair_object(self, file: str, recording: str) -> Repaired | None:
        index, leaf = self._find(recording, file)
        if leaf.object is None or recording in self._disposed:
            raise NotRepairableError(file=file, why="it was disposed of, or is no recording")
        fault = self._fault(self._vault.path / file, leaf)
        if not fault:
            return None
        if self._fault(self._copy.object_path(recording), leaf):
            raise NotProvenError(file=file)
        with self._writable(self._vault.path / file):
            aside = self._set_aside(file)
            placing = self._placing()
            try:
                sealed = leaf.object
                wrong = placing.put_object(
                    self._copy.object_path(recording), file, sealed.stored_size, sealed.stored_sha256
                )
            finally:
                placing.close()
        if wrong:
            raise NotRepairableError(file=file, why=f"the copy changed while it was read: {wrong}")
        return self._told(file, fault, leaf.object.stored_sha256, aside, recording, (index,))

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
        path = self._vault.path / file
        fault = "damaged" if path.exists() else "missing"
        with self._writer_stopped(file, is_edge=is_edge), self._writable(path):
            aside = self._set_aside(file)
            placing = self._placing()
            try:
                placing.put(file, good, path if path.exists() else self._vault.log_path / "checkpoint")
                placing.settle()
            finally:
                placing.close()
        return self._told(file, fault, sha256_hex(good), aside, None, entries)

    def _mend_slots(self, file: str, pairs: dict[int, bytes], *, is_edge: bool) -> Repaired:
        """Write single slots in their places: the file is the one in the vault that may change."""
        path = self._vault.path / file
        fault = "damaged" if path.exists() else "missing"
        with self._writer_stopped(file, is_edge=is_edge):
            aside = self._set_aside(file, whole=False)
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
        reader = LogReader(self._vault)
        fresh = reader.leaves(self._tree.size)
        about = {one for leaf in fresh if leaf.type == "dispose" for one in leaf.about}
        gone = set[int]()
        for recording in about:
            with suppress(NotRepairableError):  # sealed after we looked: none of it was touched
                gone.add(self._find(recording, "")[0])
        return gone

    @cached_property
    def _fates(self) -> tuple[set[str], set[str]]:
        """Recordings that were disposed of, and those that were disposed of or wrapped anew."""
        disposed, touched = set[str](), set[str]()
        for leaf in self._leaves():
            if leaf.type == "dispose":
                disposed.update(leaf.about)
            if leaf.type in {"dispose", "rewrap"}:
                touched.update({*leaf.about, leaf.id} if leaf.type == "rewrap" else leaf.about)
        return disposed, touched

    @property
    def _disposed(self) -> set[str]:
        return self._fates[0]

    @cached_property
    def _destroyable(self) -> set[int]:
        """Entries whose slots may be zeros: they are left as they are."""
        touched, found = self._fates[1], set[int]()
        for number in range(-(-self._tree.size // TILE_WIDTH)) if touched else ():
            for index, raw in enumerate(self._tree.entries(number), number * TILE_WIDTH):
                if Leaf.parse(raw).id in touched:
                    found.add(index)
        return found

    def _leaves(self) -> Iterator[Leaf]:
        """Every entry that destroys keys."""
        for number in range(-(-self._tree.size // TILE_WIDTH)):
            for raw in self._tree.entries(number):
                if any(one in raw for one in _DESTROYS):
                    yield Leaf.parse(raw)

    def _find(self, recording: str, file: str) -> tuple[int, Leaf]:
        needle = f'"id":"{recording}"'.encode()
        for number in range(-(-self._tree.size // TILE_WIDTH)):
            for index, raw in enumerate(self._tree.entries(number), number * TILE_WIDTH):
                if needle in raw and (leaf := Leaf.parse(raw)).id == recording:
                    return index, leaf
        raise NotRepairableError(file=file, why="no entry on the log has this id")

    def _told(
        self, file: str, fault: str, sha256: str, aside: str | None, recording: str | None,
        entries: tuple[int, ...],
    ) -> Repaired:  # fmt: skip
        source = str(self._copy.path)
        return Repaired(file, fault, sha256, self.copy_size, source, aside, recording, entries)

    def _placing(self) -> Placing:
        return Placing(self._vault.path, self._vault.path / "incoming" / "repair")

    def _set_aside(self, file: str, *, whole: bool = True) -> str | None:
        """Give the damaged file a second name, or copy one that is mended in its place; durable on return."""
        path = self._vault.path / file
        if not path.exists():
            return None
        aside = self._vault.mismatched_path(f"{file.replace('/', '-')}.{token_hex(4)}")
        if whole:
            aside.hardlink_to(path)
            fsync_directory(aside.parent)
        else:
            placing = self._placing()
            placing.put(str(aside.relative_to(self._vault.path)), path.read_bytes(), path)
            placing.settle()
            placing.close()
        return str(aside)

    @contextmanager
    def _writer_stopped(self, file: str, *, is_edge: bool) -> Iterator[None]:
        """For files that vaultd writes: hold its lock meanwhile. Raises NotRepairableError while it runs."""
        with (self._vault.log_path / "lock").open("ab") as lock:
            try:
                if is_edge:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                why = "vaultd writes it; stop sealdock-vaultd, repair, and start it again"
                raise NotRepairableError(file=file, why=why) from cause
            yield

    @contextmanager
    def _writable(self, path: Path) -> Iterator[None]:
        """Without the flags that keep a file as it is, which are set again behind it."""
        taken: list[tuple[Path, Flag]] = []
        try:
            for place, flag in ((path.parent, Flag.APPEND_ONLY), (path, Flag.IMMUTABLE)):
                if place.exists() and flag in (flags(place) or Flag(0)):
                    take_off(place, flag)
                    taken.append((place, flag))
            yield
        except NoWormError as cause:
            why = "it is immutable and this process may not change that; run the command as root"
            raise NotRepairableError(file=str(path), why=why) from cause
        finally:
            for place, flag in taken:
                put_on(place, flag)


def _number(path: str) -> int:
    """The number in a tile's path: `x001/x234/067` is 1234067 (c2sp.org/tlog-tiles)."""
    return int(path.replace("x", "").replace("/", ""))
