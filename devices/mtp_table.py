"""`[mtp]`: a device that speaks MTP instead of showing a disk, and what of it is read.

MTP (PTP's descendant, ISO 15740) says who made the device, which model it is and what its storages are called.
All of it is a claim. A profile with this table is considered for MTP devices only; one without never is.
Paths are then `<storage>/<path>`, the storage's name being the first part.
"""

from __future__ import annotations

import re
from typing import Self

from pydantic import model_validator

from devices.table import Pattern, Table, UsbId


class MtpUsb(Table):
    """A USB vendor id and, where it tells more, a product id: four lower-case hexadecimal digits."""

    vendor: UsbId
    product: UsbId | None = None


class MtpTable(Table):
    """Which MTP devices, which of their storages, and which folders of those.

    `usb`, `manufacturers`, `models`: one of each list that is given must fit (patterns: the whole text); at least
    one list must be given. `storages`: patterns of storage names that are read; empty is all. `folders`: patterns of
    top folders (no `/`) that are listed; empty is all. What lies outside is not listed: on a telephone it is private.
    """

    usb: tuple[MtpUsb, ...] = ()
    manufacturers: tuple[Pattern, ...] = ()
    models: tuple[Pattern, ...] = ()
    storages: tuple[Pattern, ...] = ()
    folders: tuple[Pattern, ...] = ()

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not (self.usb or self.manufacturers or self.models):
            raise ValueError("names no device; give at least one of: usb, manufacturers, models")
        return self

    def claims(self, *, vendor_id: str, product_id: str, manufacturer: str, model: str) -> bool:
        """Whether a device that says this of itself is meant."""
        return (
            (not self.usb or any(_is(usb, vendor_id, product_id) for usb in self.usb))
            and (not self.manufacturers or _fits(self.manufacturers, manufacturer))
            and (not self.models or _fits(self.models, model))
        )

    def reads_storage(self, name: str) -> bool:
        """Whether a storage with this name is read."""
        return not self.storages or _fits(self.storages, name)

    def reads_folder(self, name: str) -> bool:
        """Whether the top folder with this name is listed."""
        return not self.folders or _fits(self.folders, name)


def _is(usb: MtpUsb, vendor_id: str, product_id: str) -> bool:
    return usb.vendor == vendor_id and usb.product in {None, product_id}


def _fits(patterns: tuple[str, ...], text: str) -> bool:
    return any(re.fullmatch(pattern, text) for pattern in patterns)
