"""Commitments to buckets: the log says which keys a bucket has before anything is sealed to it.

A bucket's recipient and its wrapped identity lie in keys/buckets, where a dock makes them. Whoever could exchange them
unseen would become a reader of all that is sealed from then on, or make it unreadable; so vaultd puts a `bucket` entry
on the log, in the batch of the first entry that uses the bucket, and a rotation of the root one for each bucket that it
wraps anew. A bucket's recipient never changes, and the digest of its identity.age only with a rotation.
Only vaultd submits these entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from core.digest import sha256_hex
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.log.outbox import RefusedError
from vault.log.rules import LogView, Rules
from vault.log.shape import Facts, shaped
from vault.store.keys import IDENTITY_FILE, NoBucketError, bucket_directory, bucket_recipient
from vault.store.medium import explained
from vault.store.objects import Vault

BUCKET = "bucket"
REWRAP = "rewrap"
_BY = "vaultd"


class BucketExchangedError(VaultError):
    """The keys of a bucket are not those that the log knows."""

    code = "vault.bucket_exchanged"
    sentence = (
        "The bucket {name} has another recipient than the log committed to. Nothing is sealed to it: whoever exchanged "
        "it could read what is. What waits stays safe where it is; restore keys/buckets/{name} from a copy of the "
        "vault, and find out who wrote there."
    )


class BucketFacts(Facts):
    """Facts of a `bucket` entry; `sha256` is of the file identity.age."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")]
    recipient: Annotated[str, Field(pattern=r"^age1[02-9ac-hj-np-z]{58}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Commitment:
    """What the log says, or is about to say, of one bucket."""

    name: str
    recipient: str
    sha256: str

    def facts(self) -> dict[str, object]:
        """The facts of its entry."""
        return {"name": self.name, "recipient": self.recipient, "sha256": self.sha256}


class Commitments:
    """The buckets that the log has committed to so far."""

    def __init__(self) -> None:
        self.known: dict[str, Commitment] = {}

    def take(self, leaf: Leaf) -> None:
        """Learn from one entry; other types are passed over."""
        if leaf.type == BUCKET:
            facts = leaf.facts
            self.known[facts["name"]] = Commitment(facts["name"], facts["recipient"], facts["sha256"])

    def missing(self, vault: Vault, leaf: Leaf) -> Iterator[Commitment]:
        """The commitments that have to come before `leaf`.

        Raises BucketExchangedError for a bucket with another recipient than the log says, NoBucketError for one that
        has no keys, MediumError for a disk that refuses.
        """
        for name in buckets_of(leaf):
            known = self.known.get(name)
            if known is None:
                yield commitment(vault, name)
            elif bucket_recipient(vault, name) != known.recipient:
                raise BucketExchangedError(name=name)


def buckets_of(leaf: Leaf) -> list[str]:
    """The buckets that an entry seals something to."""
    names = [part.bucket for part in (leaf.object, leaf.body) if part is not None]
    if leaf.type == REWRAP and isinstance(leaf.facts.get("bucket"), str):
        names.append(leaf.facts["bucket"])
    return list(dict.fromkeys(names))


def commitment(vault: Vault, name: str) -> Commitment:
    """What is to be said of a bucket as it lies on the disk. Raises NoBucketError or MediumError."""
    path = bucket_directory(vault, name) / IDENTITY_FILE
    try:
        wrapped = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise NoBucketError(name=name, path=path.parent) from cause
    except OSError as cause:
        raise explained(path, 0, cause) from cause
    return Commitment(name, bucket_recipient(vault, name), sha256_hex(wrapped))


def register(rules: Rules) -> None:
    """Register the rules of `bucket` entries."""
    rules.on(BUCKET, shaped(BucketFacts))
    rules.on(BUCKET, only_vaultd)


def only_vaultd(_log: LogView, leaf: Leaf) -> None:
    """Nobody else says which keys a bucket has, and there is nothing else in such an entry."""
    if leaf.by != _BY or leaf.about or leaf.body or leaf.object:
        raise RefusedError(why="only vaultd commits to a bucket, and to nothing beside it")
