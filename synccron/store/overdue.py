"""Which schedules have a slot that should have been decided: one question for nodes and people."""

from typing import NamedTuple

from synccron.model.schedule import Schedule
from synccron.model.time import SECOND, Duration, Instant
from synccron.store.base import Store, Where

OVERDUE: Duration = 5 * SECOND  # a slot that is not decided so long after its instant is overdue


class Overdue(NamedTuple):
    """A schedule and its oldest slot that is not decided, or the end of its pause."""

    schedule_id: str
    since: Instant


def overdue(
    store: Store, now: Instant, late: Duration = OVERDUE, limit: int = 100
) -> list[Overdue]:
    """Read schedules whose oldest undecided slot is so late, whatever their state; oldest first."""
    found = store.read(Schedule, Where(overdue=now - late), limit=limit).items
    named = (Overdue(each.id, each.undecided_at or 0) for each in found)
    return sorted(named, key=lambda each: (each.since, each.schedule_id))
