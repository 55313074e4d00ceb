"""`sealdock ingest` of a folder as people really have them, then checked without our code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.footage import clip
from support.walk import walk

from core.errors import Exit
from sealdock.supervisor import Supervisor
from sealdock.wiring import Station
from vault.founding import initialise

pytestmark = pytest.mark.stock
FILES = 200


@dataclass(frozen=True)
class Bureau:
    settings: Path
    vkey: str
    recovery_identity: str

    def sealdock(self, *argv: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sealdock", "--settings", str(self.settings), *map(str, argv)],
            capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def bureau(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    """A station with its writer running."""
    home = tmp_path_factory.mktemp("bureau")
    made = initialise(home / "vault", home / "keys", b"a passphrase for one test")
    settings = home / "sealdock.toml"
    settings.write_text('vault = "vault"\nstate = "state"\nkeys = "keys"\n')
    found = Bureau(settings, made.vkey, made.recovery_identity or "")
    assert found.sealdock("db", "upgrade").returncode == Exit.YES
    stop = threading.Event()
    thread = threading.Thread(target=Supervisor(settings, ("vaultd",), log_directory=home).run, args=(stop,))
    thread.start()
    yield found
    stop.set()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 files: every variant of footage, photographs out of a film, sound, and what else lies on people's sticks."""
    place = tmp_path_factory.mktemp("stick")
    (place / "DCIM" / "100MEDIA").mkdir(parents=True)
    (place / "杂项").mkdir()
    for kind in ("h264", "hevc", "ts", "mov", "mjpeg", "fragmented", "photo", "wav", "mp3", "truncated"):
        shutil.copy(clip(kind), place / "DCIM" / "100MEDIA")
    film = clip("h264")
    frames = ["ffmpeg", "-v", "error", "-i", film, "-vf", "fps=25,scale=320:-2", "-frames:v", "60"]
    subprocess.run([*map(str, frames), str(place / "DCIM" / "100MEDIA" / "IMG_%04d.jpg")], check=True)
    (place / "empty.mp4").write_bytes(b"")
    (place / "notes.mp4").write_text("this is no film\n")
    (place / os.fsdecode(b"GBK-\xcf\xd6\xb3\xa1.txt")).write_bytes(b"a name in GBK")
    (place / ("n" * 251 + ".txt")).write_bytes(b"a name of 255 bytes")
    while (count := sum(path.is_file() for path in place.rglob("*"))) < FILES:
        (place / "杂项" / f"junk {count}.bin").write_bytes(os.urandom(500 + 37 * count))
    return place


def test_two_hundred_files_are_sealed_and_stock_tools_confirm_one(
    bureau: Bureau, folder: Path, tmp_path: Path
) -> None:
    done = bureau.sealdock("ingest", folder, "--receipts", tmp_path / "receipts", "--json")
    assert done.returncode == Exit.YES, done.stdout[-3000:] + done.stderr
    files = json.loads(done.stdout)["files"]
    assert len(files) == FILES
    assert all(file["recording"] and not file["error"] for file in files)
    film = next(file for file in files if file["path"].endswith("h264.mp4"))
    place = tmp_path / "outside"
    place.mkdir()
    receipt = (tmp_path / "receipts" / f"{film['recording']}.tlog-proof").read_bytes()
    vault = Station.load(bureau.settings).settings.vault
    walked = walk(vault, bureau.vkey, receipt, bureau.recovery_identity, place)
    assert walked.returncode == 0, walked.stdout + walked.stderr
    assert (place / "recording").read_bytes() == (folder / film["path"]).read_bytes()
    again = bureau.sealdock("ingest", folder, "--json")
    assert {file["known"] for file in json.loads(again.stdout)["files"]} == {True}
