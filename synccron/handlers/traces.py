"""What an attempt can leave behind in its process, so that it shows.

Two looks that are equal mean: no thread, process, descriptor (a lock that is still held, a
connection), signal handler, timer, limit, hook or handler of logs has come or gone between them.
Variables of modules are not looked at: to keep them is what a warm child is for.
"""

import gc
import logging
import os
import resource
import signal
import sys

_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
)
_PAGE = resource.getpagesize()
# In /proc/self/stat, counted from the state of the process on: proc(5).
_NICE, _THREADS, _RSS, _IGNORED, _CAUGHT = 16, 17, 21, 30, 31


def look() -> tuple[tuple[object, ...], int]:
    """Look at what has come into this process, or gone; and the bytes of memory it has in use.

    One read of /proc tells of threads, signals and memory, as each attempt asks; signals are those
    that are not of real time.
    """
    with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123 - as above
        told = stat.read().rpartition(b")")[2].split()
    caught = int(told[_CAUGHT])
    traces = (
        frozenset(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names are enough
        [told[each] for each in (_NICE, _THREADS, _IGNORED, _CAUGHT)],
        [signal.getsignal(n + 1) for n in range(caught.bit_length()) if caught >> n & 1],
        _has_children(),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        tuple(map(resource.getrlimit, _LIMITS)),
        (sys.stdout, sys.stdout.closed, sys.stderr, sys.stderr.closed),
        (sys.excepthook, sys.gettrace(), sys.getprofile(), gc.isenabled()),
        _logging(),
    )
    return traces, int(told[_RSS]) * _PAGE


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _logging() -> tuple[object, ...]:
    root = logging.root
    named = [
        (name, logger.level, logger.disabled, logger.propagate, tuple(map(id, logger.handlers)))
        for name, logger in root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and (logger.handlers or logger.level)
    ]
    return (tuple(map(id, root.handlers)), root.level, root.manager.disable, *named)
