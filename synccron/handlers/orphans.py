"""What outlived its node, its guardian and its guardian's heir: told by a mark, and ended.

Each attempt is born with a mark in its environment: the store, the namespace of process ids, and
the node's process with its start time. A process is an orphan if it has a mark of this store and
namespace whose node is no more. So neither a stranger's process, nor one of a node that lives, nor
one whose id was used again is ever taken for one.
"""

import hashlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from synccron.handlers import kernel

MARK = "SYNCCRON_GUARDIAN"
_SHAPE = re.compile(r"(?P<home>[0-9a-f]+\.[0-9]+)\.(?P<node>[0-9]+)\.(?P<start>[0-9]+)\.[0-9]+")
_ROUNDS = 20  # what forks while it is looked for is found in the next round


def mark(store: str, number: int) -> str:
    """Give the mark for what runs under the number-th guardian of this process."""
    me = os.getpid()
    namespace = Path("/proc/self/ns/pid").stat().st_ino  # where process ids mean something
    home = f"{hashlib.sha256(store.encode()).hexdigest()[:12]}.{namespace}"
    return f"{home}.{me}.{kernel.started(me)}.{number}"


def is_forsaken(found: str, like: str) -> bool:
    """Tell whether a mark is of a node that is no more.

    `like` is a mark of our own: other stores and namespaces are not ours to judge.
    """
    seen, own = _SHAPE.fullmatch(found), _SHAPE.fullmatch(like)
    if seen is None or own is None or seen["home"] != own["home"]:
        return False
    node = int(seen["node"])
    if kernel.is_hidden(node):
        return False  # another user's, who lives
    return kernel.started(node) != int(seen["start"])


def end_orphans(is_one: Callable[[str], bool]) -> int:
    """Kill every process whose mark is one, until there is none; how many there were."""
    ended = 0
    for _ in range(_ROUNDS):
        # The youngest first: what a guardian started ends before the guardian lets go of it.
        found = sum(_end(pid, is_one) for pid in sorted(kernel.processes(), reverse=True))
        if found == 0:
            break
        ended += found
    return ended


def _end(pid: int, is_one: Callable[[str], bool]) -> bool:
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Read with the process held: its id cannot become another's between this and the signal.
        found = kernel.variable(pid, MARK)
        if found is None or not is_one(found):
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except OSError:
        return False  # it has ended, or is another user's
    finally:
        os.close(process)
    return True
