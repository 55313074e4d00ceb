"""docs/formats/verify-with-stock-tools.md as a program: its code blocks, run as printed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
BLOCKS = 10


def walk(
    vault: Path, vkey: str, receipt: bytes, recovery_identity: str, place: Path
) -> subprocess.CompletedProcess[str]:
    """Run the page in the empty directory `place`; it leaves `recording` there."""
    (place / "kept.tlog-proof").write_bytes(receipt)
    (place / "recovery.key").write_text(f"{recovery_identity}\n")
    page = (FORMATS / "verify-with-stock-tools.md").read_text()
    page = re.sub(
        r"^## 8\..*?(?=^## 9\.)", "", page, flags=re.MULTILINE | re.DOTALL
    )  # of what outsiders confirmed
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == BLOCKS
    said = {
        "VAULT": vault, "VKEY": vkey, "RECEIPT": place / "kept.tlog-proof",
        "RECOVERY": place / "recovery.key", "FORMATS": FORMATS,
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        capture_output=True, text=True, check=False, cwd=place, timeout=240,
        env={**os.environ, **{name: str(value) for name, value in said.items()}},
    )  # fmt: skip
