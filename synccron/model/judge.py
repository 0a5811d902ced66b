"""Judge a history by the laws: what the store has, what handlers did, what was acknowledged.

Pure, and so the same for a fault test, a simulation and an audit. It recomputes every slot from the
kept revisions and walks the records beside them; it costs as many steps as there are records, not
slots. It assumes nothing of how the history came about.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from synccron.model.cron import Timetable, timetable
from synccron.model.job import Job, Miss
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import Instant, format_instant

Law = Literal["one job per slot", "no slot vanishes", "at least once", "one settlement", "durable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One schedule with everything that the store has of it since `cursor.history_from`."""

    schedule: Schedule
    revisions: Sequence[Revision]
    jobs: Sequence[Job]
    misses: Sequence[Miss]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a handler wrote down itself: that an attempt began or ended, with its fencing token."""

    job_id: str
    attempt: int
    fence: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A law that did not hold, of what, and how it shows."""

    law: Law
    subject: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.law}: {self.subject}: {self.message}"


def judge(
    histories: Sequence[History],
    deeds: Iterable[Deed] = (),
    acknowledged: Iterable[str] = (),
    *,
    quiet: bool,
) -> tuple[Violation, ...]:
    """Give every violation found. `acknowledged` are ids of jobs that a command confirmed.

    `quiet`: nothing is due and nothing runs, so that every job must have settled.
    """
    jobs = [job for history in histories for job in history.jobs]
    found = [violation for history in histories for violation in _slots(history)]
    found += _fences(jobs)
    found += _overlaps(histories)
    found += _deeds(jobs, list(deeds))
    if quiet:
        found += _unsettled(jobs)
    found += _forgotten(jobs, acknowledged)
    return tuple(found)


@dataclass(frozen=True, slots=True, order=True)
class _Record:
    """The slots from `first` to `last`, their number, and when that was written."""

    first: Instant
    last: Instant
    count: int
    at: Instant


def _slots(history: History) -> Iterator[Violation]:
    """Laws 1 and 2: each slot of each revision's rhythm has exactly one record."""
    schedule = history.schedule
    records = sorted(_records(history))
    for before, after in pairwise(records):
        if after.first <= before.last:
            message = f"two records for {format_instant(after.first)}"
            yield Violation(law="one job per slot", subject=schedule.id, message=message)
    for first, end, since, table in _rhythms(history):
        begin = max(first, schedule.cursor.history_from)
        within = [each for each in records if begin <= each.last and each.first < end]
        yield from _walk(schedule.id, table, begin, end, since, within)


def _records(history: History) -> Iterator[_Record]:
    for job in history.jobs:
        if job.kind == "slot" and job.slot is not None:
            yield _Record(job.slot, job.slot, 1, job.created_at)
    for miss in history.misses:
        yield _Record(miss.first, miss.last, miss.count, miss.recorded_at)


def _rhythms(history: History) -> Iterator[tuple[Instant, Instant, Instant, Timetable]]:
    """Give each stretch of one cron and zone: from its first cursor to where the next took over.

    Also since when it is so, by the clock of who registered it.
    """
    # Those of before a removal are of another life: between the two there were no slots.
    lived = (each for each in history.revisions if each.at >= history.schedule.created_at)
    kept = sorted(lived, key=lambda revision: revision.version)
    starts = [
        revision
        for before, revision in pairwise([None, *kept])
        if revision is not None
        and (before is None or before.definition.rhythm != revision.definition.rhythm)
    ]
    for revision, following in pairwise([*starts, None]):
        if revision is None:
            continue
        end = history.schedule.cursor.next if following is None else following.at + 1
        definition = revision.definition
        table = timetable(definition.cron, definition.tz, definition.id)
        yield revision.cursor, end, revision.at, table


def _walk(
    subject: str,
    table: Timetable,
    begin: Instant,
    end: Instant,
    since: Instant,
    records: Iterable[_Record],
) -> Iterator[Violation]:
    """Walk the records of a stretch; one that reaches out of it, or is older, counts otherwise."""
    passed = begin - 1
    for each in records:
        yield from _gap(subject, table, passed, each.first - 1)
        counted = table.count(each.first - 1, each.last)
        inside = each.first >= begin and each.last < end and each.at >= since
        if inside and counted != each.count:
            message = (
                f"the record from {format_instant(each.first)} to {format_instant(each.last)}"
                f" counts {each.count} slots, its cron {counted}"
            )
            yield Violation(law="no slot vanishes", subject=subject, message=message)
        passed = max(passed, each.last)
    yield from _gap(subject, table, passed, end - 1)


def _gap(subject: str, table: Timetable, after: Instant, until: Instant) -> Iterator[Violation]:
    lacking = table.count(after, until) if until > after else 0
    if lacking:
        first = format_instant(table.next(after))
        message = f"{lacking} slots from {first} on have no record"
        yield Violation(law="no slot vanishes", subject=subject, message=message)


def _fences(jobs: Iterable[Job]) -> Iterator[Violation]:
    """Law 5: tokens are given once, and grow over the attempts of a job."""
    fences = Counter(attempt.fence for job in jobs for attempt in job.attempts)
    for fence, times in fences.items():
        if times > 1:
            message = f"was given {times} times"
            yield Violation(law="one settlement", subject=f"fence {fence}", message=message)
    for job in jobs:
        for before, after in pairwise(job.attempts):
            if after.fence <= before.fence:
                message = f"fence {after.fence} follows {before.fence}"
                yield Violation(law="one settlement", subject=job.id, message=message)


def _overlaps(histories: Iterable[History]) -> Iterator[Violation]:
    """Tell where two attempts of a schedule held a claim at once, though its overlap forbids it."""
    for history in histories:
        claims = sorted(
            (attempt.started_at, attempt.finished_at, job.id)
            for job in history.jobs
            if job.alone
            for attempt in job.attempts
            if attempt.finished_at is not None
        )
        for (_, end, before), (start, _, after) in pairwise(claims):
            if start < end:
                message = f"held a claim beside {before}"
                yield Violation(law="one job per slot", subject=after, message=message)


def _deeds(jobs: Iterable[Job], deeds: Sequence[Deed]) -> Iterator[Violation]:
    """Law 5: what ran had a claim, and what is called completed did end."""
    known = {(job.id, each.attempt, each.fence) for job in jobs for each in job.attempts}
    ids = {job.id for job in jobs}
    for deed in deeds:
        if deed.job_id in ids and (deed.job_id, deed.attempt, deed.fence) not in known:
            message = f"attempt {deed.attempt} ran with fence {deed.fence}, which it never had"
            yield Violation(law="one settlement", subject=deed.job_id, message=message)
    if not deeds:
        return
    ended = {(deed.job_id, deed.fence) for deed in deeds if deed.ended}
    for job in jobs:
        if job.state == "completed" and (job.id, job.fence) not in ended:
            message = f"is completed, but its handler did not end with fence {job.fence}"
            yield Violation(law="at least once", subject=job.id, message=message)


def _unsettled(jobs: Iterable[Job]) -> Iterator[Violation]:
    for job in jobs:
        if not job.settled:
            message = f"is still {job.state}"
            yield Violation(law="at least once", subject=job.id, message=message)


def _forgotten(jobs: Iterable[Job], acknowledged: Iterable[str]) -> Iterator[Violation]:
    """Law 7: what was acknowledged is there."""
    ids = {job.id for job in jobs}
    for job_id in acknowledged:
        if job_id not in ids:
            message = "was acknowledged, and is not there"
            yield Violation(law="durable", subject=job_id, message=message)
