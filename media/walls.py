"""The walls around a media tool, as bubblewrap's command line; nothing is started here.

A tool sees /usr and the font and linker tables read-only, the files that it was given read-only under /in, an empty
memory file system at /tmp, and its standard output. It has no network, no capabilities, no processes but its own,
and never a path to the vault, the keys or the station's files (DESIGN.md 1.6). As root the tool becomes `nobody`
inside; as a plain user it lives in a user namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from media.error import MediaToolMissingError

PACKAGES = {
    "bwrap": "bubblewrap",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "ffmpeg": "ffmpeg",
    "espeak-ng": "espeak-ng",
    "exiftool": "libimage-exiftool-perl",
    "fusermount3": "fuse3",
}
NOBODY = 65534  # Debian policy 9.2.2: owns nothing
CONFIGURATION = ("/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache", "/var/cache/fontconfig")
MERGED = ("/bin", "/lib", "/lib32", "/lib64", "/sbin")  # links into /usr on a merged system
SCRATCH = "/tmp"  # noqa: S108  # a memory file system inside the sandbox, nobody else's
SEARCHED = "/usr/bin:/bin:/usr/sbin:/sbin"  # never a PATH that somebody set
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


@dataclass(frozen=True)
class Limits:
    """What one tool may use; generous for a real recording, small for the machine."""

    wall_s: float = 120.0
    cpu_s: int = 240
    memory_bytes: int = 2 << 30  # address space; 4K HEVC with frame threads needs about 1 GiB
    output_bytes: int = 64 << 20
    scratch_bytes: int = 16 << 20
    threads: int = 256  # processes and threads of one tool; ffmpeg starts about five per core
    idle: bool = True  # run only when nobody else wants the processor (SCHED_IDLE)


USUAL = Limits()


@dataclass(frozen=True)
class Task:
    """A command line and the files that it may read: name under /in -> real path."""

    argv: Sequence[str]
    inputs: Mapping[str, Path] = field(default_factory=dict)
    read_only: Sequence[Path] = ()  # trees bound at their own path (an interpreter)

    @property
    def program(self) -> str:
        """What a message calls it."""
        return Path(self.argv[0]).name


def python_task(
    package: Path, libraries: Sequence[str], arguments: Sequence[str], inputs: Mapping[str, Path]
) -> Task:
    """A package of ours run as a program, alone with the interpreter and the named site packages.

    It is shown at its own place below a root of nothing else, so it can import itself and none of our other
    code.
    """
    site, house = Path(sysconfig.get_path("platlib")), Path(__file__).parents[1]
    shown = {
        "tool/__main__.py": package / "__main__.py",
        f"tool/{package.relative_to(house)}": package,
        **inputs,
    }
    for name in libraries:
        shown |= {f"tool/{tree}": site / tree for tree in (name, f"{name}.libs") if (site / tree).is_dir()}
    base = Path(sys.base_prefix).resolve()
    interpreter = str(Path(sys.executable).resolve())
    return Task(
        [interpreter, "-E", "-s", "-S", "-B", "/in/tool", *arguments],
        shown,
        () if base == Path("/usr") else (base,),
    )


def command(task: Task, limits: Limits, refused: int | None) -> list[str]:
    """The whole command line. Raises MediaToolMissingError.

    Prlimit sits inside the walls, so that the limit on processes counts the tool's own and not ours.
    """
    root = os.geteuid() == 0
    inner = [find_program("prlimit"), *_prlimits(limits), "--", find_program(task.argv[0]), *task.argv[1:]]
    if root:
        drop = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs"]
        inner = [find_program("setpriv"), *drop, "--bounding-set=-all", "--inh-caps=-all", "--", *inner]
    outer = [find_program("bwrap"), *_walls(task, limits, root=root)]
    if refused is not None:
        outer += ["--seccomp", str(refused)]
    if (
        not root
    ):  # capabilities that a service's start left standing are none of the tool's; bwrap refuses them
        outer = [find_program("setpriv"), "--ambient-caps=-all", "--inh-caps=-all", "--", *outer]
    if limits.idle:
        outer = [find_program("chrt"), "--idle", "0", *outer]
    return [*outer, "--", *inner]


def _prlimits(limits: Limits) -> list[str]:
    hard_cpu = limits.cpu_s + 5  # SIGXCPU may be caught; SIGKILL five seconds later may not
    return [
        f"--as={limits.memory_bytes}", f"--cpu={limits.cpu_s}:{hard_cpu}", f"--nproc={limits.threads}",
        f"--fsize={limits.scratch_bytes}", "--core=0", "--nofile=256",
    ]  # fmt: skip


def _walls(task: Task, limits: Limits, *, root: bool) -> list[str]:
    walls = ["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    walls += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if root:  # these three are what setpriv needs in order to give up the rest, and itself
        walls += [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    else:
        walls += ["--unshare-user", "--disable-userns"]
    walls += _machine()
    shown = {str(tree): tree for tree in task.read_only}
    shown |= {f"/in/{name}": path for name, path in task.inputs.items()}
    for place, path in shown.items():  # --dir, because parents that --ro-bind makes are closed to nobody
        walls += ["--dir", str(Path(place).parent), "--ro-bind", str(path.absolute()), place]
    walls += ["--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs", SCRATCH]
    environment = {"PATH": "/usr/bin:/bin", "HOME": SCRATCH, "LANG": "C.UTF-8"}
    for name, value in environment.items():
        walls += ["--setenv", name, value]
    return [*walls, "--remount-ro", "/", "--chdir", SCRATCH, "--hostname", "sandbox"]


@lru_cache(maxsize=1)
def _machine() -> list[str]:
    walls = ["--ro-bind", "/usr", "/usr"]
    for path in MERGED:
        if Path(path).is_symlink():
            walls += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            walls += ["--ro-bind", path, path]
    walls += ["--dir", "/etc", "--dir", "/dev"]
    for path in CONFIGURATION:
        walls += ["--ro-bind-try", path, path]
    for path in DEVICES:
        walls += ["--dev-bind", path, path]
    return walls


@lru_cache(maxsize=16)
def located(name: str) -> str | None:
    """Where a program is, remembered until it is missed."""
    return shutil.which(name, path=SEARCHED)


def find_program(name: str) -> str:
    """The absolute path of a program of this machine. Raises MediaToolMissingError with what to install."""
    found = name if name.startswith("/") else located(name)
    if found is None:
        located.cache_clear()  # so that installing it is enough
        raise MediaToolMissingError(program=name, package=PACKAGES.get(name, name))
    return found
