"""Bring a cursor back that a wrong clock has left in the future."""

from collections.abc import Sequence

from tzdata import IANA_VERSION

from synccron.client.author import author, deed
from synccron.client.reads import require
from synccron.errors import StoreError
from synccron.model.change import reset
from synccron.model.job import Miss
from synccron.model.plan import Due
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import Instant
from synccron.store.base import Store, Where
from synccron.store.history import read_all

TRIES = 50  # how often it is decided anew when what it was decided for has moved


def reset_cursors(store: Store, ids: Sequence[str], now: Instant) -> list[str]:
    """Reset those of these cursors that are stranded; their schedules. Raises NotFound."""
    require(ids, [each.id for each in read_all(store, Schedule, Where(ids=ids))], "schedule")
    return [name for name in dict.fromkeys(ids) if reset_cursor(store, name, now, IANA_VERSION)]


def reset_cursor(store: Store, schedule_id: str, now: Instant, zones: str) -> bool:
    """Reset one schedule's cursor if it is stranded; whether it was."""
    moved = False
    refused = 0
    where = Where(schedule=schedule_id)
    while refused < TRIES:
        found = store.read(Due, Where(ids=(schedule_id,))).items
        if not found:
            return moved
        ahead = []
        for miss in read_all(store, Miss, where):  # those that end last come first
            if miss.last <= now:
                break
            ahead.append(miss)
        revisions = list(read_all(store, Revision, where))
        change = reset(found[0], revisions, ahead, now, author(), zones)
        if change is None:
            return moved
        # Law 2: refused if a dispatch or another command came in between.
        told = deed("reset-cursor", now, [schedule_id], schedule_id)
        if store.apply([change], [told]):
            moved = True
        else:
            refused += 1
    raise StoreError(f"the schedule {schedule_id} kept changing meanwhile", hint="try again")
