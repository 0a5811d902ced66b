"""The counters of one node, shared by its loops."""

import threading
from collections import Counter as Multiset

from synccron.model.lease import COUNTERS, Counter
from synccron.model.time import Instant


class Tally:
    """Counts that only grow; the lock makes each sum whole for whoever reads them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Multiset[str] = Multiset()
        self.ticked_at: Instant | None = None

    def add(self, counter: Counter, amount: int = 1) -> None:
        """Add to one counter."""
        if amount:
            with self._lock:
                self._counts[counter] += amount

    def counts(self) -> dict[str, int]:
        """Give all counters, also those at zero."""
        with self._lock:
            return {counter: self._counts[counter] for counter in COUNTERS}
