"""Cards as the makers of each shipped family fill them, in folders; nothing of Sealdock makes them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

FILM, JPEG, SOUND = b"\0\0\0\x18ftypisom", b"\xff\xd8\xff\xe0JFIF", b"RIFF\0\0\0\0WAVE"
HEADS = {"mp4": FILM, "mov": FILM, "jpg": JPEG, "wav": SOUND, "cr3": b"\0\0\0\x18ftypcrx ", "mp3": b"ID3\x04"}
DAY = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


def _days(form: str, count: int) -> list[str]:
    return [(DAY + timedelta(minutes=11 * n)).strftime(form) for n in range(count)]


_ENFORCEMENT = [
    f"DCIM/20261123/X1A0001060123_{start}_{n:04d}.mp4" for n, start in enumerate(_days("%Y%m%d%H%M%S", 4), 1)
]
LAYOUTS: dict[str, list[str]] = {
    "enforcement-storage": [
        *_ENFORCEMENT,
        "DCIM/20261123/X1A0001060123_20261123090000_0005_IMP.mp4",
        "DCIM/20261123/IMP/X1A0001060123_20261123091100_0006.mp4",
        "DCIM/20261123/X1A0001060123_20261123092200_0007.jpg",
        "LOG/20261123.txt", "MISC/SETTING.INI",
    ],
    "generic-dcim": ["DCIM/100MEDIA/MOV_0001.MP4", "DCIM/100MEDIA/MOV_0002.MP4", "DCIM/Camera/VID_20261123_081500.mp4"],
    "photo-camera": [
        *(f"DCIM/100CANON/IMG_{n:04d}.{ending}" for n in range(120, 124) for ending in ("CR3", "JPG")),
        "DCIM/100CANON/MVI_0124.MP4", "MISC/AUTPRINT.MRK",
    ],
    "audio-recorder": [
        "RECORDER/FOLDER_A/DS500001.MP3", "RECORDER/FOLDER_A/DS500002.MP3", "RECORDER/FOLDER_B/DS500003.MP3",
        "REC_FILE/FOLDER01/261123_0815.mp3", "SETTINGS.DAT",
    ],
    "dash-camera": [
        *(f"BlackBox/Record/20261123_08{n:02d}00_N{lens}.mp4" for n in range(3) for lens in "FR"),
        *(f"BlackBox/Record/20261123_08{n:02d}00_N.gpx" for n in range(3)),
        "BlackBox/Record/20261123_084000_EF.mp4", "Movie/RO/2026_1123_091500_000012F.MP4",
        "Movie/2026_1123_091600_000013F.MP4", "Movie/2026_1123_091600_000013F.NMEA", "Config/version.bin",
        "261123_081500_001_FH.MP4", "261123_081500_001_FH.srt",
    ],
}  # fmt: skip
MTP_LAYOUT = [
    "Internal storage/DCIM/Camera/VID_20261123_081500.mp4", "Internal storage/DCIM/Camera/IMG_20261123_082600.jpg",
    "SD card/DCIM/20261123/X1A0001060123_20261123083700_0001.mp4",
]  # fmt: skip
# a device that no shipped profile knows: a maker's own folders, two days, two lenses, marked files
UNKNOWN = [
    f"EVIDENCE/{day}/{folder}PX900123_B77_{day}T{8 + n:02d}1500_{n:03d}{lens}.mp4"
    for day in ("20261122", "20261123")
    for n, folder in ((1, ""), (2, ""), (3, "LOCK/"))
    for lens in "FR"
] + ["EVIDENCE/20261123/PX900123_B77_20261123T091500_001.gpx", "SYS/run.log"]


def with_folders(files: list[str]) -> list[str]:
    """The shown paths of a listing: files, and every folder above one."""
    folders = {f"{'/'.join(file.split('/')[:n])}/" for file in files for n in range(1, file.count("/") + 1)}
    return sorted(folders) + files


def fill(root: Path, files: list[str]) -> Path:
    """A folder that looks like such a card."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(HEADS.get(path.suffix[1:].lower(), b"text\n").ljust(64, b"."))
        os.utime(path, (DAY.timestamp(), DAY.timestamp()))
    return root
