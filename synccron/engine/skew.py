"""Whether this node's wall clock agrees with the others' (law 6)."""

from collections.abc import Callable

from synccron.clock import Clock
from synccron.events import Events
from synccron.model.lease import Node as Record
from synccron.model.lease import off_median
from synccron.model.time import SECOND, Duration, format_duration
from synccron.store.base import Store


class Skew:
    """Compares, and says once when it stops or begins to agree.

    `fit` is what it found last, and `off` (ms) how far it is ahead of the others.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        node: str,
        *,
        most: Duration,
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._node = node
        self._most = most
        self._changed = changed
        self.fit = True
        self.off: Duration = 0

    def turn(self) -> Duration:
        """Look; ms until the next look."""
        off = self.off = off_median(self._store.read(Record, limit=1000).items, self._node)
        fit = abs(off) <= self._most
        if fit != self.fit:
            self.fit = fit
            self._tell(off)
            self._changed()
        return SECOND

    def _tell(self, off: Duration) -> None:
        if self.fit:
            self._events.emit(
                "tick_error", error="the wall clock agrees with the other nodes again"
            )
            return
        where = "ahead of" if off > 0 else "behind"
        self._events.emit(
            "tick_error",
            "error",
            error=f"the wall clock is {format_duration(abs(off))} {where} the other nodes:"
            " this one neither leads nor starts jobs that were written ahead",
        )
