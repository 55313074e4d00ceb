"""Which operations of PTP and MTP only read, and which of them were sent.

Sources: PTP is ISO 15740, MTP is the USB-IF's Media Transfer Protocol 1.1, appendix D; 0x95C1 is Android's. An
operation that is not on the list of those that read counts as one that changes the recorder: nobody proved that it does
not. Sessions leave nothing behind, so opening and closing one is among those that read.
"""

from __future__ import annotations

from collections.abc import Mapping

from devices.condition import Act

OPEN_SESSION = 0x1002
READS = {
    0x1001: "GetDeviceInfo", 0x1002: "OpenSession", 0x1003: "CloseSession", 0x1004: "GetStorageIDs",
    0x1005: "GetStorageInfo", 0x1006: "GetNumObjects", 0x1007: "GetObjectHandles", 0x1008: "GetObjectInfo",
    0x1009: "GetObject", 0x100A: "GetThumb", 0x1014: "GetDevicePropDesc", 0x1015: "GetDevicePropValue",
    0x101B: "GetPartialObject", 0x95C1: "GetPartialObject64", 0x9801: "GetObjectPropsSupported",
    0x9802: "GetObjectPropDesc", 0x9803: "GetObjectPropValue", 0x9805: "GetObjPropList",
    0x9806: "GetObjPropDesc", 0x9810: "GetObjectReferences",
}  # fmt: skip
WRITES = {
    0x100B: "DeleteObject", 0x100C: "SendObjectInfo", 0x100D: "SendObject", 0x100E: "InitiateCapture",
    0x100F: "FormatStore", 0x1010: "ResetDevice", 0x1011: "SelfTest", 0x1012: "SetObjectProtection",
    0x1013: "PowerDown", 0x1016: "SetDevicePropValue", 0x1017: "ResetDevicePropValue",
    0x1018: "TerminateOpenCapture", 0x1019: "MoveObject", 0x101A: "CopyObject", 0x95C2: "SendPartialObject",
    0x95C3: "TruncateObject", 0x95C4: "BeginEditObject", 0x95C5: "EndEditObject", 0x9804: "SetObjectPropValue",
    0x9808: "SendObjectPropList", 0x9811: "SetObjectReferences",
}  # fmt: skip


class Operations:
    """Every operation that was sent in one docking, counted."""

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}

    def add(self, sent: Mapping[int, int]) -> None:
        """Some more were sent."""
        for code, count in sent.items():
            self._sent[code] = self._sent.get(code, 0) + count

    @property
    def counts(self) -> Mapping[int, int]:
        """How often each was sent."""
        return self._sent

    @property
    def is_recorded(self) -> bool:
        """Whether the record works at all: no session begins without its first operation."""
        return OPEN_SESSION in self._sent

    @property
    def changing(self) -> tuple[int, ...]:
        """The codes of those that are not known to read only."""
        return tuple(sorted(set(self._sent) - set(READS)))

    @property
    def acts(self) -> tuple[Act, ...]:
        """Each operation once, by its code, with its name and how often it was sent."""
        return tuple(_act(code, count) for code, count in sorted(self._sent.items()))


def _act(code: int, count: int) -> Act:
    name = READS.get(code) or WRITES.get(code) or "unknown operation"
    return Act(f"MTP 0x{code:04x} {name} x {count}", changed=code not in READS)
