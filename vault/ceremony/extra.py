"""Second signatures under the log's checkpoints: ML-DSA-44 against quantum computers, SM2/SM3 as a profile for China.

Both sign under the log's own name with keys of their own, and add lines that no verifier has to know. Invariant: there
is no way to make one of them the only line, because a log's writer always signs with Ed25519 first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.durable import create_once
from vault.formats.cosignature import Cosigner, CosignerSigningKey, Kind
from vault.formats.sm2 import Sm2SigningKey
from vault.store.objects import Vault
from vault.store.root import SECRET_MODE

ML_DSA_FILE = "log.mldsa44.key"
SM2_FILE = "log.sm2.pem"


def make_extra(keys: Path, vault: Vault, kind: str) -> tuple[Path, str]:
    """A fresh key of that kind (see MAKERS) in the keys directory; gives its file and its text.

    Raises AlreadyExistsError, Sm2Error or OSError.
    """
    return MAKERS[kind](keys, vault.origin)


def cosigners(keys: Path) -> tuple[Cosigner, ...]:
    """What adds a line to every checkpoint: the ML-DSA-44 key, where there is one. Raises CosignerKeyError."""
    path = keys / ML_DSA_FILE
    return (CosignerSigningKey.parse(path.read_text(encoding="ascii").strip()),) if path.exists() else ()


def sm2_cosigner(keys: Path, vault: Vault) -> Cosigner | None:
    """What adds an SM2 line to anchored checkpoints, where there is a key; openssl makes each, so not to every one."""
    path = keys / SM2_FILE
    return Sm2SigningKey(vault.origin, path) if path.exists() else None


def _mldsa44(keys: Path, origin: str) -> tuple[Path, str]:
    key = CosignerSigningKey.generate(origin, Kind.ML_DSA_44)
    create_once(keys / ML_DSA_FILE, f"{key.private_text}\n".encode(), SECRET_MODE)
    return keys / ML_DSA_FILE, key.vkey


def _sm2(keys: Path, origin: str) -> tuple[Path, str]:
    return keys / SM2_FILE, Sm2SigningKey.generate(origin, keys / SM2_FILE).vkey


MAKERS: dict[str, Callable[[Path, str], tuple[Path, str]]] = {"mldsa44": _mldsa44, "sm2": _sm2}
