"""docs/formats/verify-with-stock-tools.md, run as printed, on a vault that the real processes made."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from conformance.conftest import require
from crash.house import House, found

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
PAGE = FORMATS / "verify-with-stock-tools.md"
pytestmark = pytest.mark.stock


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    foundation = found(tmp_path_factory.mktemp("house"))
    return House(foundation.directory, foundation.identity.recovery_identity)


def walk(house: House, receipt: bytes, place: Path) -> subprocess.CompletedProcess[str]:
    for program in ("age", "openssl", "go"):
        require(program)
    (place / "kept.tlog-proof").write_bytes(receipt)
    (place / "recovery.key").write_text(f"{house.recovery_identity}\n")
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 10
    settings = {
        "VAULT": house.vault.path, "VKEY": house.vault.verifier.vkey, "RECEIPT": place / "kept.tlog-proof",
        "RECOVERY": place / "recovery.key", "FORMATS": FORMATS,
    }  # fmt: skip
    return subprocess.run(
        [require("bash"), "-euo", "pipefail", "-c", "".join(blocks)],
        capture_output=True, text=True, check=False, cwd=place, timeout=240,
        env={**os.environ, **{name: str(value) for name, value in settings.items()}},
    )  # fmt: skip


def test_the_page_recovers_a_recording_and_its_private_part(house: House, tmp_path: Path) -> None:
    original = os.urandom(200_000)
    recording = house.ingest(original)
    for _ in range(3):
        house.case()
    house.settle()
    index = house.row(recording).entry_index
    assert index is not None
    done = walk(house, house.reader.proof(index), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "recording").read_bytes() == original
    assert "the recording is the original" in done.stdout
    assert '"name":"a.mp4"' in done.stdout
    assert "FAILED entries" in done.stdout
    assert house.verify().ok


def test_the_page_stops_at_a_changed_object(house: House, tmp_path: Path) -> None:
    recording = house.ingest(b"what was recorded")
    house.settle()
    index = house.row(recording).entry_index
    assert index is not None
    receipt = house.reader.proof(index)
    path = house.vault.object_path(recording)
    kept = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    try:
        done = walk(house, receipt, tmp_path)
        report = house.verify()
    finally:
        path.write_bytes(kept)
    assert done.returncode != 0
    assert "lead to the root" in done.stdout
    assert "the stored object is what was sealed" not in done.stdout
    assert [(finding.code, finding.entry) for finding in report.failures] == [("verify.object", index)]
