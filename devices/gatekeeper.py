"""The process behind sealdock-authorise.service: hears every USB device and has its interfaces decided.

Invariant: it fails closed. Until it has looked, and when it is dead, no interface of a new device on a bay's controller
is authorised: bays stay dark and nothing that is plugged into one does anything.
"""

from __future__ import annotations

import errno
from pathlib import Path
from threading import Event

import pyudev

from core import log
from devices.authorise import BayPorts, Place, Verdict, authorise, close_controllers
from devices.detect import POLL_S, root_hub_speed
from devices.error import DetectionError
from devices.port import exact_path, port_of

ARRIVES = frozenset(
    {"add", "bind", "change"}
)  # interfaces are there with `bind`, which old kernels do not send
_log = log.get(__name__)


def keep_gate(ports: BayPorts, stop: Event) -> None:
    """Close the bays' controllers, decide what is plugged in, then whatever comes. Raises DetectionError."""
    try:
        context = pyudev.Context()
        monitor = pyudev.Monitor.from_netlink(context)
        monitor.filter_by("usb")
        monitor.start()
    except (ImportError, OSError, ValueError) as cause:
        raise DetectionError(why=str(cause)) from cause
    look_around(ports, context)
    while not stop.is_set():
        try:
            device = monitor.poll(timeout=POLL_S)
        except OSError as cause:
            if cause.errno != errno.ENOBUFS:
                raise DetectionError(why=str(cause)) from cause
            look_around(ports, context)
            continue
        if device is not None and device.action in ARRIVES:
            _decide(ports, device)


def look_around(ports: BayPorts, context: pyudev.Context) -> None:
    """Controllers first, then every device that is there."""
    devices = [d for d in context.list_devices(subsystem="usb") if d.device_type == "usb_device"]
    hubs = [
        (d.properties.get("ID_PATH", ""), Path(d.sys_path)) for d in devices if d.sys_name.startswith("usb")
    ]
    for directory in close_controllers(ports, hubs):
        _log.info("controller closed to what is not decided", root_hub=directory.name)
    for device in devices:
        _decide(ports, device)


def _decide(ports: BayPorts, device: pyudev.Device) -> Verdict | None:
    """The device that an event is about, or whose interface it is; root hubs are the machine's own."""
    if device.device_type == "usb_interface":
        device = device.find_parent("usb", "usb_device")
    id_path = device.properties.get("ID_PATH", "") if device is not None else ""
    if device is None or "-usb-" not in id_path or device.sys_name.startswith("usb"):
        return None
    port = port_of(id_path)
    exact, _ = exact_path(device.device_path, id_path, root_hub_speed)
    if ports.place(port, exact) is Place.ELSEWHERE and not _is_on_a_bays_controller(ports, port):
        return None
    verdict = authorise(ports, Path(device.sys_path), port, exact)
    if verdict.refused:
        refused = ", ".join(f"{name} {interface.shown}" for name, interface in verdict.refused)
        _log.warning("interfaces refused", port=port, device=verdict.device, refused=refused)
    return verdict


def _is_on_a_bays_controller(ports: BayPorts, port: str) -> bool:
    """There the default is closed, so that what is not a bay's must be let in by us."""
    return any(port.startswith(f"{controller}-usb-") for controller in ports.controllers)
