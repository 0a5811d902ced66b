"""How a schedule stands, in the one word that `ls` shows.

The first that holds: `paused`, `no-handler` (strict, and no live node offers it while some live),
`late` (its next slot passed more than 5 s ago), `running`, `failing` (the last job that ended did
not complete, or the dispatch fails), else `ok`.
"""

from synccron.model.permit import Offer, covered
from synccron.model.time import SECOND, Instant
from synccron.store.listing import Listed

LATE = 5 * SECOND


def standing(one: Listed, offers: frozenset[Offer] | None, now: Instant) -> str:
    """Judge a schedule by what the living nodes offer (None: none lives)."""
    if one.paused:
        return "paused"
    if one.strict_handlers and offers is not None and not covered(offers, one.needs, one.run):
        return "no-handler"
    if one.next_run_at is not None and one.next_run_at < now - LATE:
        return "late"
    if one.running:
        return "running"
    if one.failures or one.last_state not in (None, "completed"):
        return "failing"
    return "ok"
