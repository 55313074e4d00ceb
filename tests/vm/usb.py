"""Plugging and pulling: storage, hubs, MTP, serial lines and keyboards, at any moment and at any speed.

Ports are 1 to 15 on the machine itself and `<port>.<1 to 8>` behind a hub. Invariant: pulling a device frees all that
stood behind it, also of devices that went with their hub, so that the same name can be plugged again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vm.channel import Channel, RefusedError
from vm.place import LabError

EIO = 5  # errno of a medium that cannot be read (errno(3))
GONE_WITHIN_S = 10.0
_MEDIUM, _SPEED, _LINE = "-medium", "-speed", "-line"  # what belongs to a device is named after it


@dataclass(frozen=True)
class Usb:
    """The machine's USB controller, seen from outside."""

    qmp: Channel

    def storage(
        self, name: str, port: str, image: Path, *, serial: str = "", read_only: bool = False,
        bytes_per_second: int = 0, bad_sectors: Iterable[int] = (),
    ) -> None:  # fmt: skip
        """A mass-storage device over an image file; reads of `bad_sectors` (of 512 bytes) end with EIO."""
        file: dict[str, Any] = {"driver": "file", "filename": str(image), "read-only": read_only}
        if faults := [
            {"event": "none", "iotype": "read", "errno": EIO, "sector": sector} for sector in bad_sectors
        ]:
            file = {"driver": "blkdebug", "image": file, "inject-error": faults, "read-only": read_only}
        self.qmp("object-add", qom_type="throttle-group", id=name + _SPEED, limits=_limits(bytes_per_second))
        medium = {"driver": "raw", "file": file, "read-only": read_only}
        try:
            self.qmp(
                "blockdev-add", driver="throttle", node_name=name + _MEDIUM, throttle_group=name + _SPEED,
                file=medium, read_only=read_only,
            )  # fmt: skip
            self._add("usb-storage", name, port, serial, drive=name + _MEDIUM, removable=True)
        except RefusedError:
            self._free()
            raise

    def throttle(self, name: str, bytes_per_second: int) -> None:
        """Change a plugged medium's speed while it is read; 0 takes the brake off."""
        limits = _limits(bytes_per_second)
        self.qmp("qom-set", path=f"/objects/{name}{_SPEED}", property="limits", value=limits)

    def mtp(self, name: str, port: str, folder: Path, *, serial: str = "") -> None:
        """An MTP device whose store is a folder of the host."""
        self._add("usb-mtp", name, port, serial, rootdir=str(folder), readonly=True)

    def serial_line(self, name: str, port: str, socket: Path, *, serial: str = "") -> None:
        """A serial recorder (FTDI); who listens on the unix socket plays the recorder."""
        backend = {"addr": {"type": "unix", "data": {"path": str(socket)}}, "server": False}
        self.qmp("chardev-add", id=name + _LINE, backend={"type": "socket", "data": backend})
        try:
            self._add("usb-serial", name, port, serial, chardev=name + _LINE, always_plugged=True)
        except RefusedError:
            self._free()
            raise

    def hub(self, name: str, port: str) -> None:
        """A hub with eight ports."""
        self._add("usb-hub", name, port, ports=8)

    def keyboard(self, name: str, port: str) -> None:
        """A keyboard; `type_keys` presses its keys."""
        self._add("usb-kbd", name, port)

    def type_keys(self, *keys: str) -> None:
        """Press and release each key, by QEMU's names for them."""
        for key in keys:
            self.qmp("send-key", keys=[{"type": "qcode", "data": key}])

    def pull(self, name: str) -> None:
        """Take the device out, whatever it is doing. Raises LabError when it stays."""
        self.qmp("device_del", id=name)
        deadline = time.monotonic() + GONE_WITHIN_S
        while name in self.plugged():
            if time.monotonic() > deadline:
                raise LabError(f"{name} was pulled and is still there")
            time.sleep(0.01)
        self._free()

    def plugged(self) -> dict[str, str]:
        """The devices that are in, and their ports."""
        here = self.qmp("qom-list", path="/machine/peripheral")
        return {
            item["name"]: self.qmp("qom-get", path=f"/machine/peripheral/{item['name']}", property="port")
            for item in here
            if item["type"].startswith("child<usb-")
        }

    def _add(self, driver: str, name: str, port: str, serial: str = "", **options: Any) -> None:
        named = {"serial": serial} if serial else {}
        self.qmp("device_add", driver=driver, id=name, bus="usb.0", port=port, **named, **options)

    def _free(self) -> None:
        """Let go of every medium, speed and line whose device is not there any more."""
        here = set(self.plugged())
        nodes = self.qmp("query-named-block-nodes", flat=True)
        for node in _orphans((node["node-name"] for node in nodes), _MEDIUM, here):
            self._insist("blockdev-del", node_name=node)
        objects = self.qmp("qom-list", path="/objects")
        for group in _orphans((item["name"] for item in objects), _SPEED, here):
            self._insist("object-del", id=group)
        for line in _orphans((line["label"] for line in self.qmp("query-chardev")), _LINE, here):
            self._insist("chardev-remove", id=line)

    def _insist(self, command: str, **arguments: str) -> None:
        """A request that was under way may hold on to its medium for a moment."""
        deadline = time.monotonic() + GONE_WITHIN_S
        while True:
            try:
                self.qmp(command, **arguments)
            except RefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def _limits(bytes_per_second: int) -> dict[str, int]:
    return {"bps-total": bytes_per_second}


def _orphans(names: Iterable[str], suffix: str, here: set[str]) -> list[str]:
    return [name for name in names if name.endswith(suffix) and name.removesuffix(suffix) not in here]
