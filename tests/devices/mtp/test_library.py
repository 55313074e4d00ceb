from __future__ import annotations

import ctypes

import pytest

from devices.mtp.library import SONAME
from devices.mtp.link import DeviceRefusedError, Link, LinkError


def has_libmtp() -> bool:
    try:
        ctypes.CDLL(SONAME)
    except OSError:
        return False
    return True


def test_the_real_library_is_bound_and_a_device_that_is_not_there_does_not_open() -> None:
    """What it does with one that is there, the emulated machine shows (docs/adr/0032)."""
    link = Link()
    try:
        link.send({"do": "open", "bus": 250, "number": 120, "vendor": 0x46F4, "product": 4})
        with pytest.raises(DeviceRefusedError) as caught:
            link.answer(lambda: None)
    finally:
        link.end()
    assert caught.value.is_missing is not has_libmtp()
    assert link.sent() == {}


def test_a_command_before_a_session_is_refused() -> None:
    link = Link()
    try:
        link.send({"do": "list", "storage": 1, "folder": None})
        with pytest.raises(DeviceRefusedError, match="no session is open"):
            link.answer(lambda: None)
    finally:
        link.end()


def ask(link: Link) -> None:
    link.send({"do": "open"})
    link.answer(lambda: None)


def test_a_program_that_is_no_worker_is_no_link() -> None:
    link = Link(("/bin/sh", "-c", "exit 0"), silence_s=5.0)
    try:
        with pytest.raises(LinkError):
            ask(link)
    finally:
        link.end()
