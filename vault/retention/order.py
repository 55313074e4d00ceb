"""A disposal order: the proof, held in memory, that two people decided that these recordings go.

Only `ordered` makes one, after it proved the `dispose` entry on the signed log and ran every rule of a disposal again,
and only an order makes the eraser move (a test holds both). So there is no way to an object's end past the log.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.clock import utc_now
from core.errors import Exit
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.retention.chronicle import DESTROY, DISPOSE, Standing
from vault.retention.past import Past
from vault.retention.policy import Policy
from vault.retention.rule import Clock, check_dispose


class NoOrderError(VaultError):
    """An entry that disposes of nothing."""

    code = "vault.no_order"
    sentence = "Entry {index} is no disposal that can be carried out ({why}). Nothing was removed."
    exit_code = Exit.NO


@dataclass(frozen=True)
class Doomed:
    """One recording that goes: the entries whose key slots hold its headers, and those headers' digests."""

    id: str
    places: tuple[int, ...]
    headers: frozenset[str]
    buckets: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """What may be erased, by which entry. Made by `ordered` and by nothing else."""

    index: int
    dispose: Leaf
    recordings: tuple[Doomed, ...]


def ordered(past: Past, index: int, policy: Policy, clock: Clock = utc_now) -> Order:
    """The order of the `dispose` entry at `index`, proven and checked again.

    Raises NoOrderError, RefusedError, ApprovalError or PasskeyError, and VaultError for a log that does not hold.
    """
    leaf = past.leaf(index)
    if leaf.type != DISPOSE:
        raise NoOrderError(index=index, why="it is of another type")
    standings = check_dispose(past.before(index), leaf, policy, clock)
    return Order(index, leaf, tuple(_doomed(past, standing) for standing in standings))


def unfinished(past: Past) -> list[int]:
    """Disposals on the log that no `destroy` entry says were carried out, oldest first."""
    places, done = list[int](), set[str]()
    for index, raw in enumerate(past.reader.raws(0, past.size)):
        if b'"type":"dispose"' in raw and past.leaf(index).type == DISPOSE:
            places.append(index)
        elif b'"type":"destroy"' in raw and (leaf := past.leaf(index)).type == DESTROY:
            done.add(leaf.facts["dispose"])
    return [index for index in places if past.leaf(index).id not in done]


def _doomed(past: Past, standing: Standing) -> Doomed:
    sealed = standing.leaf.object
    if sealed is None:
        raise NoOrderError(index=standing.index, why="it seals no object")
    rewraps = [past.leaf(place).facts for place in standing.rewraps]
    headers = {sealed.header_sha256, *(facts["object_header_sha256"] for facts in rewraps)}
    buckets = dict.fromkeys([sealed.bucket, *(facts["bucket"] for facts in rewraps)])
    return Doomed(standing.leaf.id, (standing.index, *standing.rewraps), frozenset(headers), tuple(buckets))
