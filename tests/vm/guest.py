"""Commands in the guest, through its agent: what a person at its keyboard would type."""

from __future__ import annotations

import shlex
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass

from vm.channel import Channel
from vm.place import LabError

FIRST_LOOK_S, LONGEST_PAUSE_S = 0.01, 0.2
TRACE = "/run/events"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailedError(LabError):
    """A command in the guest ended with another code than 0, or not at all."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Event:
    """One uevent as udev gives it to its listeners; `source` is UDEV, or KERNEL for the kernel's own."""

    source: str
    properties: dict[str, str]

    def get(self, name: str) -> str:
        return self.properties.get(name, "")


@dataclass
class Guest:
    """The system in the machine."""

    agent: Channel

    def run(
        self, command: str | list[str], *, check: bool = True, stdin: bytes = b"", within_s: float = 60.0,
        environment: dict[str, str] | None = None,
    ) -> Done:  # fmt: skip
        """A shell line or an argv, awaited. Raises CommandFailedError."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        options = {"input-data": b64encode(stdin).decode()} if stdin else {}
        env = [PATH, "LANG=C.UTF-8", "HOME=/root", *(f"{k}={v}" for k, v in (environment or {}).items())]
        pid = self.agent(
            "guest-exec", path=argv[0], arg=argv[1:], env=env, capture_output=True, **options
        )["pid"]  # fmt: skip
        done = self._await(pid, shlex.join(argv), within_s)
        if check and done.code:
            raise CommandFailedError(f"{shlex.join(argv)} ended with {done.code}:\n{done.out}{done.err}")
        return done

    def out(self, command: str | list[str], *, within_s: float = 60.0) -> str:
        """What the command printed."""
        return self.run(command, within_s=within_s).out

    def until(self, command: str, *, within_s: float = 30.0, every_s: float = 0.1) -> str:
        """Try a shell line until it succeeds; what it printed then. Raises CommandFailedError."""
        deadline = time.monotonic() + within_s
        while (done := self.run(command, check=False, within_s=within_s)).code:
            if time.monotonic() > deadline:
                raise CommandFailedError(f"not so within {within_s:.0f} s: {command}\n{done.out}{done.err}")
            time.sleep(every_s)
        return done.out

    def start(self, unit: str, argv: list[str], environment: dict[str, str]) -> None:
        """A long-running program as a unit of its own, which outlives this call."""
        given = [f"--setenv={name}={value}" for name, value in environment.items()]
        self.run(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *given, "--", *argv])

    def listen(self) -> None:
        """Keep every uevent from now on, the kernel's own and udev's."""
        watch = f"exec udevadm monitor --kernel --udev --property >{TRACE}"
        self.start("trace", ["/bin/sh", "-c", watch], {})
        self.until(f"grep -q 'the kernel uevent' {TRACE}")

    def events(self) -> list[Event]:
        """What `listen` has kept so far."""
        blocks = self.out(["cat", TRACE]).split("\n\n")
        return [event for block in blocks if (event := _event(block.strip()))]

    def _await(self, pid: int, shown: str, within_s: float) -> Done:
        deadline, pause = time.monotonic() + within_s, FIRST_LOOK_S
        while not (status := self.agent("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise CommandFailedError(f"{shown} did not end within {within_s:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_S)
        out, err = (
            b64decode(status.get(name, "")).decode(errors="replace") for name in ("out-data", "err-data")
        )
        return Done(status.get("exitcode", 128 + status.get("signal", 0)), out, err)


def _event(block: str) -> Event | None:
    head, _, rest = block.partition("\n")
    source = head.partition("[")[0].strip()
    if source not in {"KERNEL", "UDEV"}:
        return None
    return Event(source, dict(line.split("=", 1) for line in rest.splitlines() if "=" in line))
