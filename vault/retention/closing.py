"""Closing a bucket: its identity ends, and with it every key that was ever sealed to it, wherever a copy of one lies.

  1. Nothing waits, the bucket's month is over, and nothing sealed to it is still on its way in.
  2. Every header that the bucket ever held is of a recording that was erased, or was re-wrapped out of it.
  3. For each re-wrap, keyd opens old and new header and finds the same file key in both.
  4. Derivatives that were sealed to it are let go of; of what lives on the worker makes them again in the new bucket.
  5. The identity is overwritten and removed, here and in each copy of the vault that is named; keyd forgets it.
  6. `destroy` entries list the bucket; a recording is called "unreadable" once no bucket it ever lay in is left.
What lies in copies that were not named is beyond this, and the certificate says so.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ulid import ULID

from core import log
from core.durable import create_once, fsync_directory
from core.errors import Exit
from vault.error import VaultError
from vault.formats.entry import Leaf
from vault.log.bucket_rule import BUCKET, buckets_of
from vault.log.ledger import LogReader
from vault.log.rules import INGEST
from vault.retention.chronicle import DESTROY, DISPOSE, REWRAP, Chronicle, Standing
from vault.retention.erasure import EraseError
from vault.retention.execution import (
    ERASED,
    UNREADABLE,
    Hands,
    check_copy,
    check_settled,
    said_of,
    say_destroyed,
)
from vault.retention.past import Past
from vault.retention.schedule import holds_recordings
from vault.store.keys import IDENTITY_FILE, closed_mark
from vault.store.objects import Vault

_AGE = b"age-encryption.org/"  # how a wrapped identity begins
_LOG = log.get("vault.retention")


class BucketOpenError(VaultError):
    """A bucket that cannot be closed yet."""

    code = "vault.bucket_open"
    sentence = (
        "The bucket {name} stays ({why}). Nothing was destroyed; dispose of what is due, re-wrap what is kept "
        "(`sealdock dispose keep`), and try again."
    )
    exit_code = Exit.NO


class TrialOpener(Protocol):
    """Who can open headers and say whether they agree, without giving a key out: keyd, through its client."""

    def agrees(self, index: int, bucket: str) -> None:
        """Raises unless the recording's header in `bucket` and its newest re-wrap hold one file key."""

    def forget(self, bucket: str) -> None:
        """Let go of the bucket's identity."""


def close_bucket(vault: Vault, reader: LogReader, bucket: str, hands: Hands, keyd: TrialOpener) -> list[str]:
    """Destroy the bucket's identity; gives the ids of the `destroy` entries. May be called again after a crash.

    Raises BucketOpenError, NotSettledError, WrongCopyError, EraseError, and what keyd raises.
    """
    past = Past(reader)
    check_settled(hands.db, past.head)  # 1
    _check_month(vault, bucket, hands.clock())
    gone, kept = _headers(past, hands, bucket)  # 2
    houses = [vault.path, *(check_copy(vault, copy) for copy in hands.copies)]
    _check_no_rotation(houses, bucket)
    places = [path / "keys" / "buckets" / bucket for path in houses]
    if _is_whole(places[0]):
        for standing in kept:
            keyd.agrees(standing.index, bucket)  # 3
    for standing in (*gone, *kept):  # a job that had its key before the disposal may have finished after it
        hands.derived.forget(standing.leaf.id)  # 4
    if not (mark := closed_mark(vault, bucket)).exists():
        create_once(mark, b"")  # first, so that no dock makes the bucket anew
    for place in places:
        _destroy(place, hands)  # 5
    keyd.forget(bucket)
    _LOG.warning("a bucket is closed", bucket=bucket, recordings=len(gone), kept=len(kept))
    return _say_closed(past, hands, bucket, gone)  # 6


def closable(past: Past, hands: Hands) -> list[str]:
    """Buckets in which every header is gone or re-wrapped, by name; their month may not be over yet."""
    found = []
    for bucket in sorted({name for _, leaf in past.sealing() for name in buckets_of(leaf)}):
        if not holds_recordings(bucket) or bucket in destroyed_buckets(past):
            continue
        try:
            _headers(past, hands, bucket)
        except BucketOpenError:
            continue
        found.append(bucket)
    return found


def _check_month(vault: Vault, bucket: str, now: datetime) -> None:
    if not holds_recordings(bucket):
        raise BucketOpenError(name=bucket, why="it is no bucket of recordings")
    month = bucket.partition("-")[2]
    if month >= f"{now.astimezone(UTC):%Y-%m}":
        raise BucketOpenError(name=bucket, why="its month is not over")
    for part in sorted((vault.path / "incoming").glob("*.part")):
        if f"{ULID.from_str(part.stem).datetime:%Y-%m}" <= month:
            raise BucketOpenError(name=bucket, why=f"{part.name} may still be sealed to it")


