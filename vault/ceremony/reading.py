"""Other readers: a new root, or new recovery keys. Every bucket is wrapped anew, and nothing else has to be touched.

Each step durable before the next; done again, it goes on where it stopped:
  1. the new root, in keys/rotation (the keys directory), opened once;
  2. every bucket's identity, wrapped to the new readers in keys/rotation (the vault) and opened there with the root
     that is to come, before anything old is replaced;
  3. the log: a `bucket` entry for each, then the `root` entry that names the readers;
  4. root.recipient, recovery.recipient and every identity.age are replaced; a bucket that a dock made meanwhile under
     the old readers is taken through 2 to 4 as well;
  5. the old root is given up, and the new one takes its place.
Footage is not touched: a bucket's own key stays the same. So whoever has the old root AND an old copy of keys/buckets
can still read what those buckets hold; a rotation protects against a root that is lost or tired, not against that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.digest import sha256_hex
from core.durable import create_once, fsync_directory, make_directory, replace
from vault.ceremony.owner import as_owner_of, take_place
from vault.ceremony.rule import ROOT
from vault.ceremony.session import Ceremony, CeremonyError, Said
from vault.error import AgeError
from vault.formats.age import Identity, NoMatchError, Recipient, decrypt_file, encrypt_file
from vault.founding import readers
from vault.log.bucket_rule import BUCKET, BucketExchangedError, Commitment, commitment
from vault.store.keys import (
    IDENTITY_FILE,
    RECOVERY_RECIPIENT,
    ROOT_RECIPIENT,
    bucket_directory,
    bucket_names,
    bucket_recipient,
)
from vault.store.recovery import ProvenRecovery
from vault.store.root import Root
from vault.store.root_kind import RootPlace

ROTATION = "rotation"
_MARK = "recipient"  # written last: the root beside it is whole
_READ_ONLY = 0o440
Opener = Callable[[], Identity]


@dataclass(frozen=True)
class Rewrapped:
    """What a rotation did: the root's recipient, and how many buckets are wrapped to it now."""

    root: str
    buckets: int


def rotate_root(
    ceremony: Ceremony,
    opener: Opener,
    place: RootPlace,
    secret: bytes,
    give_up: Callable[[], None] = lambda: None,
) -> Rewrapped:
    """A new root of any kind. `opener` opens the old root, or a recovery identity when that is lost.

    `give_up` destroys what the old root has outside its file (a token's key); it is called once, before the new root
    takes its place. keyd must be started again afterwards. Raises RootError, CeremonyError or OSError.
    """
    staging = ceremony.keys / ROTATION
    if _is_in_place(staging, ceremony.past.root):  # the work was cut short at its very end
        shutil.rmtree(staging)
        return Rewrapped(ceremony.past.root, len(bucket_names(ceremony.vault)))
    root, identity = _staged_root(staging, place, secret)  # 1
    count = _rewrap(
        ceremony, opener, identity, identity.recipient.text, list(ceremony.past.recovery)
    )  # 2, 3, 4
    give_up()  # 5
    _promote(ceremony.keys, root)
    shutil.rmtree(staging)
    return Rewrapped(identity.recipient.text, count)


def rotate_recovery(ceremony: Ceremony, root: Identity, recovery: Sequence[ProvenRecovery]) -> Rewrapped:
    """Other recovery keys, each proven; the root stays. Raises CeremonyError or OSError."""
    if root.recipient.text != ceremony.past.root:
        raise CeremonyError(why="recovery keys are changed with the root that is in force")
    texts = [proven.recipient.text for proven in recovery]
    return Rewrapped(root.recipient.text, _rewrap(ceremony, lambda: root, root, root.recipient.text, texts))


def _is_in_place(staging: Path, root: str) -> bool:
    """Whether the root that was begun here is the one that the log names, and was moved to its place already."""
    mark = staging / _MARK
    is_named = mark.exists() and mark.read_text(encoding="ascii").strip() == root
    return is_named and not any(staging.glob("root.*"))


def _staged_root(staging: Path, place: RootPlace, secret: bytes) -> tuple[Root, Identity]:
    """The new root and its identity: opened, whether it was made now or before something cut the work short."""
    mark = staging / _MARK
    root = RootPlace(place.kind, place.module, place.token).root(staging)
    if not mark.exists():
        shutil.rmtree(staging, ignore_errors=True)
        make_directory(staging, mode=0o700)
        root.keep(made := Identity.generate(), secret)
        create_once(mark, f"{made.recipient.text}\n".encode())
    identity = root.open(secret)
    if identity.recipient.text != mark.read_text(encoding="ascii").strip():
        raise CeremonyError(why=f"{root.path} opens to another key than was made")
    return root, identity


