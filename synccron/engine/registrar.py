"""What a node tells the store of itself: what it offers, how much it runs, what it counted."""

from collections.abc import Callable
from dataclasses import replace

from synccron.clock import Clock
from synccron.engine.tally import Tally
from synccron.handlers.resolve import installed, offers
from synccron.model.lease import REPORTED, Node, Session
from synccron.model.needs import SHELL, handler_in, offered
from synccron.model.permit import Offer
from synccron.model.time import SECOND, Duration
from synccron.store.base import Store

LOOK: Duration = 100  # how often it looks for new needs while the store changes, in ms


class Registrar:
    """Keeps this node's record true.

    `_told` is what the store has, since `_told_at`; `_looked_at` is when needs were last read (both
    in monotonic ms).
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        tally: Tally,
        node: Node,
        *,
        session: Callable[[], Session],
        running: Callable[[], int],
        leads: Callable[[], bool],
        works: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tally = tally
        self._told = node
        self._session = session
        self._running = running
        self._leads = leads
        self._works = works
        self._told_at = clock.monotonic()
        self._looked_at = 0

    def offer(self) -> Offer:
        """Tell what this node can run, as the store knows it."""
        return self._told.offer

    def turn(self) -> Duration:
        """Tell the store what changed; ms until the next look."""
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK:
            return LOOK
        self._looked_at = now
        known = self._told
        found = self._offers() if self._works else frozenset[str]()
        counted = replace(known, running=self._running(), counters=self._tally.counts())
        stale = now - self._told_at >= (SECOND if counted != known else REPORTED)
        if found != known.offers or stale:
            self.tell(replace(counted, offers=found))
        return SECOND

    def _offers(self) -> frozenset[str]:
        needed = self._store.needs()
        if self._told.allow_run is None:
            handlers = offers(frozenset(map(handler_in, needed)))
        else:
            handlers = installed() | ({SHELL} if self._told.allow_run else set())
        return offered(needed, handlers, self._told.labels)

    def tell(self, node: Node) -> None:
        """Write the record now."""
        fresh = replace(
            node,
            session=self._session().id,
            ticked_at=self._tally.ticked_at if self._leads() else node.ticked_at,
        )
        self._store.report(self._session(), fresh)
        self._told, self._told_at = fresh, self._clock.monotonic()

    def record(self, session: str) -> Node:
        """Give the record to join with, under this session."""
        return replace(
            self._told,
            session=session,
            running=self._running(),
            counters=self._tally.counts(),
        )
