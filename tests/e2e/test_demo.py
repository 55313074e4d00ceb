"""The demo, run as the README says, and what an outsider then does with what it left behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from casework.cases.case import CaseFile
from casework.equipment.asset import RecorderAsset
from casework.evidence.exhibit import CaseLink, Exhibit
from casework.evidence.recording import Recording
from casework.package.verify import verify_package
from casework.people.officer import Officer
from casework.people.unit import Unit
from core.errors import Exit
from sealdock.wiring import Station
from vault.formats.note import VerifierKey

ROOT = Path(__file__).parents[2]
PROJECTED = (Unit, Officer, RecorderAsset, CaseFile, CaseLink, Exhibit, Recording)


def run(*argv: object, timeout: int = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, argv)), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
    )


def sealdock(*argv: object) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "sealdock", *argv)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a demo that ran once to its end."""
    directory = tmp_path_factory.mktemp("demo") / "demo"
    done = run("script/demo", "--once", "--directory", directory)
    logs = "\n".join(path.read_text() for path in sorted((directory / "logs").glob("*.log")))
    assert done.returncode == Exit.YES, f"{done.stdout}\n{done.stderr}\n{logs[-4000:]}"
    assert "Traceback" not in logs
    return directory


def copy_of(package: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package, tmp_path / "package"))


def flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)


def test_bagit_accepts_the_package(demo: Path) -> None:
    done = run(sys.executable, "-W", "ignore", "-m", "bagit", "--validate", demo / "package")
    assert done.returncode == 0, done.stderr


def test_the_package_is_authentic_only_under_the_key_from_outside(demo: Path) -> None:
    key = demo / "credentials" / "log.vkey"
    assert sealdock("package", "verify", demo / "package", "--key", key).returncode == Exit.YES
    alone = sealdock("package", "verify", demo / "package")
    assert alone.returncode == Exit.CANNOT
    assert "which nothing here confirms" in alone.stdout
    assert "authentic" not in alone.stdout


def test_one_byte_changed_anywhere_names_the_file(demo: Path, tmp_path: Path) -> None:
    vkey = (demo / "credentials" / "log.vkey").read_text().strip()
    package = copy_of(demo / "package", tmp_path)
    files = [path for path in sorted(package.rglob("*")) if path.is_file()]
    assert len(files) > 20
    for path in files:
        before = path.read_bytes()
        flip_a_byte(path)
        report = verify_package(package, VerifierKey.parse(vkey))
        path.write_bytes(before)
        assert report.exit_code == Exit.NO, path
        assert str(path.relative_to(package)) in {finding.path for finding in report.findings}
    flip_a_byte(files[-1])
    told = sealdock("package", "verify", package, "--key", vkey)
    assert told.returncode == Exit.NO
    assert str(files[-1].relative_to(package)) in told.stdout


def test_the_originals_in_the_package_are_what_the_recorders_held(demo: Path) -> None:
    held = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for card in (demo / "cards").glob("card-?")
        for path in card.rglob("*.*")
    }
    given = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (demo / "package" / "data" / "originals").iterdir()
    }
    assert given == held


def test_a_browser_copy_lies_beside_the_hevc_original(demo: Path) -> None:
    copies = list((demo / "package" / "data" / "derivatives").glob("*.mp4"))
    assert len(copies) == 1
    streams = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-of", "json", copies[0]).stdout)[
        "streams"
    ]
    assert [stream["codec_name"] for stream in streams if stream["codec_type"] == "video"] == ["h264"]


def test_the_vault_proves_every_plaintext_with_the_recovery_key(demo: Path) -> None:
    done = sealdock(
        "vault", "verify", demo / "vault", "--key", demo / "credentials" / "log.vkey",
        "--keys", demo / "credentials" / "recovery.key", "--json",
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert done.returncode == Exit.YES, report
    assert report["counts"]["opened_objects"] == report["counts"]["objects"] >= 5


def rows(settings: Path) -> dict[str, list[dict[str, object]]]:
    """Everything in the projected tables, in an order of its own."""
    station = Station.load(settings)
    found = {}
    with station.db.reading() as session:
        for table in PROJECTED:
            columns = [column.key for column in table.__table__.columns]
            every = [{key: getattr(row, key) for key in columns} for row in session.scalars(select(table))]
            found[table.__tablename__] = sorted(every, key=str)
    station.close()
    return found


def test_a_lost_database_comes_back_from_the_log(demo: Path) -> None:
    settings = demo / "sealdock.toml"
    before = rows(settings)
    assert all(before.values())
    for path in (demo / "state").glob("sealdock.db*"):
        path.unlink()
    done = sealdock(
        "--settings",
        settings,
        "vault",
        "reindex",
        "--passphrase-file",
        demo / "credentials" / "root-passphrase",
    )
    assert done.returncode == Exit.YES, done.stderr
    assert rows(settings) == before


def test_a_second_run_goes_on_from_the_same_vault(demo: Path) -> None:
    before = rows(demo / "sealdock.toml")["recording"]
    done = run("script/demo", "--once", "--directory", demo)
    assert done.returncode == Exit.YES, done.stdout + done.stderr
    assert rows(demo / "sealdock.toml")["recording"] == before  # the same cards: nothing is sealed twice


def test_ctrl_c_stops_all_of_it(demo: Path) -> None:
    argv = ["script/demo", "--directory", str(demo)]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "until you press Ctrl-C" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 0
    assert not run("pgrep", "-f", str(demo / "sealdock.toml")).stdout
    assert str(demo) not in Path("/proc/mounts").read_text()
