"""The lab's own promises: other transports come and go as the kernel sees them."""

from __future__ import annotations

import socket
from pathlib import Path

from support.footage import clip
from vm.hardware import BAY
from vm.machine import Machine


def test_an_mtp_device_shows_its_files(workbench: Machine, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "DCIM").mkdir(parents=True)
    (store / "DCIM/A.MP4").write_bytes(clip("h264").read_bytes())
    workbench.usb.mtp("phone", "3", store, serial="MTP1")
    try:
        assert "A.MP4" in workbench.guest.until("gphoto2 --list-files 2>&1 | grep A.MP4", within_s=60)
    finally:
        workbench.usb.pull("phone")


def test_a_serial_recorder_speaks_over_a_socket_of_the_host(workbench: Machine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.settimeout(20)
        workbench.guest.listen()
        workbench.usb.serial_line("recorder", "4", tmp_path / "s", serial="SER1")
        recorder, _ = listening.accept()
        with recorder:
            recorder.settimeout(20)
            workbench.guest.until("test -c /dev/ttyUSB0 && udevadm settle")
            workbench.guest.run("stty -F /dev/ttyUSB0 raw -echo && printf 'ID?' >/dev/ttyUSB0")
            assert recorder.recv(3, socket.MSG_WAITALL) == b"ID?"
        workbench.usb.pull("recorder")
    ports = {event.get("ID_PATH") for event in workbench.guest.events() if event.get("SUBSYSTEM") == "usb"}
    assert BAY.format(port="4") in ports
    workbench.guest.until("test ! -e /dev/ttyUSB0")