def _rewrap(ceremony: Ceremony, opener: Opener, trial: Identity, root: str, recovery: list[str]) -> int:
    """Steps 2 to 4, until no bucket is left; gives how many there are."""
    staging = ceremony.vault.keys_path / ROTATION
    if not staging.exists() and _is_done(ceremony, readers(root, recovery)):
        return len(bucket_names(ceremony.vault))
    targets = [Recipient.parse(text) for text in (root, *recovery)]
    opened = _Opened(opener, trial)
    while True:
        staged = _stage(ceremony, staging, targets, opened)
        _tell(ceremony, staged, readers(root, recovery))
        _put_in_place(ceremony, staging, staged, root, recovery)
        if {one.name for one in staged} == set(bucket_names(ceremony.vault)):
            break
    with as_owner_of(ceremony.vault.keys_path):
        shutil.rmtree(staging)
        fsync_directory(staging.parent)
    return len(staged)


def _is_done(ceremony: Ceremony, reading: dict[str, object]) -> bool:
    """Whether the log and every bucket say so already."""
    past, vault = ceremony.past, ceremony.vault
    known = past.commitments.known
    return readers(past.root, past.recovery) == reading and all(
        known.get(name) == commitment(vault, name) for name in bucket_names(vault)
    )


class _Opened:
    """The old readers' key, asked for only when a bucket needs it: after a crash it may be gone already."""

    def __init__(self, opener: Opener, trial: Identity) -> None:
        self._opener, self._trial = opener, trial
        self._old: Identity | None = None

    def bucket(self, wrapped: bytes) -> Identity:
        """A bucket's identity, under the new root where it is wrapped to that already."""
        try:
            return self.again(wrapped)
        except NoMatchError:
            self._old = self._old or self._opener()
            return Identity.parse(decrypt_file(self._old, wrapped).decode("ascii", "replace"))

    def again(self, wrapped: bytes) -> Identity:
        """The trial: a bucket's identity under the new root."""
        return Identity.parse(decrypt_file(self._trial, wrapped).decode("ascii", "replace"))


def _stage(
    ceremony: Ceremony, staging: Path, targets: Sequence[Recipient], opened: _Opened
) -> list[Commitment]:
    """2. All buckets wrapped anew, each opened before it counts; nothing old is touched."""
    vault = ceremony.vault
    _begin(vault.keys_path, staging, targets)
    staged = []
    for name in bucket_names(vault):
        path = staging / f"{name}.age"
        recipient = bucket_recipient(vault, name)
        known = ceremony.past.commitments.known.get(name)
        identity = opened.bucket((bucket_directory(vault, name) / IDENTITY_FILE).read_bytes())
        if identity.recipient.text != recipient or (known and known.recipient != recipient):
            raise BucketExchangedError(name=name)
        if not path.exists():
            with as_owner_of(vault.keys_path):
                create_once(path, encrypt_file(targets, f"{identity.text}\n".encode()), _READ_ONLY)
        wrapped = path.read_bytes()
        try:
            same = opened.again(wrapped).text == identity.text
        except AgeError:
            same = False
        if not same:
            raise CeremonyError(
                why=f"the bucket {name} does not open when it is wrapped anew; remove {staging}"
            )
        staged.append(Commitment(name, recipient, sha256_hex(wrapped)))
    return staged


def _begin(keys_path: Path, staging: Path, targets: Sequence[Recipient]) -> None:
    """A directory for these very readers; one that was begun for others is finished first."""
    mark, text = staging / _MARK, "".join(f"{target.text}\n" for target in targets).encode()
    with as_owner_of(keys_path):
        make_directory(staging)
        if not mark.exists():
            create_once(mark, text)
    if mark.read_bytes() != text:
        raise CeremonyError(why=f"a rotation to other readers was begun in {staging} and is not finished")


def _tell(ceremony: Ceremony, staged: Sequence[Commitment], reading: dict[str, object]) -> None:
    """3. What the log does not say yet."""
    known = ceremony.past.commitments.known
    said = [Said(BUCKET, one.facts()) for one in staged if known.get(one.name) != one]
    if readers(ceremony.past.root, ceremony.past.recovery) != reading:
        said.append(Said(ROOT, reading))
    if said:
        ceremony.enter(said)


def _put_in_place(
    ceremony: Ceremony, staging: Path, staged: Sequence[Commitment], root: str, recovery: Sequence[str]
) -> None:
    """4. First whom new buckets are wrapped to, then the buckets."""
    keys_path = ceremony.vault.keys_path
    with as_owner_of(keys_path):
        for name, texts in ((ROOT_RECIPIENT, [root]), (RECOVERY_RECIPIENT, recovery)):
            _replace(keys_path / name, "".join(f"{text}\n" for text in texts).encode())
    for one in staged:
        directory = bucket_directory(ceremony.vault, one.name)
        with as_owner_of(directory):
            _replace(directory / IDENTITY_FILE, (staging / f"{one.name}.age").read_bytes())


def _replace(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        replace(path, content, _READ_ONLY)


def _promote(keys: Path, root: Root) -> None:
    """5. The new root in its place; files of other kinds of root open nothing any more."""
    before = sorted(keys.glob("root.*"))
    if root.path.exists():
        take_place(root.path, keys / root.path.name, like=before[0] if before else keys)
    for path in before:
        if path.name != root.path.name:
            path.unlink()
    fsync_directory(keys)
