"""Read what comes next of all schedules."""

from synccron.model.agenda import Agenda
from synccron.model.schedule import Schedule
from synccron.model.time import Instant
from synccron.store.base import Look, Store, Where
from synccron.store.history import read_all

FAR: Instant = 1 << 60
SOON = 2000  # schedules that are looked at for what comes next of all


def agenda(store: Store, now: Instant, after: Instant | None, limit: int) -> Agenda:
    """Read the first instants: from now on of what is due first, `after` an instant of all."""
    found = Agenda(now if after is None else after, limit)
    if after is not None:
        for schedule in read_all(store, Schedule, Where()):
            found.add(schedule)
        return found
    every = Look(now=FAR, until=FAR, overdue=FAR, offered=frozenset())
    read = store.due(every, SOON)
    for each in read:
        found.add(each.schedule)
    if len(read) == SOON:
        found.end(read[-1].schedule.next_run_at)
    return found
