"""Makes docs/formats/example: a whole vault that is small enough to print, with a recovery key that protects nothing.

    PYTHONPATH=tests python tests/docs/example_vault.py docs/formats/example

One recording, what an authority and a witness saw, and the keys of all three. Every page of docs/formats shows its
bytes and runs its commands on it (tests/docs/test_formats.py). Make it anew when a format changes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from crash.house import House, found
from support.authority import Authority

from casework.paper.scan import pieces
from vault.formats import timestamp
from vault.formats.cosignature import CosignerSigningKey, Kind

FOOTAGE = "现场执法记录 · what the camera saw\n".encode() * 1600  # two chunks


def make(target: Path) -> None:
    """Write the example to a directory that does not exist."""
    with tempfile.TemporaryDirectory() as scratch:
        foundation = found(Path(scratch))
        house = House(foundation.directory, foundation.identity.recovery_identity)
        recording = house.ingest(FOOTAGE)
        house.settle()
        house.case(body={"title": "示例案件", "number": "(2026) 001"})
        house.settle()
        checkpoint, note = house.reader.checkpoint()
        anchor = house.vault.log_path / "anchors" / str(checkpoint.size)
        anchor.mkdir(parents=True)
        (anchor / "checkpoint").write_bytes(note)
        authority = Authority(Path(scratch) / "authority", "example")
        (anchor / "authority.tsr").write_bytes(authority.answer(timestamp.query(note).raw))
        witness = CosignerSigningKey.generate("witness.example/1", Kind.ED25519)
        (anchor / "witness.cosignature").write_bytes(witness.line(checkpoint.text(), datetime.now(UTC)))
        index = house.row(recording).entry_index
        assert index is not None
        receipt = house.reader.proof(index)
        house.close()
        shutil.copytree(house.vault.path, target / "vault", ignore=shutil.ignore_patterns("incoming", "lock"))
        (target / "recovery.key").write_text(f"{house.recovery_identity}\n")
        (target / "vkey").write_text(f"{house.vault.verifier.vkey}\n")
        (target / "witness.vkey").write_text(f"{witness.vkey}\n")
        (target / "authority.pem").write_bytes(authority.roots)
        (target / "receipt.tlog-proof").write_bytes(receipt)
        for number, piece in enumerate(pieces(receipt), 1):
            (target / f"code-{number}.txt").write_bytes(piece + b"\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
