"""Where wards begin: with what they are given, in a cell of their own, by the cheapest way.

Nothing here waits, and nothing is watched here: that is the guardian's.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

from synccron.handlers import limits
from synccron.handlers.attempt import Attempt
from synccron.handlers.cells import Cell, Cells
from synccron.handlers.child import set_up
from synccron.handlers.scratch import remove_folder
from synccron.handlers.ward import Ward, fork, program, spawn
from synccron.handlers.warm import serve


class Nursery:
    """Starts the wards of one guardian, which are given files in `folder`.

    `passed` is what all of them get of the environment.
    """

    def __init__(self, cells: Cells | None, folder: str) -> None:
        self.passed: Mapping[str, str] = {}
        self._cells = cells
        self._guardian = os.getpid()
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._folder = folder

    def check(self, attempt: Attempt) -> None:
        """Find its user, and refuse what cannot be kept. Raises Refusal."""
        attempt.log_in()
        counted = self._cells is not None and self._cells.keep("processes")
        limits.check(attempt.limits, attempt.login, counted=counted)

    def begin(self, attempt: Attempt) -> Ward:
        """Start a process for an attempt. Raises Refusal, OSError."""
        if attempt.words is not None:
            attempt.furnish(self._folder)
        cell = None if self._cells is None else self._cells.make(attempt.limits)
        try:
            ward = self._begin_inside(cell, attempt)
        except BaseException:
            if cell is not None:
                cell.remove()
            raise
        finally:
            attempt.began()
        ward.cell = cell
        return ward

    def close(self) -> None:
        """Remove what attempts were given, and end what is left in cells."""
        if self._cells is not None:
            self._cells.close()
        remove_folder(self._folder)

    def _begin_inside(self, cell: Cell | None, attempt: Attempt) -> Ward:
        if cell is not None:
            cell.enter()
        try:
            if attempt.words is None:
                return self._warm(attempt)
            if attempt.cwd is None and attempt.login is None and not attempt.limits:
                return spawn(attempt.words, attempt.environment, attempt.stdin)
            return fork(program(attempt, self._guardian))
        finally:
            if cell is not None:
                cell.leave()

    def _warm(self, attempt: Attempt) -> Ward:
        """Start a warm child; one with limits is for one attempt, as they are."""
        control, theirs = socket.socketpair()

        def begin(output: int, _told: int) -> NoReturn:
            set_up(self._guardian, self._nothing, output, None, None)
            # No exec closes the descriptors: what others read or write must not stay open here.
            for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
                if int(name) not in {0, 1, 2, theirs.fileno()}:
                    with suppress(OSError):
                        os.close(int(name))
            limits.impose(attempt.limits)
            serve(theirs, self.passed)

        with theirs:
            ward = fork(begin)
        control.setblocking(False)
        ward.control = control
        ward.handler = attempt.handler
        ward.spoiled = bool(attempt.limits)
        ward.fds["control"] = os.dup(control.fileno())
        return ward
