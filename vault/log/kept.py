"""The kept lookup: so that vaultd's start does not read a log of millions of entries again.

When vaultd stops, it writes its lookup to log/lookup/ and signs which file goes with which size and root.
At the next start the file is copied to a private one while it is hashed, and only what was signed is used, and only for
a log that has that root at that size; the entries after it are skimmed as ever. Anything that does not fit is dropped
and made again from the log: nothing depends on these files, and no copy of a vault needs them.
"""

from __future__ import annotations

import os
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from core import log
from core.canonical import CanonicalError, decode, encode
from core.digest import Sha256
from core.durable import replace, settle_directory
from vault.error import VaultError
from vault.formats.merkle import TILE_WIDTH, DirectoryTiles, tree_root
from vault.formats.note import SigningKey, VerifierKey, open_note, sign_note
from vault.log.ledger import LogReader
from vault.log.rules import NOTED, Lookup, skim_type, skim_whole
from vault.store.objects import Vault

DIRECTORY = "lookup"
WORTH_KEEPING = 4096  # entries; fewer are skimmed in a blink
_LOG = log.get("vault.kept")
_KIND = "sealdock lookup v2"
_BLOCK = 1024 * 1024
_AT_ONCE = 32 * TILE_WIDTH  # entries skimmed in one transaction


def restore(reader: LogReader, signer: VerifierKey) -> tuple[Lookup, int]:
    """The lookup of the whole log, and how much of it was kept. Raises NoCheckpointError or TileError.

    Afterwards `Lookup.noted` names the entries that Register and Commitments learn from.
    """
    size = reader.size
    lookup, known = _kept(reader, size, signer) or (Lookup(), 0)
    for start in range(known, size, _AT_ONCE):
        learn(lookup, start, list(reader.raws(start, min(start + _AT_ONCE, size))))
    _LOG.info("the lookup is ready", kept=known, skimmed=size - known)
    return lookup, known


def learn(lookup: Lookup, start: int, raws: list[bytes]) -> None:
    """Take entries of the log, from index `start` on."""
    lookup.add((index, *skim_whole(raw)) for index, raw in enumerate(raws, start))
    lookup.note(index for index, raw in enumerate(raws, start) if skim_type(raw) in NOTED)


def keep(reader: LogReader, lookup: Lookup, key: SigningKey) -> None:
    """Write `lookup`, which must know all that the newest checkpoint covers. Raises OSError or VaultError."""
    checkpoint, _ = reader.checkpoint()
    directory = reader.vault.log_path / DIRECTORY
    settle_directory(directory, reader.vault.path)
    path = directory / f"{checkpoint.size}.db"
    path.unlink(missing_ok=True)
    lookup.copy_to(path)
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
    replace(directory / "note", _note(reader.vault, checkpoint.size, checkpoint.root, _digest(path), key))
    for old in directory.glob("*.db"):
        if old != path:
            old.unlink()


def keep_when_worth(reader: LogReader, lookup: Lookup, known: int, key: SigningKey) -> bool:
    """As `keep`, when `lookup` has `known` entries, which is all of the log, and that is many more than were kept.

    A disk that refuses is no reason to stop badly: it is told, and the next start reads the log.
    """
    try:
        if known != reader.size or known - kept_size(reader.vault, key.verifier) < WORTH_KEEPING:
            return False
        keep(reader, lookup, key)
    except (OSError, VaultError) as cause:
        _LOG.warning("the lookup could not be kept", why=str(cause))
        return False
    return True


def kept_size(vault: Vault, signer: VerifierKey) -> int:
    """How many entries the kept lookup covers; 0 when there is none that can be used."""
    told = _told(vault, signer)
    return 0 if told is None else told[0]


def _kept(reader: LogReader, size: int, signer: VerifierKey) -> tuple[Lookup, int] | None:
    told = _told(reader.vault, signer)
    if told is None or not 0 < told[0] <= size:
        return None
    known, root, digest = told
    tiles = DirectoryTiles(reader.vault.log_path, size)
    if b64encode(tree_root(tiles, known)).decode() != root:
        _LOG.warning("the kept lookup is of another log", size=known)
        return None
    private = _private_copy(reader.vault.log_path / DIRECTORY / f"{known}.db", digest)
    return None if private is None else (Lookup(private), known)


def _told(vault: Vault, signer: VerifierKey) -> tuple[int, str, str] | None:
    """Size, root and digest that `signer` put its name to."""
    try:
        text = open_note((vault.log_path / DIRECTORY / "note").read_bytes(), [signer])
        facts = decode(text.removesuffix("\n").encode())
        if (facts.get("kind"), facts.get("origin"), facts.get("noted")) != (_KIND, vault.origin, _noted()):
            return None
        return int(facts["size"]), str(facts["root"]), str(facts["sha256"])
    except FileNotFoundError:
        return None
    except (OSError, VaultError, CanonicalError, KeyError, ValueError, TypeError) as cause:
        _LOG.warning("the kept lookup cannot be used", why=str(cause))
        return None


def _note(vault: Vault, size: int, root: bytes, digest: str, key: SigningKey) -> bytes:
    facts = {
        "kind": _KIND, "origin": vault.origin, "size": size, "root": b64encode(root).decode(), "sha256": digest,
        "noted": _noted(),
    }  # fmt: skip
    return sign_note(encode(facts).decode() + "\n", key)


def _noted() -> list[str]:
    return sorted(NOTED)


def _private_copy(path: Path, digest: str) -> Path | None:
    """A copy that only this process can reach, when it has that digest: what was hashed is what is used."""
    running = Sha256()
    descriptor, name = tempfile.mkstemp(prefix="lookup-")
    try:
        with os.fdopen(descriptor, "wb") as copy:
            for block in _blocks(path):
                running.update(block)
                copy.write(block)
    except OSError as cause:
        _LOG.warning("the kept lookup cannot be read", why=str(cause))
    else:
        if running.hexdigest() == digest:
            return Path(name)
        _LOG.warning("the kept lookup is not the one that was signed", path=str(path))
    Path(name).unlink()
    return None


def _digest(path: Path) -> str:
    running = Sha256()
    for block in _blocks(path):
        running.update(block)
    return running.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            yield block
