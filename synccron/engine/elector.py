"""Who leads: campaigning, keeping the lease, and knowing when it can't be sure any more."""

import threading
from collections.abc import Callable

from synccron.clock import Clock
from synccron.errors import StoreError
from synccron.events import Events
from synccron.model.lease import Session, Term
from synccron.model.time import Duration
from synccron.store.base import Store


class Elector:
    """One node's part in the election. Its lock guards `_term` against heart and dispatcher.

    Law 4 rests on the store's compare of the epoch; that this node stops in time is promptness.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        session: Callable[[], Session],
        *,
        lease: Duration,
        leads: bool,
        acquired: Callable[[], None],
        fit: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._session = session
        self._lease = lease
        self._leads = leads
        self._acquired = acquired
        self._fit = fit
        self._lock = threading.Lock()
        self._term: Term | None = None

    def term(self) -> Term | None:
        """Give the term while its lease surely stands: it ends here a tenth before it runs out."""
        term = self._term
        if term is None or self._clock.monotonic() >= term.until - term.ttl // 10:
            return None
        return term

    def seek(self) -> Duration:
        """Campaign where this node does not lead; ms until the next try."""
        if self._leads and self._term is None and self._fit():
            self._campaign()
        return self._lease // 3

    def keep(self) -> None:
        """Renew the lease where this node leads; called by what nothing holds up."""
        term = self._term
        if term is None:
            return
        if self._fit():
            self._renew(term)
        else:
            # Law 6: slots are decided by a clock that agrees with the others'.
            self.lost(term, "its wall clock is off")
            self._store.resign(term)

    def lost(self, term: Term, reason: str) -> None:
        """Note that a term is over (the store refused a write under it)."""
        with self._lock:
            if self._term is None or self._term.epoch != term.epoch:
                return
            self._term = None
        self._events.emit("leader_lost", "warning", epoch=term.epoch, reason=reason)

    def resign(self) -> None:
        """Stop leading, and hand over at once."""
        with self._lock:
            self._leads = False
            term = self._term
        if term is not None:
            self.lost(term, "resigned")
            self._store.resign(term)

    def _renew(self, term: Term) -> None:
        try:
            self._campaign()
        except StoreError:
            if self._clock.monotonic() >= term.until:
                self.lost(term, "its lease ran out, and the store does not answer")
            raise

    def _campaign(self) -> None:
        with self._lock:
            before = self._term
            # Law 4: the store alone decides who leads; a new epoch is a new term, even for us.
            won = self._store.campaign(self._session(), self._lease) if self._leads else None
            self._term = won
        if before is not None and (won is None or won.epoch != before.epoch):
            self._events.emit("leader_lost", "warning", epoch=before.epoch, reason="lease lost")
        if won is not None and (before is None or won.epoch != before.epoch):
            self._events.emit("leader_acquired", epoch=won.epoch, node=won.node)
            self._acquired()
