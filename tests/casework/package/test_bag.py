from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from bureau.desk import Disclosed
from hypothesis import given
from hypothesis import strategies as st

from casework.package.bag import (
    Member,
    MemberChangedError,
    bag,
    build_directory,
    manifest,
    safe_name,
    stream_zip,
)
from core.durable import AlreadyExistsError

PAYLOAD = [Member.of_bytes("data/a.txt", b"a"), Member.of_bytes("data/b/空.txt", b"")]


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def unzipped(raw: bytes, folder: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        return {name.removeprefix(f"{folder}/"): archive.read(name) for name in archive.namelist()}


def lying(content: bytes, **lies: object) -> Member:
    return replace(Member.of_bytes("data/original.mp4", content), **lies)  # type: ignore[arg-type]


def test_the_directory_and_the_zip_hold_the_same(tmp_path: Path) -> None:
    members = bag(PAYLOAD, {"Source-Organization": "某县\n应急管理局"})
    build_directory(members, tmp_path / "package")
    stream = stream_zip(members, "folder")
    size = len(stream)
    raw = b"".join(stream)
    assert len(raw) == size  # Content-Length is exact
    assert unzipped(raw, "folder") == files(tmp_path / "package")


def test_bag_info_counts_bytes_and_files(tmp_path: Path) -> None:
    build_directory(bag(PAYLOAD, {"Source-Organization": "某县\n应急管理局"}), tmp_path / "package")
    lines = (tmp_path / "package/bag-info.txt").read_text().splitlines()
    assert lines == ["Source-Organization: 某县 应急管理局", "Payload-Oxum: 1.2"]


def test_a_path_cannot_break_the_manifest() -> None:
    assert manifest([replace(PAYLOAD[0], path="data/50%\n.txt")]).decode().endswith("  data/50%25%0A.txt\n")


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    with pytest.raises(AlreadyExistsError):
        build_directory(bag(PAYLOAD, {}), tmp_path / "package")


@pytest.mark.parametrize("lies", [{"sha256": "0" * 64}, {"size": 3_000_000}, {"size": 5_000_000}])
def test_a_member_that_is_not_what_the_log_says_stops_everything(
    tmp_path: Path, lies: dict[str, object]
) -> None:
    members = bag([lying(bytes(4_000_000), **lies)], {})
    with pytest.raises(MemberChangedError, match=r"data/original\.mp4"):
        build_directory(members, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []
    received = bytearray()

    def receive() -> None:
        for chunk in stream_zip(members, "folder"):
            received.extend(chunk)

    with pytest.raises(MemberChangedError):
        receive()
    assert len(received) < 4_000_000  # the end is held back
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(received))


def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> io.BytesIO:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        build_directory(bag([lying(b"x", open=broken)], {}), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("X1A0123060123_20261120091500_00.MP4", "0001_X1A0123060123_20261120091500_00.MP4"),
        ("../../etc/passwd", "0001_etc_passwd"),
        ("C:\\con.mp4", "0001_C_con.mp4"),
        ("现场 <检查>.mp4", "0001_现场_检查.mp4"),
        ("", "0001_recording"),
        ("...", "0001_recording"),
        (".hidden", "0001_hidden"),
        ("a\n\x00b.m p4", "0001_a_b.m_p4"),
        ("长" * 300 + "." + "尾" * 300, "0001_" + "长" * 40 + "." + "尾" * 8),
    ],
)
def test_names_that_any_system_takes(name: str, kept: str) -> None:
    assert safe_name(1, name) == kept


@given(st.text(), st.integers(1, 1000))
def test_no_name_leaves_its_folder(name: str, number: int) -> None:
    kept = safe_name(number, name)
    assert "/" not in kept
    assert not kept.startswith(".")
    assert len(f"{kept}.playable.mp4".encode()) <= 255
    assert kept.isprintable()


@pytest.mark.stock
def test_bagit_accepts_the_package(disclosed: Disclosed) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bagit", "--validate", disclosed.directory],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.stock
@pytest.mark.parametrize("name", ["manifest-sha256.txt", "tagmanifest-sha256.txt"])
def test_sha256sum_reads_the_manifests(disclosed: Disclosed, name: str) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", name]
    done = subprocess.run(command, cwd=disclosed.directory, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_streamed_package_is_the_package(disclosed: Disclosed) -> None:
    raw = b"".join(disclosed.package.stream())
    assert unzipped(raw, disclosed.package.folder) == files(disclosed.directory)
