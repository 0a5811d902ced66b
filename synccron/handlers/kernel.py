"""The few calls of the kernel that Python does not have, and what /proc tells of processes."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_M_ARENA_MAX = -8  # of glibc's malloc.h
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(signal: int) -> None:
    """Have the kernel send us a signal when the thread that made us ends.

    Changing users undoes it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal)


def become_subreaper() -> None:
    """Become the parent of all that our descendants leave behind."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges() -> None:
    """Let no program that we execute gain privileges (set-user-id and the like)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_memory_private() -> None:
    """Let no other process of our user read our memory or environment, and no core file have them.

    What we execute is as readable as ever.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def flush_streams() -> None:
    """Write out what the C library still holds of what was printed through it."""
    _libc.fflush(None)


def children() -> list[int]:
    """List our children, those that we adopted among them, dead ones too. For one thread only."""
    me = os.getpid()
    try:
        fd = os.open(f"/proc/{me}/task/{me}/children", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a kernel without it
        return [pid for pid in processes() if _parent(pid) == me]
    with os.fdopen(fd, encoding="ascii") as listed:
        return [int(pid) for pid in listed.read().split()]


def end_children() -> Iterator[tuple[int, int]]:
    """Kill every process below us, and give the ends, as wait() does, until there is nobody.

    What dies leaves its own to us, if we are a subreaper.
    """
    while True:
        for pid in children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            yield os.waitpid(-1, 0)
        except ChildProcessError:
            return


def variable(pid: int, name: str) -> str | None:
    """Read a variable of a process's environment as it began; None: it has none, or is gone."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    start = f"{name}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(start):
            return entry[len(start) :].decode(errors="replace")
    return None


def processes() -> Iterator[int]:
    """List the processes of this host that we can see."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def started(pid: int) -> int | None:
    """Tell when a process started, in the kernel's ticks since the boot; None: it is gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def is_hidden(pid: int) -> bool:
    """Tell whether there is a process of which /proc tells us nothing."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not Path(f"/proc/{pid}").exists()
    except (ProcessLookupError, OverflowError):
        return False
    return False


def _stat(pid: int) -> list[str] | None:
    """Give what /proc tells of a process, from its state on."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return line.rpartition(")")[2].split()


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def keep_one_heap() -> None:
    """Let all threads of this process allocate from one heap; call it before they begin.

    glibc gives each thread one of its own, whose freed pieces the others don't use: a node grew by
    megabytes an hour. https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    with suppress(AttributeError):  # another libc has one anyway, or no say
        _libc.mallopt(_M_ARENA_MAX, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
