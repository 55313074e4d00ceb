"""libmtp, as far as reading needs it: the only place that calls it, and only inside the worker.

Invariants: no function that writes, deletes, formats or sets is bound here; one device is opened, by its bus and
number, and no other is touched; whatever text comes back is bytes. libmtp parses what the device sends in C, so
nothing here may be imported by a process that must not die.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Iterator
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_uint,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from dataclasses import dataclass

SONAME = "libmtp.so.9"  # Debian's libmtp9; the interface is stable under this name since 2008
ROOT = 0xFFFFFFFF  # LIBMTP_FILES_AND_FOLDERS_ROOT: the top of a storage
FOLDER = 0  # LIBMTP_FILETYPE_FOLDER
DEBUG_USB = 0x04  # LIBMTP_DEBUG_USB: every request that is sent is written to standard output
CAN_READ_PARTS = 0  # LIBMTP_DEVICECAP_GetPartialObject
GO_ON, CANCEL = 0, 2  # LIBMTP_HANDLER_RETURN_*
MOST_TEXT = 4096  # bytes of one name: MTP strings have 255 characters at most (MTP 1.1, 3.2.3)


class LibraryError(Exception):
    """libmtp said no; the worker answers with this text."""


class LibraryMissingError(LibraryError):
    """libmtp is not installed."""


class _Entry(Structure):
    _fields_ = (
        ("vendor", c_char_p), ("vendor_id", c_uint16), ("product", c_char_p), ("product_id", c_uint16),
        ("device_flags", c_uint32),
    )  # fmt: skip


class _Raw(Structure):
    _fields_ = (("entry", _Entry), ("bus", c_uint32), ("number", c_uint8))


class _Storage(Structure):
    pass


_Storage._fields_ = (
    ("id", c_uint32), ("storage_type", c_uint16), ("file_system", c_uint16), ("access", c_uint16),
    ("capacity", c_uint64), ("free", c_uint64), ("free_objects", c_uint64), ("description", c_char_p),
    ("volume", c_char_p), ("next", POINTER(_Storage)), ("previous", POINTER(_Storage)),
)  # fmt: skip


class _Device(Structure):
    """The beginning of LIBMTP_mtpdevice_t, as far as it is read; never made here, only pointed to."""

    _fields_ = (
        ("object_bitsize", c_uint8), ("params", c_void_p), ("usbinfo", c_void_p), ("storage", POINTER(_Storage)),
    )  # fmt: skip


class _File(Structure):
    pass


_File._fields_ = (
    ("id", c_uint32), ("parent", c_uint32), ("storage", c_uint32), ("name", c_char_p), ("size", c_uint64),
    ("modified", ctypes.c_long), ("type", c_int), ("next", POINTER(_File)),
)  # fmt: skip

_Put = ctypes.CFUNCTYPE(c_uint16, c_void_p, c_void_p, c_uint32, c_void_p, POINTER(c_uint32))
# The memory for callbacks is taken here, before the worker's walls stand: where the unit forbids memory that is written
# and executed (MemoryDenyWriteExecute), libffi takes it from a nameless file, and the worker may write to none.
_FIRST = _Put(lambda *_: CANCEL)


@dataclass(frozen=True)
class Storage:
    """One storage, in bytes."""

    id: int
    name: bytes
    capacity: int
    free: int


@dataclass(frozen=True)
class Item:
    """One object; `modified_s` is 0 where the device says nothing. Times are read as UTC (the worker's TZ)."""

    handle: int
    name: bytes
    size: int
    modified_s: int
    is_folder: bool


class Library:
    """One opened device."""

    def __init__(self, bus: int, number: int, vendor: int, product: int) -> None:
        self._mtp = _bound()
        self._mtp.LIBMTP_Init()
        self._mtp.LIBMTP_Set_Debug(DEBUG_USB)
        entry = self._known(vendor, product)
        self._raw = _Raw(entry, bus, number)
        self._device = self._mtp.LIBMTP_Open_Raw_Device_Uncached(byref(self._raw))
        if not self._device:
            raise LibraryError("the device did not open a session")

    def text(self, what: str) -> bytes:
        """`Manufacturername`, `Modelname`, `Serialnumber` or `Deviceversion`; empty where it says nothing."""
        got = getattr(self._mtp, f"LIBMTP_Get_{what}")(self._device)
        if not got:
            return b""
        try:
            return ctypes.string_at(got)[:MOST_TEXT]
        finally:
            _free(got)

    def battery(self) -> tuple[int, int] | None:
        """Level and its most; None where it is not known."""
        most, level = c_uint8(), c_uint8()
        failed = self._mtp.LIBMTP_Get_Batterylevel(self._device, byref(most), byref(level))
        self._mtp.LIBMTP_Clear_Errorstack(self._device)
        return None if failed or not most.value else (level.value, most.value)

    def storages(self) -> Iterator[Storage]:
        """Every storage that it shows now. Raises LibraryError."""
        if self._mtp.LIBMTP_Get_Storage(self._device, 0) < 0:
            raise LibraryError("the device did not say which storages it has")
        place = self._device.contents.storage
        while place:
            one = place.contents
            name = one.description or one.volume or b""
            yield Storage(one.id, name[:MOST_TEXT], one.capacity, one.free)
            place = one.next

    def reads_parts(self) -> bool:
        """Whether a piece of an object can be asked for."""
        return bool(self._mtp.LIBMTP_Check_Capability(self._device, CAN_READ_PARTS))

    def list(self, storage: int, folder: int) -> Iterator[Item]:
        """What is in a folder, or at the top of a storage (`ROOT`). Raises LibraryError."""
        self._mtp.LIBMTP_Clear_Errorstack(self._device)
        place = self._mtp.LIBMTP_Get_Files_And_Folders(self._device, storage, folder)
        if not place and self._mtp.LIBMTP_Get_Errorstack(self._device):
            raise LibraryError("the folder could not be listed")
        while place:
            one = place.contents
            yield Item(one.id, (one.name or b"")[:MOST_TEXT], one.size, one.modified, one.type == FOLDER)
            following = ctypes.cast(one.next, POINTER(_File))  # a copy: what it is read from is freed next
            self._mtp.LIBMTP_destroy_file_t(place)
            place = following

    def read(self, handle: int, offset: int, room: memoryview) -> int:
        """A piece of an object into `room`; how many bytes, 0 at its end. Raises LibraryError."""
        got, count = c_void_p(), c_uint()
        failed = self._mtp.LIBMTP_GetPartialObject(
            self._device, handle, offset, len(room), byref(got), byref(count)
        )
        try:
            if failed or count.value > len(room):
                self._mtp.LIBMTP_Clear_Errorstack(self._device)
                raise LibraryError("the device did not give this piece")
            if count.value:
                ctypes.memmove((ctypes.c_char * count.value).from_buffer(room), got, count.value)
            return count.value
        finally:
            if got.value:
                _free(got)

    def stream(self, handle: int, take: Callable[[int, int], bool]) -> None:
        """A whole object, handed to `take(address, length)` as it comes, until that says no. Raises LibraryError."""
        failures: list[Exception] = []

        def put(_params: int, _own: int, length: int, address: int, done: ctypes._Pointer[c_uint32]) -> int:
            done[0] = length
            try:
                return GO_ON if take(address, length) else CANCEL
            except Exception as cause:  # noqa: BLE001  # nothing may pass through C; it is raised again below
                failures.append(cause)
                return CANCEL

        failed = self._mtp.LIBMTP_Get_File_To_Handler(self._device, handle, _Put(put), None, None, None)
        self._mtp.LIBMTP_Clear_Errorstack(self._device)
        if failures:
            raise failures[0]
        if failed:
            raise LibraryError("the device did not give the whole file")

    def close(self) -> None:
        """End the session."""
        self._mtp.LIBMTP_Release_Device(self._device)

    def _known(self, vendor: int, product: int) -> _Entry:
        """What libmtp knows of this model: its flags say which of its faults must be stepped around."""
        table, count = POINTER(_Entry)(), c_int()
        if self._mtp.LIBMTP_Get_Supported_Devices_List(byref(table), byref(count)) == 0:
            for place in range(count.value):
                known: _Entry = table[place]
                if (known.vendor_id, known.product_id) == (vendor, product):
                    return known
        return _Entry(None, vendor, None, product, 0)


def _free(memory: c_void_p | int) -> None:
    """Give back what libmtp allocated: its own function for that is newer than Debian 12's libmtp."""
    free = ctypes.CDLL(None).free
    free.argtypes = (c_void_p,)
    free(memory)


def _bound() -> ctypes.CDLL:
    """The library with its types. Raises LibraryMissingError."""
    try:
        mtp = ctypes.CDLL(SONAME)
    except OSError as cause:
        raise LibraryMissingError(f"{SONAME} is not installed") from cause
    device, files = POINTER(_Device), POINTER(_File)
    mtp.LIBMTP_Open_Raw_Device_Uncached.restype = device
    mtp.LIBMTP_Open_Raw_Device_Uncached.argtypes = (POINTER(_Raw),)
    for what in ("Manufacturername", "Modelname", "Serialnumber", "Deviceversion"):
        function = getattr(mtp, f"LIBMTP_Get_{what}")
        function.restype, function.argtypes = c_void_p, (device,)
    mtp.LIBMTP_Get_Batterylevel.argtypes = (device, POINTER(c_uint8), POINTER(c_uint8))
    mtp.LIBMTP_Get_Storage.argtypes = (device, c_int)
    mtp.LIBMTP_Check_Capability.argtypes = (device, c_int)
    mtp.LIBMTP_Clear_Errorstack.argtypes = (device,)
    mtp.LIBMTP_Get_Errorstack.restype, mtp.LIBMTP_Get_Errorstack.argtypes = c_void_p, (device,)
    mtp.LIBMTP_Get_Files_And_Folders.restype = files
    mtp.LIBMTP_Get_Files_And_Folders.argtypes = (device, c_uint32, c_uint32)
    mtp.LIBMTP_destroy_file_t.argtypes = (files,)
    mtp.LIBMTP_GetPartialObject.argtypes = (
        device, c_uint32, c_uint64, c_uint32, POINTER(c_void_p), POINTER(c_uint),
    )  # fmt: skip
    mtp.LIBMTP_Get_File_To_Handler.argtypes = (device, c_uint32, _Put, c_void_p, c_void_p, c_void_p)
    mtp.LIBMTP_Release_Device.argtypes = (device,)
    mtp.LIBMTP_Get_Supported_Devices_List.argtypes = (POINTER(POINTER(_Entry)), POINTER(c_int))
    return mtp
