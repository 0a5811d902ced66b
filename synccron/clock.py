"""Time as a value that is passed in: nothing else in the house reads a clock.

`SystemClock` is the machine's. `ManualClock` moves only when it is told to, and wakes what waits
on it, so that a test of an hour runs in milliseconds.
"""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """The three uses of time. All values are integers in milliseconds."""

    def now(self) -> int:
        """Tell the wall-clock time in ms since the epoch, UTC. It may jump either way."""

    def monotonic(self) -> int:
        """Tell a time in ms that only grows, the same for all processes since the boot."""

    def wait(self, condition: threading.Condition, timeout: int | None) -> bool:
        """Wait on a condition that the caller holds, at most `timeout` ms (None: for ever).

        False: the time is over, and nobody notified.
        """


class SystemClock:
    """The clock of the machine."""

    def now(self) -> int:
        """Tell the wall-clock time in ms since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> int:
        """Tell CLOCK_MONOTONIC in ms: all processes of a host share it, and it sleeps with them."""
        return time.monotonic_ns() // 1_000_000

    def wait(self, condition: threading.Condition, timeout: int | None) -> bool:
        """Wait on the condition, at most `timeout` ms."""
        return condition.wait(None if timeout is None else max(0, timeout) / 1000)


class ManualClock:
    """A clock that stands still until `advance` or `jump`."""

    def __init__(self, now: int = 1_767_225_600_000, monotonic: int = 1_000_000) -> None:
        self._now = now
        self._monotonic = monotonic
        self._waiting: set[threading.Condition] = set()

    def now(self) -> int:
        """Tell the time that was set, in ms since the epoch."""
        return self._now

    def monotonic(self) -> int:
        """Tell the monotonic time in ms; `jump` does not move it."""
        return self._monotonic

    def wait(self, condition: threading.Condition, timeout: int | None) -> bool:
        """Wait until notified, or until `advance` has passed the timeout (in ms)."""
        until = None if timeout is None else self._monotonic + timeout
        self._waiting.add(condition)
        try:
            while until is None or self._monotonic < until:
                seen = self._monotonic
                condition.wait()
                if self._monotonic == seen:
                    return True
            return False
        finally:
            self._waiting.discard(condition)

    def advance(self, ms: int) -> None:
        """Let `ms` pass on both clocks, and wake what waits."""
        self._now += ms
        self._monotonic += ms
        for condition in tuple(self._waiting):
            with condition:
                condition.notify_all()

    def jump(self, ms: int) -> None:
        """Set the wall clock forward (or back) by `ms`; monotonic time does not notice."""
        self._now += ms


class Bell:
    """Tells loops that something may have changed; a ring before the wait is not lost.

    A waiter reads `rings`, looks at the world, and waits for a ring past the one it saw.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung; read it before looking at the world."""
        return self._rings

    def ring(self) -> None:
        """Wake all that wait. May be called from any thread."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: int | None) -> bool:
        """Wait until it has rung past `seen`, at most `timeout` ms; False: it has not."""
        until = None if timeout is None else self._clock.monotonic() + timeout
        with self._condition:
            while self._rings == seen:
                left = None if until is None else until - self._clock.monotonic()
                if (left is not None and left <= 0) or not self._clock.wait(self._condition, left):
                    return self._rings != seen
        return True
