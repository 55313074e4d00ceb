"""From a sighting to an opened medium.

The mount unit's tree where the station has one, else our own read-only mount; for an emulated recorder the image
through the same ladder, and its plain folder, said aloud, only where nothing can mount the image.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from core import log
from devices.block import attached, probe
from devices.detect import Arrival
from devices.emulation import EmulatedPresence, Plug, read_plug
from devices.error import DeviceError, NotMountableError, UnknownFileSystemError
from devices.mass_storage import Medium, Presence
from devices.mount import (
    Mount,
    is_measured,
    mount_read_only,
    not_mountable,
    prepared,
    set_read_only,
)
from devices.recorder import Identity

MOUNT_UNIT_S = 10.0  # udev starts the mount unit with the same event that we hear; it may take a moment
MOUNTING_S = 120.0  # once it has begun: it reads the card's tables first (TimeoutStartSec of the unit)
LOOK_S = 0.05  # how soon a tree that was made ready is noticed
EMULATION = "emulation"  # the transport of a plain folder that stands for a card
_log = log.get(__name__)


def presence_of(arrival: Arrival) -> Presence:
    """The presence that a departure will end. Raises EmulationError for a control file that is gone again."""
    if arrival.emulated_by is None:
        return Presence(arrival.shown)
    return EmulatedPresence(arrival.shown, arrival.emulated_by)


def open_volume(arrival: Arrival, presence: Presence, mounts: Path) -> Medium:
    """Mount the volume read-only and give its tree. Raises DeviceError; UnknownFileSystemError untouched."""
    if not arrival.fs_type:
        raise UnknownFileSystemError(device=arrival.shown)
    if arrival.emulated_by is None:
        mount = _mount_device(arrival, presence, mounts)
    else:
        mount = _mount_emulated(arrival, read_plug(arrival.emulated_by), mounts)
    identity = Identity(arrival.serial, arrival.vendor_id, arrival.product_id, arrival.label)
    return Medium(mount.root, mount.transport, identity, presence, mount.close, mount.untouched)


def mount_image(image: Path, mounts: Path, shown: str) -> Mount:
    """Mount the first file system of a card image. Raises DeviceError."""
    parts = probe(image)
    if not parts:
        raise NotMountableError(device=shown, fs_type="unknown", why="no file system was found on it")
    with attached(image, parts[0]) as device:
        return mount_read_only(device, parts[0].kind, mounts, shown)


def _mount_device(arrival: Arrival, presence: Presence, mounts: Path) -> Mount:
    ready = prepared(mounts, arrival.node)
    if ready is None and os.geteuid() == 0:
        set_read_only(arrival.node)
        return mount_read_only(arrival.node, arrival.fs_type, mounts, arrival.shown)
    return ready or await_unit(arrival, presence, mounts)


def await_unit(arrival: Arrival, presence: Presence, mounts: Path) -> Mount:
    """The tree of the station's mount unit. Raises NotMountableError, or DepartedError for a card that has left.

    A unit that has made no folder for the card is not waited for long; one that has may be reading the tables of a slow
    card, and takes its record away when it ends without a mount.
    """
    since, is_known = monotonic(), False
    while not presence.wait_departed(LOOK_S):
        if ready := prepared(mounts, arrival.node):
            return ready
        was_known, is_known = is_known, is_measured(mounts, arrival.node)
        limit = MOUNTING_S if os.path.isdir(mounts / arrival.node.name) else MOUNT_UNIT_S  # noqa: PTH112  never raises
        if (was_known and not is_known) or monotonic() - since > limit:
            is_known = was_known
            break
    presence.check()
    if is_known:
        raise not_mountable(arrival.shown, arrival.fs_type, "the station's mount unit could not mount it")
    why = "the station's mount unit made no tree for it, and the dock itself may not mount"
    raise NotMountableError(device=arrival.shown, fs_type=arrival.fs_type, why=why)


def _mount_emulated(arrival: Arrival, plug: Plug, mounts: Path) -> Mount:
    """The image through the ladder; the plain folder only where there is no image or nothing can mount it."""
    refusal = "it was plugged in as a folder"
    if plug.image is not None:
        try:
            return mount_image(plug.image, mounts, arrival.shown)
        except DeviceError as cause:
            if plug.directory is None:
                raise
            refusal = str(cause)
    if plug.directory is None:
        raise NotMountableError(device=arrival.shown, fs_type="unknown", why=refusal)
    _log.warning("the emulation transport reads a plain folder", recorder=arrival.shown, why=refusal)
    return Mount(plug.directory, EMULATION)
