"""Processes told apart: a pid alone is never trusted, as the kernel gives it again.

Whoever is meant is named by pid, start time and boot; what is done to it is done through a pidfd.
"""

import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Being(NamedTuple):
    """One process of one boot. `start` is in the kernel's ticks since that boot."""

    pid: int
    start: int
    boot: str


def myself() -> Being:
    """Name this process."""
    pid = os.getpid()
    return Being(pid, _start(pid) or 0, boot_id())


@cache
def boot_id() -> str:
    """Name this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def open_being(being: Being) -> int | None:
    """Open a pidfd of a process that is alive here; None: it is not, or another has its pid."""
    if being.boot != boot_id():
        return None
    try:
        fd = os.pidfd_open(being.pid)
    except OSError:
        return None
    # Opened first and checked then: the pid cannot go to another while the descriptor is held.
    if _start(being.pid) != being.start:
        os.close(fd)
        return None
    return fd


def kill(being: Being) -> bool:
    """End a process with KILL; False: it is not there, or we may not."""
    fd = open_being(being)
    if fd is None:
        return False
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except PermissionError:
        return False
    finally:
        os.close(fd)
    return True


def _start(pid: int) -> int | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold anything.
    return int(line.rpartition(")")[2].split()[19])
