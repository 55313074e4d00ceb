"""The guest's disk: a small Debian from the distribution's own packages, built once and kept under its key.

Invariants: an image is found by the digest of everything that went into it, so one that is there is right; it
appears under that name only when it is whole. Nothing of the product is inside: the checkout and its Python
packages come over 9p, so a changed line of code never means a new image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from vm.place import LabError, cache, forming, locked, program

SUITE = "bookworm"
PACKAGES = (
    "busybox-static", "dosfstools", "e2fsprogs", "exfatprogs", "gphoto2", "iproute2", "jmtpfs", "kmod", "libudev1",
    "linux-image-amd64", "mount", "mtp-tools", "procps", "python3", "qemu-guest-agent", "systemd", "systemd-sysv",
    "tzdata", "udev", "usbutils", "util-linux",
)  # fmt: skip
NO_USE = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/boot/System.map*",
    *(f"/lib/modules/*/kernel/{part}/*" for part in (
        "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/net/wireless",
        "drivers/net/ethernet", "drivers/iio", "drivers/staging", "drivers/isdn", "drivers/bluetooth",
    )),
)  # fmt: skip
EARLY_MODULES = ("crc32c_generic", "virtio_pci", "virtio_blk", "ext4")  # ext4 asks for crc32c as it is loaded
QUIET_UNITS = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty.target", "systemd-pstore.service", "systemd-timesyncd.service",
    "systemd-networkd.service", "systemd-logind.service", "systemd-update-utmp.service",
    "systemd-journal-flush.service", "systemd-random-seed.service",
)  # fmt: skip
UNUSED_S = 3 * 86_400  # seconds after which an image that nobody has used is forgotten
BUILD_WITHIN_S = 420  # for any one program of the build; the mirror is the slow one
SPARE_BYTES = 512 << 20  # of the guest's disk, beside what is on it
GUEST = Path(__file__).with_name("guest")


@dataclass(frozen=True)
class Image:
    """What a machine boots from."""

    directory: Path

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @property
    def disk(self) -> Path:
        return self.directory / "root.ext4"


def key() -> str:
    """The digest of all that goes into the image."""
    parts = [
        Path(__file__).read_bytes(),
        (GUEST / "init").read_bytes(),
        os.environ.get("SEALDOCK_LAB_MIRROR", "").encode(),
    ]
    return sha256(b"\0".join(parts)).hexdigest()[:16]


def image() -> Image:
    """The image for this checkout, built when it is not there. Raises LabError."""
    found = Image(cache() / key())
    with locked("build"):
        if not found.directory.is_dir():
            _build(found.directory)
        os.utime(found.directory)
        _forget_unused()
        (cache() / "current").write_text(f"{found.directory.name}\n")
    return found


def _build(target: Path) -> None:
    with forming("build", cache()) as place:
        root, made = place / "root", place / "image"
        made.mkdir()
        _debian(root)
        _furnish(root)
        _boot_files(root, Image(made))
        _disk(root, Image(made).disk)
        made.rename(target)


def _debian(root: Path) -> None:
    argv = [
        "mmdebstrap", "--variant=apt", "--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 3",
        *(f"--dpkgopt=path-exclude={path}" for path in NO_USE), f"--include={','.join(PACKAGES)}",
        SUITE, str(root),
    ]  # fmt: skip
    if mirror := os.environ.get("SEALDOCK_LAB_MIRROR"):
        argv.append(mirror)
    _run(*argv, env=os.environ | {"INITRD": "No"})


def _furnish(root: Path) -> None:
    """Settings of a machine that nobody logs in to: no consoles, no timers, journal in memory."""
    units = root / "etc/systemd/system"
    for unit in QUIET_UNITS:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (root / "etc/fstab").write_text("/dev/vda / ext4 noatime 0 0\n")
    (root / "etc/hostname").write_text("lab\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost lab\n")
    journal = root / "etc/systemd/journald.conf.d"
    journal.mkdir(parents=True, exist_ok=True)
    (journal / "lab.conf").write_text("[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nRateLimitBurst=0\n")
    for place in ("checkout", "packages", "data"):
        (root / place).mkdir()
    (root / "etc/machine-id").write_text(f"{0x5EA1D0C:032x}\n")
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)


def _boot_files(root: Path, made: Image) -> None:
    """The kernel as Debian ships it, and a RAM disk of busybox and the few modules before the root disk."""
    release = next((root / "lib/modules").iterdir()).name
    shutil.move(next((root / "boot").glob("vmlinuz-*")), made.kernel)
    early = root / "early"
    (early / "bin").mkdir(parents=True)
    shutil.copy(root / "bin/busybox", early / "bin/busybox")
    shutil.copy(GUEST / "init", early / "init")
    (early / "init").chmod(0o755)
    listed = _run(
        "chroot", str(root), "modprobe", "--all", "--show-depends", "--set-version", release, *EARLY_MODULES
    )
    modules = list(
        dict.fromkeys(line.split()[1] for line in listed.splitlines() if line.startswith("insmod"))
    )
    for module in modules:
        shutil.copy(root / module.lstrip("/"), early)
    (early / "modules").write_text("".join(f"/{Path(module).name}\n" for module in modules))
    pack = "cd /early && find . | busybox cpio -o -H newc > /initrd"
    _run("chroot", str(root), "sh", "-c", pack)
    shutil.move(root / "initrd", made.initrd)
    shutil.rmtree(early)


def _disk(root: Path, disk: Path) -> None:
    used = int(_run("du", "--summarize", "--bytes", "--apparent-size", str(root)).split()[0])
    with disk.open("wb") as blank:
        blank.truncate(used * 5 // 4 + SPARE_BYTES)
    _run(
        program("mke2fs") or "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-d",
        str(root),
        str(disk),
    )


def _forget_unused() -> None:
    """Another checkout may use another image; one that nobody has used for a while goes, with its saved states."""
    for disk in cache().glob("*/root.ext4"):
        if time.time() - disk.parent.stat().st_mtime > UNUSED_S:
            shutil.rmtree(disk.parent)


def _run(*argv: str, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL,
            timeout=BUILD_WITHIN_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as cause:
        raise LabError(f"{argv[0]} was not done within {BUILD_WITHIN_S} s; is the mirror there?") from cause
    if done.returncode:
        raise LabError(f"{argv[0]} failed while the lab's image was built:\n{done.stderr[-2000:]}")
    return done.stdout
