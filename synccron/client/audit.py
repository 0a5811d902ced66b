"""Audit a store: that every slot which a cursor passed has exactly one record.

Nodes go on meanwhile, and the reads are several: what looks wrong is read again, and only what
stays wrong is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from synccron.model.cron import CronError
from synccron.model.job import Job, Miss
from synccron.model.ledger import NAMED, Ledger, Violation
from synccron.model.schedule import Revision, Schedule, Unreadable
from synccron.model.time import Instant
from synccron.model.timetable import FOREVER
from synccron.store.base import R, Store, Where
from synccron.store.history import read_all

PAGE = 500
LOOKS = 3  # how often a schedule is read before something is called wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What was found of one schedule: what its slots became, and what is wrong with them."""

    schedule_id: str
    jobs: int
    missed: int
    violations: tuple[Violation, ...]


def audit(
    store: Store, ids: Sequence[str] | None = None, since: Instant | None = None
) -> Iterator[Audited]:
    """Audit these schedules, or all, each as far back as its history goes, or to `since`."""
    for schedule in read_all(store, Schedule, Where(ids=ids)):
        yield _audited(store, schedule, since or 0)


def _audited(store: Store, schedule: Schedule, since: Instant) -> Audited:
    definition = schedule.definition
    if isinstance(definition, Unreadable) and schedule.cursor.next >= FOREVER:
        return _untold(schedule, definition.why)  # up to where they are decided is lost
    try:
        ledger, found = _look(store, schedule, since)
        for _ in range(LOOKS - 1):
            if not found:
                break
            fresh = store.read(Schedule, Where(ids=(schedule.id,))).items
            if not fresh:  # it was removed meanwhile
                found = []
                break
            ledger, again = _look(store, fresh[0], since)
            found = [each for each in found if each in again]
    except CronError as error:
        return _untold(schedule, str(error))
    return Audited(
        schedule_id=schedule.id, jobs=ledger.jobs, missed=ledger.missed, violations=tuple(found)
    )


def _untold(schedule: Schedule, why: str) -> Audited:
    message = f"its slots cannot be told: {why}"
    unreadable = Violation(law="no slot vanishes", subject=schedule.id, message=message)
    return Audited(schedule_id=schedule.id, jobs=0, missed=0, violations=(unreadable,))


def _look(store: Store, schedule: Schedule, since: Instant) -> tuple[Ledger, list[Violation]]:
    """Read the records of one schedule, and what is wrong with them as far as they stand still."""
    where = Where(schedule=schedule.id)
    ledger = Ledger(schedule, read_all(store, Revision, where), since)
    for misses in _pages(store, Miss, where):
        ledger.add_misses(misses)
    for jobs in _pages(store, Job, where):
        ledger.add_jobs(jobs)
    # A take-back or retention in between takes records away, and moves the cursor or the history.
    after = store.read(Schedule, Where(ids=(schedule.id,))).items
    if not after:
        return ledger, []
    cursor = after[0].cursor
    return ledger, [*islice(ledger.violations(cursor.history_from, cursor.next), NAMED)]


def _pages(store: Store, kind: type[R], where: Where) -> Iterator[tuple[R, ...]]:
    after: str | None = None
    while True:
        page = store.read(kind, where, after=after, limit=PAGE)
        yield page.items
        after = page.after
        if after is None:
            return
