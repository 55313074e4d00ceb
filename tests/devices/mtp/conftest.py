from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devices.detect import Arrival, Kind
from devices.mass_storage import Presence
from devices.mtp.link import Link
from devices.mtp.recorder import MtpListing, MtpRecorder, mtp_opener
from devices.mtp.session import Session
from devices.profile import Profile, find_profile, load_profiles

WORKER = Path(__file__).with_name("scripted_worker.py")
STORAGE = {"id": 65537, "name": "Card", "capacity": 1 << 34, "free": 1 << 30}


def folder(handle: int, name: str, parent: int = 0) -> dict[str, Any]:
    return {
        "handle": handle, "parent": parent, "storage": 65537, "name": name, "size": 4096, "folder": True,
        "seed": 0,
    }  # fmt: skip


def file(handle: int, name: str, size: int, parent: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "handle": handle, "parent": parent, "storage": 65537, "name": name, "size": size, "folder": False,
        "seed": handle, "modified_s": 1_790_000_000, **more,
    }  # fmt: skip


@dataclass
class Docked:
    """A scripted recorder in a bay."""

    directory: Path
    script: dict[str, Any] = field(default_factory=dict)
    silence_s: float = 10.0
    links: list[Link] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = self.directory / "bus" / "001" / "005"
        self.node.parent.mkdir(parents=True)
        self.presence = Presence("Maker Model 1")
        self.script = {
            "texts": {
                "Manufacturername": "Maker", "Modelname": "Model", "Serialnumber": "S1", "Deviceversion": "2.4",
            },
            "battery": [40, 80], "parts": True, "storages": [STORAGE],
            "objects": [folder(1, "DCIM"), folder(2, "100MEDIA", 1), file(3, "MOV_0001.MP4", 5_000_001)],
        }  # fmt: skip

    @property
    def arrival(self) -> Arrival:
        return Arrival(
            "/devices/usb1/1-8", "pci-usb-0:8", self.node, "", serial="USB1", vendor_id="1234",
            product_id="0001", model="Model", kind=Kind.STILL_IMAGE,
        )  # fmt: skip

    def start(self) -> Link:
        argv = (sys.executable, "-E", "-s", "-S", str(WORKER), str(self.directory / "script.json"))
        self.links.append(Link(argv, self.silence_s))
        return self.links[-1]

    def open(self, profiles: tuple[Profile, ...] | None = None) -> MtpListing:
        (self.directory / "script.json").write_text(json.dumps(self.script))
        node = self.directory / "node"
        node.touch()
        with suppress(FileExistsError):
            self.node.symlink_to(node)
        return mtp_opener(profiles or load_profiles(), self.start)(self.arrival, self.presence)

    def recorder(self) -> MtpRecorder:
        return self.open().recorder(find_profile(load_profiles(), "mtp-camera"))

    def session(self, recorder: MtpRecorder) -> Session:
        return recorder._session


@pytest.fixture
def docked(tmp_path: Path) -> Iterator[Docked]:
    made = Docked(tmp_path)
    yield made
    for link in made.links:
        link.end()
