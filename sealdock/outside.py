"""What a receipt in somebody's hand says about outsiders: time stamps beside it, cosignatures in it.

Invariant: a time is told only after its signature was checked under a certificate or key that the reader brought;
what nobody was named for is left out, what is false is an error. Needs no station.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.clock import stamp as as_stamp
from vault.formats import timestamp
from vault.formats.cosignature import CosignerKey, cosignatures
from vault.formats.note import Note, VerifierKey
from vault.formats.proof import Receipt

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
    for file in stamps:
        stamped = timestamp.verify(file.read_bytes(), signed_by_log(note, key), trusted)
        found.append(Confirmed(file.name, stamped.at))
    return sorted(found, key=lambda one: one.at)


def told(seen: Sequence[Confirmed]) -> str:
    """The sentence that every receipt carries."""
    if not seen:
        return NOBODY
    at = seen[0].at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return CONFIRMED.format(name=seen[0].name, at=at)


def signed_by_log(note: bytes, key: VerifierKey | None) -> bytes:
    """The checkpoint as the log signed it, without the lines of others: what an authority stamped."""
    parsed = Note.parse(note)
    own = [
        one
        for one in parsed.signatures
        if (key.made(one) if key else parsed.text.startswith(f"{one.name}\n"))
    ]
    return f"{parsed.text}\n".encode() + b"".join(one.line for one in own)


def _text(given: str) -> str:
    path = Path(given)
    return path.read_text(encoding="utf-8").strip() if path.is_file() else given
