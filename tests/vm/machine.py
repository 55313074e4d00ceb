"""Machines: from a saved state in about a second, and ended as a power cut ends them.

Invariants: the root disk is new for every machine and forgotten with it; the data disk is a file of the caller's and
outlives any number of machines; a saved state is used only with the QEMU and the devices that wrote it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from vm import hardware, product
from vm.channel import Channel
from vm.guest import Guest
from vm.hardware import Plan
from vm.image import Image, image
from vm.layout import lay_out, lay_product
from vm.place import LabError, forming, locked
from vm.usb import Usb

STATES_KEPT = 4  # some 200 MB each: another checkout's machines may be about to resume from theirs
COLD_WITHIN_S, WARM_WITHIN_S = 180.0, 60.0
SAVED_WITHIN_S, KILLED_WITHIN_S = 120.0, 30.0
MODULES = (
    "usb-storage sg vfat exfat nls_utf8 nls_cp437 nls_iso8859-1 nls_ascii cdc-acm ftdi_sio usbhid fuse loop 9p "
    "9pnet_virtio virtio_net"
)


@dataclass
class Machine:
    """A running machine."""

    plan: Plan
    pid: int
    qmp: Channel
    guest: Guest
    usb: Usb
    process: subprocess.Popen[bytes] | None = None  # none: another program started it

    @classmethod
    def boot(
        cls,
        directory: Path,
        *,
        data: Path | None = None,
        forwards: Mapping[int, int] | None = None,
        with_product: bool = True,
        cold: bool = False,
        outlives: bool = False,
        state: Path | None = None,
    ) -> Machine:
        """A machine whose files lie in `directory`; ready for commands on return. Raises LabError.

        It ends with this process, however that ends, unless it `outlives` it. A `state` of the caller's (saved_state)
        brings its own data disk, of which the machine gets a copy in `directory`, or in `data`.
        """
        built = image()
        if state is None and not cold:
            state = state_with_product(built) if with_product else plain_state(built)
        machine = _power_on(built, lay_out(directory, state, data, forwards or {}), state, outlives=outlives)
        try:
            machine.guest.run(["date", "--utc", "--set", f"@{time.time():.3f}"])
            machine.guest.run(
                "mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=none hand /hand"
            )
        except BaseException:
            machine.cut_power()
            raise
        return machine

    @classmethod
    def join(cls, directory: Path) -> Machine:
        """The machine that somebody else booted there. Raises LabError."""
        try:
            pid = int((directory / "pid").read_text())
            plan = Plan(directory, directory / "data.img", directory / "product.ext4")
            return _connect(plan, pid, time.monotonic() + WARM_WITHIN_S)
        except (OSError, ValueError) as cause:
            raise LabError(f"no machine runs in {directory}") from cause

    def cut_power(self) -> None:
        """Now, without a word to the guest: what it had not written out is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        if self.process:
            self.process.wait(KILLED_WITHIN_S)
        for channel in (self.qmp, self.guest.agent):
            channel.close()
        for left in (self.plan.root, self.plan.directory / "pid"):
            left.unlink(missing_ok=True)

    def console(self) -> str:
        """What its kernel has said on the serial line."""
        return (self.plan.directory / "console.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, at: TracebackType | None
    ) -> None:
        self.cut_power()


def _power_on(built: Image, plan: Plan, state: Path | None, *, outlives: bool = False) -> Machine:
    """Start QEMU, from the saved state in the directory `state` when there is one."""
    backing, form = (state / "root.qcow2", "qcow2") if state else (built.disk, "raw")
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(backing), str(plan.root)]
    subprocess.run(create, check=True, timeout=60)
    resumed = ["-incoming", f"exec:cat {state / 'memory'}"] if state else []
    tether = [] if outlives else ["setpriv", "--pdeathsig", "KILL"]
    with (plan.directory / "qemu.log").open("wb") as said:
        process = subprocess.Popen(
            [*tether, *hardware.argv(built, plan), *resumed], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True, cwd=plan.directory,
        )  # fmt: skip
    (plan.directory / "pid").write_text(str(process.pid))
    try:
        machine = _connect(plan, process.pid, time.monotonic() + (WARM_WITHIN_S if state else COLD_WITHIN_S))
        return replace(machine, process=process)
    except BaseException:
        process.kill()
        process.wait(KILLED_WITHIN_S)
        raise


