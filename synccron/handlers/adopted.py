"""What attempts left behind and the guardian adopted: whose it is, and when it is killed.

A process whose parent dies becomes the guardian's child. It is told by its group, or by the mark in
the environment that it was born with. What has left the session and hid its origin may be of any
attempt that runs when it is first seen, and of none that begins later: it goes when all of those
have ended.
"""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from synccron.handlers import kernel
from synccron.handlers.attempt import Attempt
from synccron.handlers.ward import Ward, group


class Adopted:
    """What is known of adopted processes: for each whose origin is hidden, whose it may be."""

    def __init__(self) -> None:
        self._may_be_of: dict[int, frozenset[int]] = {}

    def sweep(self, attempts: Mapping[int, Attempt], wards: Mapping[int, Ward]) -> set[int]:
        """Kill what ended attempts left behind; the fences of those that left something."""
        left: set[int] = set()
        strays = [pid for pid in kernel.children() if pid not in wards]
        if not strays:
            return left
        ended = {fence for fence, attempt in attempts.items() if attempt.ended}
        groups = {each.ward.pid: fence for fence, each in attempts.items() if each.ward}
        for pid in strays:
            owners = self._owners(pid, groups, attempts)
            if owners <= ended:
                left |= owners
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        return left

    def reaped(self, pid: int) -> None:
        """Forget one that has ended."""
        self._may_be_of.pop(pid, None)

    def _owners(
        self, pid: int, groups: Mapping[int, int], attempts: Mapping[int, Attempt]
    ) -> frozenset[int]:
        mark = kernel.variable(pid, "SYNCCRON_FENCE")
        marked = mark is not None and mark.lstrip("-").isdigit()
        fence = int(mark or 0) if marked else groups.get(group(pid) or 0)
        if fence is not None:
            return frozenset({fence} & attempts.keys())
        known = self._may_be_of.get(pid, frozenset(attempts))
        self._may_be_of[pid] = known & attempts.keys()
        return self._may_be_of[pid]
