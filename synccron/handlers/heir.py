"""The heir: the process between a node and its guardian, which only waits.

It is what `LocalHandlers` starts; the guardian is its child. When the guardian ends, however that
comes, all that was below it is below the heir (a subreaper), which ends it. Each holds the node's
socket: that it closes tells the node that nothing of its attempts is left. If the heir is killed,
the guardian ends everything and itself.
"""

import os
import signal
import socket
import sys
from typing import NoReturn

from synccron.handlers import kernel, orphans
from synccron.handlers.cells import end_cells, open_cells
from synccron.handlers.guardian import Guardian
from synccron.handlers.nursery import Nursery
from synccron.handlers.scratch import make_folder, remove_folder, remove_folders


def inherit(guardian: int, folder: str) -> None:
    """Wait for the guardian to end, and end what it left: all that was below it is below us now."""
    os.waitid(os.P_PID, guardian, os.WEXITED | os.WNOWAIT)
    for _ in kernel.end_children():
        pass
    remove_folder(folder)


def main() -> None:
    """Guard for the node at the other end of the socket that the first argument names.

    The second is `cells`, or `plain`: whether control groups are to be used where they can be.
    """
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    # Blocked too: a fork inherits that until it is set up, so that a TERM that comes before waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, ignored)
    node = socket.socket(fileno=int(sys.argv[1]))
    node.set_inheritable(False)
    kernel.become_subreaper()
    heir, folder = os.getpid(), make_folder(os.environ[orphans.MARK])
    guardian = os.fork()  # safe: it has one thread
    if guardian:
        inherit(guardian, folder)
        os._exit(0)
    _guard(node, heir, folder)


def _guard(node: socket.socket, heir: int, folder: str) -> NoReturn:
    status = 1
    try:
        kernel.become_subreaper()
        kernel.die_with_parent(signal.SIGUSR1)  # not at once: it has wards to end
        mark = os.environ[orphans.MARK]

        def is_forsaken(found: str) -> bool:
            return orphans.is_forsaken(found, mark)

        end_cells(is_forsaken)
        orphans.end_orphans(is_forsaken)
        remove_folders(is_forsaken)
        nursery = Nursery(open_cells(mark) if sys.argv[2] == "cells" else None, folder)
        Guardian(node, heir, mark, nursery).run()
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
