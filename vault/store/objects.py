"""The vault directory: where each thing lies, and reading a sealed object.

Invariants: a vault is opened, never made by accident; `vault.json` names it and its log key for ever. An object
is the payload of an age file (c2sp.org/age) without its header: chunk i lies at i * 65552, so that writing and
reading the medium stays aligned. Header and nonce lie in the object's key slot (vault.formats.pack); putting both
together gives a file that any age program opens.

Whoever owns this directory can destroy objects and cannot change one unseen: every byte is committed to by the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from core.canonical import CanonicalError, decode, encode
from core.errors import Exit
from vault.error import VaultError
from vault.formats.age import NONCE_SIZE, PayloadReader
from vault.formats.entry import Leaf
from vault.formats.handover import read_handovers, spoken_by, trusted_keys
from vault.formats.note import NoteKeyError, VerifierKey
from vault.formats.pack import BodyPacks, KeySlots
from vault.store.wrapping import Wrappings

VAULT_FILE = "vault.json"


class NoVaultError(VaultError):
    """There is no vault where one was expected."""

    code = "vault.none"
    sentence = (
        "There is no usable vault in {path} ({why}). Nothing was started. Check the path in the settings and that "
        "the disk is mounted; `sealdock vault init` makes a new vault and is never done by itself."
    )
    exit_code = Exit.CANNOT


class DisposedError(VaultError):
    """The key of this object is gone, and with it the content."""

    code = "vault.disposed"
    sentence = "Entry {index} has no key any more: its content was disposed of. The log still proves that it existed."


@dataclass(frozen=True)
class Vault:
    """An opened vault; holds paths and public facts, no secrets and no open files.

    `verifier` is the key that signs the log today, `earlier` those that signed it before, the founding's first.
    """

    path: Path
    id: str
    origin: str
    verifier: VerifierKey
    made_at: str
    earlier: tuple[VerifierKey, ...] = ()

    @classmethod
    def open(cls, path: Path) -> Vault:
        """The vault in `path`. Raises NoVaultError when there is none or vault.json is damaged.

        The log's key of today is found by following its handovers from the founding key; one that does not hold is a
        HandoverError or NoteSignatureError.
        """
        try:
            facts = decode((path / VAULT_FILE).read_bytes())
            if facts["v"] != 1:
                raise NoVaultError(path=path, why=f"format {facts['v']} is newer than this program")
            founding_key = VerifierKey.parse(facts["key"])
            *earlier, verifier = trusted_keys(founding_key, read_handovers(path))
            return cls(path, facts["id"], facts["origin"], verifier, facts["made_at"], tuple(earlier))
        except (OSError, CanonicalError, NoteKeyError, KeyError) as cause:
            raise NoVaultError(path=path, why=str(cause)) from cause

    def facts(self) -> bytes:
        """The content of vault.json; its key is the founding's for ever."""
        key = self.founding_key.vkey
        return encode({"v": 1, "id": self.id, "origin": self.origin, "key": key, "made_at": self.made_at})

    def speaker(self, note: bytes) -> VerifierKey:
        """The key of this log that signed the checkpoint in `note`, and had the right to. Raises VaultError."""
        return spoken_by(note, self.founding_key, read_handovers(self.path))

    @property
    def founding_key(self) -> VerifierKey:
        """The key that was printed when the vault was made; handovers lead from it to `verifier`."""
        return self.earlier[0] if self.earlier else self.verifier

    def incoming_path(self, entry_id: str) -> Path:
        """Where the dock writes the object of an entry that is not sealed yet."""
        return self.path / "incoming" / f"{entry_id}.part"

    def mismatched_path(self, name: str) -> Path:
        """Where an object is set aside whose bytes came back from the medium changed; `name` is of one attempt."""
        return self.path / "incoming" / f"{name}.mismatched"

    def object_path(self, entry_id: str) -> Path:
        """Where the object of a sealed entry lies; spread over directories by the ULID's random end."""
        return self.path / "objects" / entry_id[-2:].lower() / f"{entry_id}.chunks"

    @property
    def log_path(self) -> Path:
        """The tree, the checkpoint and the policy."""
        return self.path / "log"

    @property
    def keys_path(self) -> Path:
        """Recipients, wrapped bucket identities and key slots; no secret lies here in the clear."""
        return self.path / "keys"

    @cached_property
    def slots(self) -> KeySlots:
        """The key slots."""
        return KeySlots(self.keys_path / "slots")

    @cached_property
    def packs(self) -> BodyPacks:
        """The private bodies of entries."""
        return BodyPacks(self.path / "packs")

    @cached_property
    def wrappings(self) -> Wrappings:
        """Where the keys of recordings lie after re-wraps."""
        return Wrappings(self.log_path)


def open_object(vault: Vault, index: int, leaf: Leaf, file_key: bytes) -> PayloadReader:
    """A seekable reader over the plaintext of the object that entry `index` sealed.

    `file_key` comes from keyd (or from a Keyring); the nonce from the object's first key slot, which a re-wrap leaves
    as it is and only a disposal empties. Every byte is authenticated before it is given out. Raises DisposedError or
    OSError; the reader raises PayloadError for damaged bytes.
    """
    slot = vault.slots.object_slot(index)
    if slot is None:
        raise DisposedError(index=index)
    return PayloadReader.open(vault.object_path(leaf.id), file_key, slot[-NONCE_SIZE:])
