"""Read the whole kept history of a schedule, as the judge takes it."""

from collections.abc import Iterator

from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.judge import History
from synccron.model.schedule import Revision, Schedule
from synccron.store.base import R, Store, Where


def read_all(store: Store, kind: type[R], where: Where) -> Iterator[R]:
    """Read every record of a kind, page by page."""
    after: str | None = None
    while True:
        page = store.read(kind, where, after=after)
        yield from page.items
        after = page.after
        if after is None:
            return


def read_history(store: Store, schedule_id: str) -> History:
    """Read one schedule with all that it left. Raises LookupError: it never was there.

    The reads are several: for a judgement nothing may be dispatched meanwhile. Retention may go on:
    the schedule, which tells from where on all is kept, is read last.
    """
    where = Where(schedule=schedule_id)
    revisions = tuple(read_all(store, Revision, where))
    jobs = tuple(read_all(store, Job, where))
    misses = tuple(read_all(store, Miss, where))
    letters = tuple(read_all(store, DeadLetter, where))
    found = store.read(Schedule, Where(ids=(schedule_id,))).items
    if not found and not revisions:
        raise LookupError(f"there is no schedule {schedule_id!r}")
    return History(
        schedule=found[0] if found else None,
        revisions=revisions,
        jobs=jobs,
        misses=misses,
        letters=letters,
    )
