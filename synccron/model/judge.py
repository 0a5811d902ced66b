"""Judge a history by the laws: what the store has, what handlers did, what was acknowledged.

Pure, and so the same for a fault test and a simulation. That each slot has exactly one record is
`ledger.py`'s to prove, which the audit asks too; here are the laws of jobs and their attempts. It
assumes nothing of how the history came about.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from synccron.model.job import Job, Miss
from synccron.model.ledger import Ledger, Violation
from synccron.model.schedule import Revision, Schedule


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


def _slots(history: History) -> Iterator[Violation]:
    """Laws 1 and 2: each slot of each revision's rhythm has exactly one record."""
    ledger = Ledger(history.schedule, history.revisions)
    ledger.add_misses(history.misses)
    ledger.add_jobs(history.jobs)
    return ledger.violations()


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
