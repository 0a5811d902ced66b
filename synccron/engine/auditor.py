"""The node's own doubt: whether every slot that has come was decided, whoever should have done it.

It asks the store once a minute for what is overdue, apart from the dispatcher's reads: so a
schedule that the dispatcher overlooks, or fails at each time, is told and not only late.
"""

from synccron.clock import Clock
from synccron.engine.elector import Elector
from synccron.events import Events
from synccron.model.lease import Term
from synccron.model.time import MINUTE, SECOND, Duration, Instant, format_duration, format_instant
from synccron.store.base import Store
from synccron.store.overdue import overdue

LATE: Duration = 30 * SECOND  # as long as a catch-up or a back-off may take
NAMED = 20  # schedules that one look names


class Auditor:
    """Tells what is overdue: where this node leads, and where nobody does.

    `_next` is when it looks again (monotonic ms), `_told` what it has told: each slot once.
    """

    def __init__(self, store: Store, clock: Clock, elector: Elector, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._elector = elector
        self._events = events
        self._next = 0
        self._told: dict[str, Instant] = {}

    def turn(self) -> Duration:
        """Look, once a minute; ms until the next look."""
        moment = self._clock.monotonic()
        if moment < self._next:
            return SECOND
        self._next = moment + MINUTE
        if self._elector.term() is None and self._store.read(Term).items:
            self._told = {}  # another leads, and tells it
            return SECOND
        now = self._clock.now()
        found = dict(overdue(self._store, now, LATE, NAMED))
        for schedule_id, since in found.items():
            if self._told.get(schedule_id) != since:
                self._events.emit(
                    "tick_error",
                    "error",
                    schedule_id=schedule_id,
                    slot=format_instant(since),
                    error=f"its oldest slot is not decided for {format_duration(now - since)}",
                )
        self._told = found
        return SECOND
