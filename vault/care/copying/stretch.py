"""A stretch of the log, from what a copy has to a signed head: looked through once before anything is copied.

It says how much there will be to copy, and which entries speak of destruction: a `dispose` takes away the keys and the
object of its recordings, a `rewrap` the older keys, a `destroy` the identities of buckets. What they speak of may lie
anywhere before them on the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vault.error import VaultError
from vault.formats.entry import EntryError, Leaf
from vault.formats.merkle import Frontier, TileError, leaf_hash
from vault.log.ledger import LogReader
from vault.log.rules import skim

DISPOSE, REWRAP, DESTROY = "dispose", "rewrap", "destroy"
_GLANCE = b'"type":"rewrap"'


@dataclass
class Pending:
    """What the log says may be destroyed and the copy still holds: entries, recordings and buckets."""

    slots: set[int] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    buckets: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.slots or self.objects or self.buckets)

    def to_json(self) -> dict[str, list[int] | list[str]]:
        """For the copy's mark."""
        return {
            "slots": sorted(self.slots), "objects": sorted(self.objects), "buckets": sorted(self.buckets),
        }  # fmt: skip

    def add(self, other: Pending) -> None:
        """Take over what another list has."""
        self.slots |= other.slots
        self.objects |= other.objects
        self.buckets |= other.buckets


@dataclass
class Stretch:
    """Entries start..stop of one log. `sealed` are the indices of those that seal an object."""

    start: int
    stop: int
    sealed: list[int] = field(default_factory=list)
    object_bytes: int = 0
    pending: Pending = field(default_factory=Pending)


class SourceDamagedError(VaultError):
    """The log that is to be copied does not lead to its own signed head."""

    code = "vault.source_damaged"
    sentence = (
        "The log in {path} does not lead to its own signed checkpoint of {size} entries. The copy was left as it was, "
        "so that it stays good. Run `sealdock vault verify`, then `sealdock fixity repair` with an older copy."
    )


def look_through(reader: LogReader, frontier: Frontier, stop: int) -> Stretch:
    """Read the entries from the frontier's end to `stop`, which the frontier has taken on return.

    Earlier ones are read only when something was disposed of or wrapped anew. Raises SourceDamagedError for what
    cannot be read; whether the entries are the signed ones, the frontier's root says.
    """
    found = Stretch(frontier.size, stop)
    keys_of = set[str]()
    try:
        for index, raw in enumerate(reader.raws(frontier.size, stop), frontier.size):
            frontier.add(leaf_hash(raw))
            keys_of |= _take(found, index, Leaf.parse(raw))
    except (TileError, EntryError, OSError) as cause:
        raise SourceDamagedError(path=reader.vault.log_path, size=stop) from cause
    if keys_of:
        found.pending.slots |= _keys(reader, keys_of, stop, found.pending.objects)
    return found


def _take(found: Stretch, index: int, leaf: Leaf) -> set[str]:
    """Learn from one entry; gives the recordings whose keys it speaks of."""
    if leaf.object is not None:
        found.sealed.append(index)
        found.object_bytes += leaf.object.stored_size
    if leaf.type == DESTROY:
        found.pending.buckets.update(_names(leaf))
    if leaf.type == DISPOSE:
        found.pending.objects.update(leaf.about)
    return set(leaf.about) if leaf.type in {DISPOSE, REWRAP} else set()


def _names(leaf: Leaf) -> Iterable[str]:
    names = leaf.facts.get("buckets")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _keys(reader: LogReader, recordings: set[str], stop: int, disposed: set[str]) -> set[int]:
    """The entries with keys of these recordings: their own and those that wrapped them anew.

    The newest wrapping of a recording that was not disposed of is its key, and stays.
    """
    own, wrapped = set[int](), dict[str, list[int]]()
    for index, raw in enumerate(reader.raws(0, stop)):
        is_wrapping = _GLANCE in raw
        entry_id, about = skim(raw)
        if entry_id in recordings:
            own.add(index)
        for subject in about if is_wrapping else ():
            if subject in recordings and Leaf.parse(raw).type == REWRAP:
                wrapped.setdefault(subject, []).append(index)
    older = {i for one, at in wrapped.items() for i in (at if one in disposed else at[:-1])}
    return own | older
