"""What a receipt in somebody's hand says about outsiders: time stamps beside it, cosignatures in it.

Invariant: a time is told only after its signature was checked under a certificate or key that the reader brought;
what nobody was named for is left out, what is false is an error. Needs no station.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.x509 import Certificate

from casework.package.bag_check import DECLARATION as BAG
from casework.package.content import HANDOVERS as PACKAGED
from core.clock import stamp as as_stamp
from core.regular import read_bounded
from vault.formats import timestamp
from vault.formats.cosignature import CosignerKey, cosignatures
from vault.formats.handover import DIRECTORY, handovers_in, spoken_by
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt

_ED25519_SIZE = 64  # bytes of a signature (RFC 8032)
CONFIRMED = (
    "{name} confirmed the log with this entry on {at}: from then on not even the machine's owner can have "
    "changed it or put it in afterwards."
)
NOBODY = (
    "No outside evidence was checked: the machine's owner could have rewritten this entry until the receipt left the "
    "house. Bring the stamp (--stamp, --roots) or the witness's key (--witness) if there is one."
)


@dataclass(frozen=True)
class Confirmed:
    """Somebody outside vouched for the receipt's checkpoint."""

    name: str
    at: datetime

    def as_json(self) -> dict[str, str]:
        """For a program."""
        return {"name": self.name, "at": as_stamp(self.at)}


def confirmations(
    receipt: Receipt,
    key: VerifierKey | None,
    stamps: Sequence[Path],
    roots: Sequence[Path],
    witnesses: Sequence[str],
) -> list[Confirmed]:
    """Everything that holds, the earliest first. Raises VaultError for what is false or has no root."""
    note = receipt.proof.checkpoint_note
    keys = [CosignerKey.parse(_text(given)) for given in witnesses]
    found = [Confirmed(one.key.name, one.at) for one in cosignatures(note, keys)]
    trusted = tuple(root for file in roots for root in timestamp.load_roots(file.read_bytes()))
    found += [Confirmed(file.name, _stamped(file, note, key, trusted).at) for file in stamps]
    return sorted(found, key=lambda one: one.at)


def told(seen: Sequence[Confirmed]) -> str:
    """The sentence that every receipt carries."""
    if not seen:
        return NOBODY
    at = seen[0].at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return CONFIRMED.format(name=seen[0].name, at=at)


def signed_by_log(note: bytes, key: VerifierKey | None) -> bytes:
    """The checkpoint as the log signed it, without the lines of others: what an authority stamped.

    Without `key`, every line in the log's name that an Ed25519 key can have made: the log's further lines (ML-DSA-44,
    SM2) are longer and were not stamped, and at a handover two keys of the log signed.
    """
    parsed = Note.parse(note)
    named = [one for one in parsed.signatures if parsed.text.startswith(f"{one.name}\n")]
    own = [one for one in named if (key.made(one) if key else len(one.raw) == _ED25519_SIZE)]
    return f"{parsed.text}\n".encode() + b"".join(one.line for one in own)


def _stamped(
    file: Path, note: bytes, key: VerifierKey | None, roots: Sequence[Certificate]
) -> timestamp.Stamp:
    """What the stamp in `file` proves of the checkpoint: under the log's one line, or under those of a handover."""
    raw = read_bounded(file, timestamp.REPLY_LIMIT)
    both = signed_by_log(note, None)
    imprint = timestamp.parse(raw).imprint
    stamped = both if imprint == sha256(both).digest() else signed_by_log(note, key)
    return timestamp.verify(raw, stamped, roots)


def speaker(note: bytes, founding: VerifierKey, place: Path) -> VerifierKey:
    """The key that the log had when it signed `note`, followed from `founding` by the handovers in `place`.

    `place` is a vault, a package, or the directory that holds the handovers. Raises VaultError, also for a checkpoint
    that a key signed after it had given up the log.
    """
    if (place / "vault.json").exists():
        place /= DIRECTORY
    elif (place / BAG).exists():
        place /= PACKAGED
    return spoken_by(note, founding, handovers_in(place))


def _text(given: str) -> str:
    path = Path(given)
    return path.read_text(encoding="utf-8").strip() if path.is_file() else given
