"""The machine that is emulated: every device at a fixed place, because a saved state knows them by it.

The USB controller at slot 4 gives bays the ID_PATH `pci-0000:00:04.0-usb-0:<port>`; a device behind a hub in port 5
is at `…:5.<port>`. The data disk is the only one that outlives a machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

from vm.image import Image

MEMORY_MIB = 1024
CORES = 2
CPU = "Westmere"  # AES, and nothing newer: as `max` on two cores, QEMU 7.2 gave wrong path names (ADR 0025)
DATA_BYTES = 4 << 30  # sparse; the size is part of the saved state, so it is the same for all
PRODUCT_BYTES = 1 << 30
PORTS = 15
BAY = "pci-0000:00:04.0-usb-0:{port}"
KERNEL_LINE = (
    "console=ttyS0 quiet mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on panic=-1 "
    "net.ifnames=0 systemd.show_status=0"
)


@dataclass(frozen=True)
class Plan:
    """What differs from machine to machine: where its files lie, and which ports of the host lead into it."""

    directory: Path
    data: Path
    product: Path
    forwards: Mapping[int, int] = field(default_factory=dict)  # 127.0.0.1:key leads to the guest's port value

    @property
    def hand(self) -> Path:
        """A folder of the host that is /hand in the guest; both write."""
        return self.directory / "hand"

    @property
    def root(self) -> Path:
        return self.directory / "root.qcow2"

    @property
    def control(self) -> Path:
        return self.directory / "qmp.sock"

    @property
    def agent(self) -> Path:
        return self.directory / "agent.sock"


def argv(image: Image, plan: Plan) -> list[str]:
    """QEMU's command line, to be run in the plan's directory: a socket's address has no room for long paths."""
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in plan.forwards.items())
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35,hpet=off,smm=off,vmport=off,usb=off,sata=off,i8042=off",
        "-accel", "tcg,thread=multi,tb-size=256", "-cpu", CPU, "-smp", str(CORES), "-m", str(MEMORY_MIB),
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", KERNEL_LINE,
        "-serial", f"file:{plan.directory / 'console.log'}",
        "-qmp", f"unix:{plan.control.name},server=on,wait=off",
        "-blockdev", f"qcow2,node-name=root,file.driver=file,file.filename={plan.root},file.locking=off",
        "-device", "virtio-blk-pci,drive=root,addr=2",
        "-device", "virtio-rng-pci,addr=3",
        "-device", f"qemu-xhci,id=usb,p2={PORTS},p3={PORTS},addr=4",
        "-device", "virtio-serial-pci,addr=5",
        "-chardev", f"socket,id=agent,path={plan.agent.name},server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-blockdev", f"raw,node-name=data,file.driver=file,file.filename={plan.data}",
        "-device", "virtio-blk-pci,drive=data,serial=data,addr=6",
        "-netdev", f"user,id=net,restrict=on{forwards}",
        "-device", "virtio-net-pci,netdev=net,addr=7,romfile=",
        "-blockdev", f"raw,node-name=product,read-only=on,file.driver=file,file.filename={plan.product}",
        "-device", "virtio-blk-pci,drive=product,serial=product,addr=8",
        "-fsdev", f"local,id=hand,path={plan.hand},security_model=none,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=hand,mount_tag=hand,addr=9",
    ]  # fmt: skip


@cache
def fingerprint() -> str:
    """The digest of what a saved state fits: this program, these devices."""
    nowhere = Path("/")
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout
    return sha256(version + repr(argv(Image(nowhere), Plan(nowhere, nowhere, nowhere))).encode()).hexdigest()[
        :16
    ]
