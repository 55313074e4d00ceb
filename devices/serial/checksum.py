"""The checksums that recorders put into their messages, by name. They tell noise from a reply and prove nothing."""

from __future__ import annotations

import binascii
from functools import reduce
from operator import xor

from devices.serial.table import Checksum

_MODBUS = 0xA001  # x^16 + x^15 + x^2 + 1, reflected (Modbus over serial line V1.02, 6.2.2)
_WIDTH = {"sum8": 1, "xor8": 1, "crc16-modbus": 2, "crc16-xmodem": 2, "crc32": 4}


def checksum_of(message: bytes, checksum: Checksum) -> bytes:
    """The checksum of all that stands before it in a message, as the message has it (hexadecimal in capitals)."""
    covered = message[checksum.skip : len(message) - checksum.stop_short]
    number = _number(checksum.kind, covered)
    width = _WIDTH[checksum.kind]
    if checksum.written == "hex":
        return b"%0*X" % (width * 2, number)
    return number.to_bytes(width, checksum.written)


def agrees(found: bytes, message: bytes, checksum: Checksum) -> bool:
    """Whether the checksum that was found is right for what stands before it; small hexadecimal letters are as good."""
    return (
        found.upper() == checksum_of(message, checksum)
        if checksum.written == "hex"
        else (found == checksum_of(message, checksum))
    )


def _number(kind: str, covered: bytes) -> int:
    match kind:
        case "sum8":
            return sum(covered) & 0xFF
        case "xor8":
            return reduce(xor, covered, 0)
        case "crc16-xmodem":
            return binascii.crc_hqx(covered, 0)
        case "crc16-modbus":
            return _modbus(covered)
        case _:
            return binascii.crc32(covered)


def _modbus(covered: bytes) -> int:
    register = 0xFFFF
    for byte in covered:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ _MODBUS if register & 1 else register >> 1
    return register