def _check_no_rotation(houses: Iterable[Path], bucket: str) -> None:
    """A rotation that was cut short keeps every identity a second time, wrapped to the readers that are to come."""
    for path in houses:
        if (path / "keys" / "rotation").exists():
            raise BucketOpenError(name=bucket, why=f"a rotation in {path / 'keys'} is not finished")


def _headers(past: Past, hands: Hands, bucket: str) -> tuple[list[Standing], list[Standing]]:
    """The recordings that ever lay in the bucket: erased, and re-wrapped. Raises BucketOpenError for any other."""
    chronicle = Chronicle(past, hands.policy)
    gone, kept = list[Standing](), list[Standing]()
    for recording_id in dict.fromkeys(_sealed_to(past, bucket)):
        standing = chronicle.standing(recording_id)
        if standing.dispose is not None:
            if not said_of(past, chronicle.leaf(_place(past, standing.dispose)), ERASED):
                raise BucketOpenError(name=bucket, why=f"{recording_id} is disposed of and not erased yet")
            gone.append(standing)
        elif standing.rewraps and chronicle.leaf(standing.rewraps[-1]).facts["bucket"] != bucket:
            kept.append(standing)
        else:
            raise BucketOpenError(name=bucket, why=f"{recording_id} is still sealed to it")
    if not gone:
        raise BucketOpenError(name=bucket, why="nothing in it was ever disposed of")
    return gone, kept


def _sealed_to(past: Past, bucket: str) -> Iterator[str]:
    """Recordings with a header sealed to the bucket. Raises BucketOpenError for a header of anything else."""
    for _, leaf in past.sealing():
        if bucket not in buckets_of(leaf):
            continue
        if leaf.type == INGEST:
            yield leaf.id
        elif leaf.type == REWRAP and leaf.body is None:
            yield leaf.about[0]
        else:
            raise BucketOpenError(name=bucket, why=f"the private part of entry {leaf.id} is sealed to it")


def _is_whole(place: Path) -> bool:
    """Whether destroying has not begun: what was half destroyed had passed the trial, and opens nothing any more."""
    try:
        return (place / IDENTITY_FILE).read_bytes().startswith(_AGE)
    except FileNotFoundError:
        return False


def _destroy(place: Path, hands: Hands) -> None:
    """Step 5 in one directory: noise over the files, then their names, each durable."""
    try:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            hands.clear(path)
            path.chmod(0o600)
            with path.open("r+b", buffering=0) as file:
                file.write(bytes(path.stat().st_size))
                os.fsync(file.fileno())
            path.unlink()
        if place.is_dir():
            fsync_directory(place)
            place.rmdir()
            fsync_directory(place.parent)
    except OSError as cause:
        raise EraseError(path=cause.filename or place, why=cause.strerror or str(cause)) from cause


def _say_closed(past: Past, hands: Hands, bucket: str, gone: list[Standing]) -> list[str]:
    """Step 6, for every disposal that has recordings in the bucket; what is on the log is not said twice.

    An entry that calls recordings unreadable names every bucket they ever lay in, so that vaultd can hold it to that.
    """
    chronicle, destroyed = Chronicle(past, hands.policy), destroyed_buckets(past)
    said = {leaf.facts["dispose"]: leaf.id for leaf in destroyed.get(bucket, ())}
    dead = {bucket, *destroyed}
    by_dispose: dict[str, list[Standing]] = defaultdict(list)
    for standing in gone:
        by_dispose[standing.dispose or ""].append(standing)
    entries = []
    for dispose_id, standings in by_dispose.items():
        if dispose_id in said:
            entries.append(said[dispose_id])
            continue
        dispose = past.leaf(_place(past, dispose_id))
        unreadable = [each for each in standings if chronicle.buckets_of(each) <= dead]
        names = {bucket}.union(*map(chronicle.buckets_of, unreadable))
        about = [each.leaf.id for each in unreadable or standings]
        state = UNREADABLE if unreadable else ERASED
        entries.append(say_destroyed(hands, dispose, about, state, sorted(names)))
    return entries


def destroyed_buckets(past: Past) -> dict[str, list[Leaf]]:
    """Buckets whose identities `destroy` entries call gone, and those entries.

    One for which a new identity was put on the log since is not among them, whatever was destroyed before.
    """
    found: dict[str, list[Leaf]] = defaultdict(list)
    for index, raw in enumerate(past.reader.raws(0, past.size)):
        if b'"type":"destroy"' in raw and (leaf := past.leaf(index)).type == DESTROY:
            for name in leaf.facts.get("buckets", ()):
                found[name].append(leaf)
        elif b'"type":"bucket"' in raw and (leaf := past.leaf(index)).type == BUCKET:
            found.pop(leaf.facts["name"], None)
    return found


def _place(past: Past, dispose_id: str) -> int:
    place = past.find(dispose_id)
    if place is None or past.leaf(place).type != DISPOSE:
        raise BucketOpenError(name=dispose_id, why="its disposal is not on the log")
    return place
