"""Recorders made of files: dropping `<slot>.json` into a directory plugs one in, removing it pulls it out.

The events that come out are shaped like udev's and go through the same classifier, matching, mounting and
reading as a real recorder's. A pull is felt at once, in the middle of a read, as ENODEV; the event follows
later, as with real hardware. This earns a profile the status "experimental" and never more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core import log
from devices.block import probe
from devices.detect import Announce, Classifier, DeviceEvent
from devices.error import DeviceError, EmulationError
from devices.mass_storage import Presence

POLL_S = 0.2  # how soon a plug or a pull is noticed
FOLDER_TYPE = "emulated-folder"  # stands where udev says which file system a volume carries
_log = log.get(__name__)
Signature = tuple[int, int]


class Plug(BaseModel):
    """A control file: which port, who it claims to be, and what is on it.

    `vendor` and `product` are four hexadecimal digits (USB ids) or a name. With both an image and a
    directory, the directory is read where this machine cannot mount the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id_path: Annotated[str, Field(pattern=r"-usb-\d")]
    serial: str = ""
    vendor: str = ""
    product: str = ""
    label: str = ""
    image: Path | None = None
    directory: Path | None = None
    bytes_per_second: Annotated[int | None, Field(gt=0)] = None

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.image is None and self.directory is None:
            raise ValueError("either image or directory must be given")
        return self


def read_plug(path: Path) -> Plug:
    """The control file; relative paths in it are taken from where it lies. Raises EmulationError."""
    try:
        plug = Plug.model_validate_json(path.read_bytes())
    except ValidationError as cause:
        why = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in cause.errors())
        raise EmulationError(path=path, why=why) from cause
    except OSError as cause:
        raise EmulationError(path=path, why=cause.strerror or str(cause)) from cause
    places = {name: path.parent / value for name in ("image", "directory") if (value := getattr(plug, name))}
    for place in places.values():
        if not place.exists():
            raise EmulationError(path=path, why=f"there is no {place}")
    return plug.model_copy(update=places)


class EmulatedPresence(Presence):
    """Here as long as the very control file that plugged it in is; slowed to its `bytes_per_second`."""

    def __init__(self, device: str, control: Path) -> None:
        super().__init__(device)
        self._control, self._signature = control, _signature(control)
        self._rate = None if self._signature is None else read_plug(control).bytes_per_second
        self._due = 0.0

    def check(self) -> None:
        """Raises DepartedError from the moment the control file is gone or another."""
        if self._signature is None or _signature(self._control) != self._signature:
            self.depart()
        super().check()

    def pace(self, count: int) -> None:
        """Sleep so that no more than the set rate is read; a pull ends the sleep."""
        if self._rate is None:
            return
        now = monotonic()
        self._due = max(self._due, now) + count / self._rate
        if self.wait_departed(self._due - now):
            self.check()

    def quantum(self) -> int | None:
        """How much to read at once, so that a slow card moves in small steps as a slow card does."""
        return None if self._rate is None else max(4096, self._rate // 20)


class EmulationDetector:
    """Watches the control directory and speaks like udev."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plugged: dict[Path, Signature] = {}
        self._broken: dict[Path, Signature] = {}
        self._classifier = Classifier()

    def watch(self, announce: Announce, stop: Event) -> None:
        """Announce plugs and pulls until `stop`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self.look(announce)
        while not stop.wait(POLL_S):
            self.look(announce)

    def look(self, announce: Announce) -> None:
        """Compare the directory with what is plugged, once."""
        now = {path: s for path in sorted(self._directory.glob("*.json")) if (s := _signature(path))}
        for path, signature in list(self._plugged.items()):
            if now.get(path) != signature:
                del self._plugged[path]
                self._tell(DeviceEvent("remove", _usb_device(path)), announce)
        for path, signature in now.items():
            if path not in self._plugged and self._broken.get(path) != signature:
                self._plug(path, signature, announce)

    def _plug(self, path: Path, signature: Signature, announce: Announce) -> None:
        try:
            properties = _properties(path, read_plug(path))
        except DeviceError as cause:
            self._broken[path] = signature
            _log.error("emulated recorder not plugged in", why=str(cause))
            return
        self._plugged[path] = signature
        self._tell(DeviceEvent("add", properties), announce)

    def _tell(self, event: DeviceEvent, announce: Announce) -> None:
        for sighting in self._classifier.feed(event):
            announce(sighting)


def plug_in(control: Path, content: str) -> None:
    """Write a control file whole, so that no half of it is ever read."""
    temporary = control.with_suffix(".tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(control)


def _signature(path: Path) -> Signature | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _usb_device(path: Path) -> dict[str, str]:
    return {"DEVPATH": f"/devices/emulated/{path.stem}", "SUBSYSTEM": "usb", "DEVTYPE": "usb_device"}


def _properties(path: Path, plug: Plug) -> Mapping[str, str]:
    """What udev would say of this recorder's volume."""
    kind, label = _file_system(plug)
    properties = {
        "DEVPATH": f"/devices/emulated/{path.stem}/block/{path.stem}",
        "SUBSYSTEM": "block",
        "DEVTYPE": "disk",
        "DEVNAME": str(plug.image or plug.directory),
        "ID_BUS": "usb",
        "ID_PATH": f"{plug.id_path}:1.0-scsi-0:0:0:0",
        "ID_SERIAL_SHORT": plug.serial,
        "ID_FS_TYPE": kind,
        "ID_FS_LABEL": plug.label or label,
        "SEALDOCK_EMULATED_BY": str(path),
    }
    names = (("ID_VENDOR_ID", "ID_VENDOR", plug.vendor), ("ID_MODEL_ID", "ID_MODEL", plug.product))
    return properties | {(by_id if _is_usb_id(value) else by_name): value for by_id, by_name, value in names}


def _file_system(plug: Plug) -> tuple[str, str]:
    if plug.image is None:
        return FOLDER_TYPE, ""
    found = probe(plug.image)
    return (found[0].kind, found[0].label) if found else ("unknown", "")


_USB_ID = re.compile(r"[0-9a-f]{4}")


def _is_usb_id(value: str) -> bool:
    return bool(_USB_ID.fullmatch(value))


__all__ = ["EmulatedPresence", "EmulationDetector", "Plug", "plug_in", "read_plug"]
