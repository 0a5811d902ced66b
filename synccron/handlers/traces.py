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

_SIGNALS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_NPROC,
)
_PAGE = resource.getpagesize()


def traces() -> tuple[object, ...]:
    """Look at what has come into this process, or gone."""
    return (
        frozenset(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names are enough
        frozenset(os.listdir("/proc/self/task")),  # noqa: PTH208
        _has_children(),
        tuple(map(signal.getsignal, _SIGNALS)),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        tuple(map(resource.getrlimit, _LIMITS)),
        os.getpriority(os.PRIO_PROCESS, 0),
        (sys.stdout, sys.stdout.closed, sys.stderr, sys.stderr.closed),
        (sys.excepthook, sys.gettrace(), sys.getprofile(), gc.isenabled()),
        _logging(),
    )


def memory() -> int:
    """Tell how many bytes of memory this process has in use."""
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - each attempt asks
        return int(statm.read().split()[1]) * _PAGE


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
