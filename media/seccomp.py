"""The system calls that no media tool needs, refused before the tool starts.

A classic BPF program for bubblewrap's --seccomp (Linux Documentation/userspace-api/seccomp_filter.rst). It
is the second wall: the first is that there is nothing to reach. It refuses sockets of every family, new
namespaces and mounts, tracing, kernel keyrings, kernel programs and modules, and the asynchronous interfaces
that get around such filters. Refused calls fail with EPERM, so a tool that merely tries goes on. Numbers:
asm/unistd_64.h of x86-64 and asm-generic/unistd.h, which aarch64 uses.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000  # linux/seccomp.h
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_NEW_NAMESPACE = 0x7E020080  # every CLONE_NEW* bit of linux/sched.h
_X32 = 0x40000000  # the other call table of x86-64
_ANYWHERE = (
    425,
    428,
    429,
    430,
    432,
    435,
    438,
    442,
)  # io_uring_setup open_tree move_mount fsopen fsmount clone3
_CLONE3 = 435  # its flags lie in memory that a filter cannot read: ENOSYS makes libc use clone

# ptrace process_vm_readv process_vm_writev mount umount2 pivot_root chroot unshare setns keyctl add_key request_key
# bpf perf_event_open userfaultfd open_by_handle_at kexec_load init_module finit_module quotactl swapon reboot
# settimeofday acct socket socketpair
_X86_64 = (
    101, 310, 311, 165, 166, 155, 161, 272, 308, 250, 248, 249, 321, 298, 323, 304, 246, 175, 313, 179, 167, 169,
    164, 163, 41, 53,
)  # fmt: skip
_AARCH64 = (
    117, 270, 271, 40, 39, 41, 51, 97, 268, 219, 217, 218, 280, 241, 282, 265, 104, 105, 273, 60, 224, 142, 170,
    89, 198, 199,
)  # fmt: skip
_MACHINES = {  # machine -> AUDIT_ARCH of linux/audit.h, number of clone, refused calls
    "x86_64": (0xC000003E, 56, _X86_64),
    "aarch64": (0xC00000B7, 220, _AARCH64),
}


@contextmanager
def program() -> Iterator[int | None]:
    """A descriptor that bubblewrap reads the filter from; None on a machine whose call numbers are not known."""
    code = _assemble(platform.machine())
    if code is None:
        yield None
        return
    descriptor = os.memfd_create("seccomp")
    try:
        os.write(descriptor, code)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _assemble(machine: str) -> bytes | None:
    if machine not in _MACHINES:
        return None
    architecture, clone, refused = _MACHINES[machine]
    refuse, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, refuse),
    ]  # fmt: skip
    for number in (*refused, *_ANYWHERE):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, missing if number == _CLONE3 else refuse)]
    code += [
        (_EQUAL, 0, 3, clone), (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _NEW_NAMESPACE), (_RETURN, 0, 0, refuse), (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
