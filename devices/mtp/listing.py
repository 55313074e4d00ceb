"""Everything on a device that some profile wants to see, before it is known which profile that is.

Invariants: what no profile for such a device asks for is not listed (on a telephone it is private); each folder is
listed once, so that a device whose folders hold each other ends; depth and number are limited as on a card; two objects
with one path are not told apart by guessing: the second is refused, and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from core import log
from devices.mtp.facts import UNKNOWN_SIZE, Item, Storage
from devices.mtp.session import DroppedError, Session
from devices.mtp_table import MtpTable
from devices.name import is_safe_part, show
from devices.tree import MAX_DEPTH, MAX_ENTRIES, Entry, Kind, Refusal

TRIES = 3  # of a listing whose session drops
_log = log.get(__name__)


@dataclass(frozen=True)
class Scope:
    """What is listed: what any of these tables asks for."""

    tables: tuple[MtpTable, ...]

    def has_storage(self, storage: Storage) -> bool:
        """Whether a storage is looked into."""
        return any(table.reads_storage(show(storage.name)) for table in self.tables)

    def has(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether something is listed, by its path; files beside restricted folders are not."""
        storage, _, below = path.partition(b"/")
        top, _, rest = below.partition(b"/")
        tables = [table for table in self.tables if table.reads_storage(show(storage))]
        if not rest and not is_folder:
            return any(not table.folders for table in tables)
        return any(table.reads_folder(show(top)) for table in tables)


@dataclass(frozen=True)
class Place:
    """Where a file is, in the words of one generation of the session."""

    storage: int
    handle: int
    generation: int


@dataclass
class Shelf:
    """What was found: entries in the order of a walk, and where each file is."""

    entries: list[Entry] = field(default_factory=list)
    places: dict[bytes, Place] = field(default_factory=dict)


def list_all(session: Session, scope: Scope) -> Shelf:
    """Walk every storage in scope. Raises DroppedError when the session drops each time, DepartedError, MtpError."""
    for _attempt in range(TRIES - 1):
        try:
            return _Walk(session, scope).run()
        except DroppedError as cause:
            _log.warning("an MTP session dropped during the listing", why=str(cause))
            session.reopen()
    return _Walk(session, scope).run()


def find(session: Session, path: bytes, size: int) -> Place | None:
    """Where a file of this path and size is now, after its session was taken up again. Raises DroppedError."""
    name, *below = path.split(b"/")
    storage = next((one.id for one in session.facts.storages if one.name == name), None)
    folder: int | None = None
    for step in below[:-1]:
        if storage is None:
            return None
        inside = _named(session.list(storage, folder, MAX_ENTRIES), step)
        if inside is None or not inside.is_folder:
            return None
        folder = inside.handle
    if storage is None or not below:
        return None
    file = _named(session.list(storage, folder, MAX_ENTRIES), below[-1])
    if file is None or file.is_folder or file.size != size:
        return None
    return Place(storage, file.handle, session.generation)


def _named(items: Iterable[Item], name: bytes) -> Item | None:
    found = [item for item in items if item.name == name]
    return found[0] if len(found) == 1 else None


class _Walk:
    """One walk over the device."""

    def __init__(self, session: Session, scope: Scope) -> None:
        self._session, self._scope = session, scope
        self._shelf, self._seen = Shelf(), set[tuple[int, int]]()
        self._folders: list[tuple[Storage, int | None, bytes]] = []

    def run(self) -> Shelf:
        storages = [one for one in self._session.facts.storages if self._scope.has_storage(one)]
        self._folders = [(one, None, one.name) for one in reversed(storages)]
        for one in storages:
            self._shelf.entries.append(Entry(one.name, Kind.DIRECTORY))
        while self._folders:
            for entry in self._enter(*self._folders.pop()):
                if len(self._shelf.entries) >= MAX_ENTRIES:
                    self._shelf.entries.append(Entry(entry.path, Kind.REFUSED, reason=Refusal.TOO_MANY))
                    return self._shelf
                self._shelf.entries.append(entry)
        return self._shelf

    def _enter(self, storage: Storage, folder: int | None, path: bytes) -> Iterator[Entry]:
        """What is in one folder, names in byte order."""
        left = MAX_ENTRIES - len(self._shelf.entries)
        items = sorted(
            self._session.list(storage.id, folder, left), key=lambda item: (item.name, item.handle)
        )
        taken: set[bytes] = set()
        for item in items:
            inside = path + b"/" + item.name
            if self._scope.has(inside, is_folder=item.is_folder):
                yield self._look(storage, item, inside, is_twin=item.name in taken)
            taken.add(item.name)

    def _look(self, storage: Storage, item: Item, path: bytes, *, is_twin: bool) -> Entry:
        if is_twin or not is_safe_part(item.name):
            return Entry(path, Kind.REFUSED, reason=Refusal.UNSAFE_NAME)
        if item.is_folder:
            return self._folder(storage, item, path)
        if item.size == UNKNOWN_SIZE:  # how long it is cannot be known, so a short copy could not be either
            return Entry(path, Kind.REFUSED, reason=Refusal.UNREADABLE)
        self._shelf.places[path] = Place(storage.id, item.handle, self._session.generation)
        return Entry(path, Kind.FILE, item.size, item.modified_at)

    def _folder(self, storage: Storage, item: Item, path: bytes) -> Entry:
        if path.count(b"/") >= MAX_DEPTH:
            return Entry(path, Kind.REFUSED, reason=Refusal.TOO_DEEP)
        if (storage.id, item.handle) in self._seen:
            return Entry(path, Kind.REFUSED, reason=Refusal.UNREADABLE_DIRECTORY)
        self._seen.add((storage.id, item.handle))
        self._folders.append((storage, item.handle, path))
        return Entry(path, Kind.DIRECTORY)