def _connect(plan: Plan, pid: int, deadline: float) -> Machine:
    qmp = _opened(plan, Channel.to_qemu, plan.control, pid, deadline)
    while (status := qmp("query-status")["status"]) != "running":
        if status == "paused":  # as it was when its state was saved
            qmp("cont")
        _within(plan, pid, deadline)
    agent = _opened(plan, Channel, plan.agent, pid, deadline)
    while not agent.synchronise(1.0):
        _within(plan, pid, deadline)
    return Machine(plan, pid, qmp, Guest(agent), Usb(qmp))


def _opened(plan: Plan, connect: Callable[[Path], Channel], path: Path, pid: int, deadline: float) -> Channel:
    while True:
        try:
            return connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            _within(plan, pid, deadline)


def _within(plan: Plan, pid: int, deadline: float) -> None:
    """Wait a little, unless the machine has ended or its time is over."""
    time.sleep(0.01)
    is_over = time.monotonic() > deadline
    if is_over or not _is_running(pid):
        said = (plan.directory / "qemu.log").read_text(errors="replace")[-500:].strip()
        raise LabError(
            f"the machine {'was not ready in time' if is_over else 'ended as it was started'}: {said}"
        )


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def plain_state(built: Image) -> Path:
    """The saved state of a machine without the product."""
    state = built.directory / f"plain-{hardware.fingerprint()}"
    with locked("plain"):
        if not state.is_dir():
            _save(built, None, state, _settle)
    return state


def state_with_product(built: Image) -> Path:
    """The saved state with this checkout's product imported and waiting."""
    return saved_state(built, "product", product.digest(), plain_state, _import_product)


def saved_state(
    built: Image, kind: str, digest: str, base: Callable[[Image], Path], prepare: Callable[[Machine], None]
) -> Path:
    """The state that `prepare` makes of `base`, kept by `kind` and `digest`; the oldest of its kind are dropped."""
    before = base(built)
    state = before / f"{kind}-{digest}"  # inside it: a state that goes takes along what was made of it
    with locked(kind):
        if not state.is_dir():
            _save(built, before, state, prepare)
            by_age = sorted(before.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
            for older in by_age[:-STATES_KEPT]:
                shutil.rmtree(older)
        os.utime(state)
    return state


def _settle(machine: Machine) -> None:
    machine.guest.run("systemctl is-system-running --wait", check=False, within_s=COLD_WITHIN_S)
    machine.guest.run(f"modprobe -a {MODULES}; udevadm settle; mkdir -p /hand /product")


def _import_product(machine: Machine) -> None:
    machine.guest.run("mount -o ro /dev/vdc /product && mkfifo /run/forge")
    environment = {"PYTHONPATH": "/product/checkout:/product/packages", "PYTHONDONTWRITEBYTECODE": "1"}
    machine.guest.start("forge", ["/usr/bin/python3", "/product/forge.py"], environment)
    machine.guest.until(
        "test -e /run/forge.ready || ! systemctl --quiet is-active forge", within_s=240, every_s=0.5
    )
    machine.guest.run("test -e /run/forge.ready || { journalctl -o cat -u forge; false; }")


def _save(built: Image, base: Path | None, state: Path, prepare: Callable[[Machine], None]) -> None:
    """Boot, prepare, drop what was cached of the disks, and keep memory and disks.

    A data disk that was mounted belongs to the state; one that was not is another one for each machine.
    """
    with forming(state.name.partition("-")[0], state.parent) as place:
        made = place / "state"
        made.mkdir()
        plan = lay_out(place / "machine", None)
        if base:
            lay_product(base, made / "product.ext4")
            plan = replace(plan, product=made / "product.ext4")
        machine = _power_on(built, plan, base)
        try:
            prepare(machine)
            machine.guest.run("sync; blockdev --flushbufs /dev/vdb; echo 3 >/proc/sys/vm/drop_caches")
            has_data = machine.guest.run("mountpoint -q /data", check=False).code == 0
            _keep(machine, made)
            if has_data:
                plan.data.rename(made / "data.img")
        finally:
            machine.cut_power()
        made.rename(state)


def _keep(machine: Machine, state: Path) -> None:
    """Memory and root disk, stopped. Raises LabError."""
    deadline = time.monotonic() + SAVED_WITHIN_S
    machine.qmp("stop")
    machine.qmp("migrate-set-parameters", max_bandwidth=1 << 40)
    machine.qmp("migrate", uri=f"exec:cat >{state / 'memory'}")
    while (status := machine.qmp("query-migrate").get("status")) != "completed":
        if status in {"failed", "cancelled"} or time.monotonic() > deadline:
            raise LabError(f"the machine's state could not be saved: {status}")
        time.sleep(0.05)
    machine.plan.root.rename(state / "root.qcow2")
