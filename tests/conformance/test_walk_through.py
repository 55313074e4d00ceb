"""docs/formats/verify-with-stock-tools.md, run as printed, on a vault that the real processes made."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conformance.conftest import require
from crash.house import House, found
from support.authority import Authority

from vault.formats import timestamp
from vault.formats.cosignature import CosignerSigningKey, Kind

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
PAGE = FORMATS / "verify-with-stock-tools.md"
pytestmark = pytest.mark.stock


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    foundation = found(tmp_path_factory.mktemp("house"))
    return House(foundation.directory, foundation.identity.recovery_identity)


WITNESSES = [CosignerSigningKey.generate("witness/next-door", kind) for kind in Kind]


def confirm(house: House, place: Path) -> Path:
    """An authority and a witness see the newest checkpoint; gives the anchor's directory."""
    checkpoint, note = house.reader.checkpoint()
    anchor = house.vault.log_path / "anchors" / str(checkpoint.size)
    anchor.mkdir(parents=True)
    (anchor / "checkpoint").write_bytes(note)
    authority = Authority(place.parent / "authority")
    (anchor / "hour.tsr").write_bytes(authority.answer(timestamp.query(note).raw))
    lines = [witness.line(checkpoint.text(), datetime.now(UTC)) for witness in reversed(WITNESSES)]
    (anchor / "next-door.cosignature").write_bytes(b"".join(lines))
    return anchor


def walk(
    house: House, receipt: bytes, place: Path, authority: Path | None = None
) -> subprocess.CompletedProcess[str]:
    for program in ("age", "openssl", "go"):
        require(program)
    (place / "kept.tlog-proof").write_bytes(receipt)
    (place / "recovery.key").write_text(f"{house.recovery_identity}\n")
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 13
    settings = {
        "VAULT": house.vault.path, "VKEY": house.vault.verifier.vkey, "RECEIPT": place / "kept.tlog-proof",
        "RECOVERY": place / "recovery.key", "FORMATS": FORMATS,
        "AUTHORITY": (authority or place.parent / "authority") / "roots.pem", "WITNESS": WITNESSES[0].vkey,
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
    anchor = confirm(house, tmp_path)
    for _ in range(2):
        house.case()
    house.settle()
    done = walk(house, house.reader.proof(index), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "witness/next-door saw this log at" in done.stdout
    assert "Time stamp:" in done.stdout
    assert (tmp_path / "recording").read_bytes() == original
    assert "the recording is the original" in done.stdout
    assert '"name":"a.mp4"' in done.stdout
    assert "FAILED entries" in done.stdout
    assert house.verify().ok
    for name in ("hour.tsr", "next-door.cosignature"):
        stops_at(house, index, anchor / name, tmp_path)


def stops_at(house: House, index: int, evidence: Path, place: Path) -> None:
    """A changed bit in what an outsider said ends the walk there, and nothing before it minds."""
    kept = evidence.read_bytes()
    altered = bytearray(kept)
    altered[-20 if evidence.suffix == ".tsr" else -8] ^= 1
    evidence.write_bytes(bytes(altered))
    again = place / evidence.name
    again.mkdir()
    try:
        done = walk(house, house.reader.proof(index), again, authority=place.parent / "authority")
    finally:
        evidence.write_bytes(kept)
    assert done.returncode != 0
    assert "the recording is the original" in done.stdout
    assert "FAILED entries" not in done.stdout


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
