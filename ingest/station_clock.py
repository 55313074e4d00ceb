"""Whether the station's own clock is synchronised: a clock that nobody vouches for sets no other.

The kernel's word comes first (adjtimex(2): whoever keeps the time clears STA_UNSYNC); where a sandbox keeps that call
from us, the mark that systemd-timesyncd leaves in /run. What cannot be read counts as not synchronised.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES = 208  # struct timex of 64-bit Linux; the kernel writes no more than that
_STATUS_AT = 40  # modes, padding, offset, freq, maxerror, esterror: then `status`
_STA_UNSYNC, _TIME_ERROR, _REFUSED = 0x40, 5, -1


def is_synchronised(mark: Path = TIMESYNCD_MARK) -> bool:
    """Whether somebody keeps this machine's clock now."""
    said = _kernel_says()
    return mark.exists() if said is None else said


def _kernel_says() -> bool | None:
    """The kernel's word; None where it may not be asked. Reads only: `modes` is 0."""
    room = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(room)
    if state == _REFUSED:
        return None
    status = int.from_bytes(room.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return state != _TIME_ERROR and not status & _STA_UNSYNC
