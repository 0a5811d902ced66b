"""The pool of warm children that wait for an attempt of their handler.

A child serves one handler under one environment, so that nothing that its module read when it was
imported is another schedule's. It is used again for a number of attempts, and waits for a time.
"""

from collections.abc import Iterator

from synccron.handlers.ward import Ward

JOBS = 1000  # attempts of one child: what leaks slowly in a module goes with it
REST = 75_000  # ms that a child waits for another attempt: jobs of every minute find it
MOST = 32  # children that wait, or as many as were at work at once


class Pool:
    """The children that wait, those that began to wait first at the front."""

    def __init__(self) -> None:
        self._waiting: dict[Ward, int] = {}
        self._most = MOST

    def at_work(self, count: int) -> None:
        """Learn how many are at work at once: as many may be wanted again at the next instant."""
        self._most = max(self._most, count)

    @property
    def rests_until(self) -> int | None:
        """When the next of them has waited long enough, in monotonic ms."""
        return next(iter(self._waiting.values()), None)

    def take(self, handler: str) -> Ward | None:
        """Take the one that has waited shortest: those that are not needed rest, and go."""
        for ward in reversed(self._waiting):
            if ward.handler == handler and not ward.spoiled:
                del self._waiting[ward]
                return ward
        return None

    def put(self, ward: Ward, now: int) -> list[Ward]:
        """Let a child wait; those that are to go, perhaps itself."""
        ward.jobs += 1
        if ward.jobs >= JOBS:
            return [ward]
        self._waiting[ward] = now + REST
        return [next(iter(self._waiting))] if len(self._waiting) > self._most else []

    def rested(self, now: int) -> Iterator[Ward]:
        """Give those that have waited long enough."""
        yield from [ward for ward, until in self._waiting.items() if until <= now]

    def forget(self, ward: Ward) -> None:
        """It waits no more."""
        self._waiting.pop(ward, None)
