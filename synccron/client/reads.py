"""Reads that calls of the Python API share: what was asked for, or NotFound."""

from collections.abc import Iterable, Iterator, Sequence

from synccron.client import values
from synccron.errors import NotFound
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job
from synccron.model.plan import MOST_AHEAD
from synccron.model.schedule import Definition, Revision, Schedule, Unreadable
from synccron.store.base import R, Store, Where
from synccron.store.codec import refusal
from synccron.store.history import read_all

PAGE = 500
MOST_READ_ON = 2000


def schedule_of(store: Store, name: str, *, besides_queue: bool = False) -> Schedule:
    """Read one schedule. Raises NotFound, and StoreDamaged or StoreNewer: it can't be read."""
    found = store.read(Schedule, Where(ids=(name,), besides_queue=besides_queue)).items
    require((name,), [each.id for each in found], "schedule")
    check_readable(found[0].definition)
    return found[0]


def check_readable(definition: Definition) -> Definition:
    """Give it back. Raises StoreDamaged or StoreNewer: it stands for one that can't be read."""
    if isinstance(definition, Unreadable):
        raise refusal(definition)
    return definition


def jobs_of(store: Store, ids: Sequence[str]) -> list[Job]:
    """Read jobs in the order of their ids. Raises NotFound if any is unknown."""
    found = {each.id: each for each in read_all(store, Job, Where(ids=ids))}
    require(ids, found, "job")
    return [found[job_id] for job_id in ids]


def letters_of(store: Store, ids: Sequence[str]) -> list[DeadLetter]:
    """Read dead letters in the order of their ids. Raises NotFound if any is unknown."""
    found = {each.id: each for each in read_all(store, DeadLetter, Where(ids=ids))}
    require(ids, found, "dead letter")
    return [found[letter_id] for letter_id in ids]


def job_of_letter(store: Store, letter: DeadLetter) -> Job | None:
    """Read the job that a dead letter points to; None: it points to a miss, or the job is gone."""
    if letter.job_id is None:
        return None
    found = store.read(Job, Where(ids=(letter.job_id,))).items
    return found[0] if found else None


def revisions_of(store: Store, schedule_id: str) -> Iterator[values.Revision]:
    """Read the kept revisions of a schedule, newest first, each with what it changed."""
    found = read_all(store, Revision, Where(schedule=schedule_id))
    newer = next(found, None)
    while newer is not None:
        older = next(found, None)
        yield values.Revision.of(newer, older)
        newer = older


def newest(store: Store, kind: type[R], where: Where, limit: int) -> list[R]:
    """Read at most so many records, newest first."""
    found: list[R] = []
    after: str | None = None
    while len(found) < limit:
        page = store.read(kind, where, after=after, limit=min(PAGE, limit - len(found)))
        found += page.items
        after = page.after
        if after is None:
            break
    return found


def newest_jobs(store: Store, where: Where, limit: int) -> list[Job]:
    """Read at most so many jobs, those that came up last first.

    The store gives them as they were written, which is up to MOST_AHEAD before. So it is read on
    until nothing older can belong among them; where very many jobs are written in a minute, to some
    thousands.
    """
    found: list[Job] = []
    after: str | None = None
    while len(found) < limit + MOST_READ_ON:
        page = store.read(Job, where, after=after, limit=PAGE)
        found += page.items
        found.sort(key=lambda job: job.moment, reverse=True)
        after = page.after
        if after is None or (
            page.items
            and len(found) >= limit
            and found[limit - 1].moment > page.items[-1].created_at + MOST_AHEAD
        ):
            break
    return found[:limit]


def trail(store: Store, where: Where, limit: int) -> list[Deed]:
    """Read who did what, newest first.

    To one schedule also what its revisions tell: many that were registered at once are one deed.
    """
    found = newest(store, Deed, where, limit)
    if where.schedule is None:
        return found
    known = {each.at for each in found}
    for each in newest(store, Revision, Where(schedule=where.schedule), limit):
        if each.at not in known and each.at >= (where.since or 0):
            found.append(_registered(each))
    return sorted(found, key=lambda each: each.at, reverse=True)[:limit]


def _registered(revision: Revision) -> Deed:
    name = revision.schedule_id
    return Deed(
        id=f"{name}:{revision.version}",
        at=revision.at,
        by=revision.by,
        verb="register",
        schedule_id=name,
        subject=name,
        detail=f"version {revision.version}",
    )


def require(ids: Sequence[str], found: Iterable[str], what: str) -> None:
    """Raise NotFound that names all ids that are not found."""
    known = set(found)
    unknown = [name for name in ids if name not in known]
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        raise NotFound(f"there is no {what} {names}")
