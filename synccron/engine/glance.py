"""The store at a glance, read now and then for who asks this node: a scrape never waits for it."""

from synccron.clock import Clock
from synccron.model.lease import Totals
from synccron.model.time import SECOND, Duration, Instant
from synccron.store.base import Store, Where

EVERY: Duration = 5 * SECOND
OVERDUE: Duration = 5 * SECOND  # how late a slot is before it counts


class Glance:
    """Reads the totals. `totals` are the newest (None: none yet), read at `read_at`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next = 0  # monotonic ms
        self.totals: Totals | None = None
        self.read_at: Instant = 0

    def turn(self) -> Duration:
        """Read, if it is time; ms until the next time."""
        moment = self._clock.monotonic()
        if moment >= self._next:
            now = self._clock.now()
            self.totals = self._store.read(Totals, Where(overdue=now - OVERDUE)).items[0]
            self.read_at = now
            self._next = moment + EVERY
        return SECOND
