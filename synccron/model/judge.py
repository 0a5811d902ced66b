"""Judge a history by the laws: what the store has, what handlers did, what was acknowledged.

Pure, and so the same for a fault test and a simulation. That each slot has exactly one record is
`ledger.py`'s to prove, which the audit asks too; here are the laws of jobs and their attempts. It
assumes nothing of how the history came about, and judges only what somebody has witnessed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.ledger import Law, Ledger, Violation
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import SECOND, Duration, Instant, format_instant

PROMPT: Duration = 2 * SECOND  # a slot is decided within this of its instant


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One schedule with everything that the store has of it since `cursor.history_from`.

    `schedule` None: it was removed, and what it left is here.
    """

    schedule: Schedule | None
    revisions: Sequence[Revision]
    jobs: Sequence[Job]
    misses: Sequence[Miss]
    letters: Sequence[DeadLetter] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen of an attempt itself, beside the store: that it began or ended, with its token.

    A handler writes it down; `at` is when, in monotonic ms of one host (None: not known). `gone`:
    it did not say so itself, but somebody saw that nothing of it ran any more.
    """

    job_id: str
    attempt: int
    fence: int
    ended: bool
    at: int | None = None
    gone: bool = False


def judge(
    histories: Sequence[History],
    sightings: Sequence[Sighting] = (),
    acknowledged: Iterable[str] = (),
    *,
    quiet: bool,
    registered: Iterable[tuple[str, int]] = (),
    cancelled: Iterable[str] = (),
    decided: Iterable[int] = (),
    left: Iterable[str] = (),
    well: tuple[Instant, Instant] | None = None,
    clocks_agreed: bool = True,
    whole: bool = False,
) -> tuple[Violation, ...]:
    """Give every violation found, by what was seen beside the store.

    `sightings` of attempts (none: nobody wrote them down). What a command confirmed:
    `acknowledged` are ids of jobs, `registered` revisions, `cancelled` jobs that were to end.
    `quiet`: nothing is due and nothing runs, so that every job must have settled.
    `decided`: the epochs of terms as they began, and of every write of a leader that the store
    took, in the order in which it did. `left`: what ran on when its attempt had ended. `well`: from
    when to when nothing was in the way of the service. `clocks_agreed`: the wall clocks of nodes,
    and none jumped. `whole`: retention has taken nothing, and no dead letter was
    discarded.
    """
    jobs = [job for history in histories for job in history.jobs]
    found = [each for one in histories for each in _slots(one, clocks_agreed=clocks_agreed)]
    found += _fences(jobs)
    found += _attempts(jobs)
    if clocks_agreed:
        found += _claims(histories)
    if sightings:
        found += _ran(jobs, sightings, whole=whole)
        found += _beside(histories, sightings)
    if quiet:
        found += _unsettled(jobs)
        if whole:
            found += _given_up(histories)
        found += _cancelled(jobs, cancelled)
    found += _forgotten(jobs, acknowledged)
    found += _unregistered(histories, registered)
    found += _decided(decided)
    found += (_broken("nothing is left behind", each, "runs on") for each in left)
    if well is not None:
        found += _service(histories, *well)
    return tuple(found)


def _broken(law: Law, subject: str, message: str) -> Violation:
    return Violation(law=law, subject=subject, message=message)


def _slots(history: History, *, clocks_agreed: bool) -> Iterator[Violation]:
    """Laws 1 and 2: each slot of each revision's rhythm has exactly one record."""
    if history.schedule is None:
        return
    ledger = Ledger(history.schedule, history.revisions)
    ledger.add_misses(history.misses)
    ledger.add_jobs(history.jobs)
    for each in ledger.violations():
        # Which rhythm counted a record is told by its time.
        if clocks_agreed or not each.message.startswith("the record"):
            yield each


def _fences(jobs: Iterable[Job]) -> Iterator[Violation]:
    """Law 5: tokens are given once, and grow over the attempts of a job."""
    fences = Counter(attempt.fence for job in jobs for attempt in job.attempts)
    for fence, times in fences.items():
        if times > 1:
            yield _broken("one settlement", f"fence {fence}", f"was given {times} times")
    for job in jobs:
        for before, after in pairwise(job.attempts):
            if after.fence <= before.fence:
                message = f"fence {after.fence} follows {before.fence}"
                yield _broken("one settlement", job.id, message)


def _attempts(jobs: Iterable[Job]) -> Iterator[Violation]:
    """Law 5: an attempt ends before the next begins, and nothing follows one that ended it all."""
    for job in jobs:
        for each in job.attempts[:-1]:
            if each.outcome in (None, "completed", "cancelled"):
                message = (
                    f"attempt {each.attempt} is {each.outcome or 'under way'}, and not its last"
                )
                yield _broken("one settlement", job.id, message)
        if job.settled and job.attempts and job.attempts[-1].outcome is None:
            message = f"is {job.state}, and an attempt of it is under way"
            yield _broken("one settlement", job.id, message)


def _claims(histories: Iterable[History]) -> Iterator[Violation]:
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
                yield _broken("no overlap", after, f"held a claim beside {before}")


def _ran(jobs: Iterable[Job], sightings: Sequence[Sighting], *, whole: bool) -> Iterator[Violation]:
    """Law 5: what ran had a claim, once, and what is called completed did end."""
    known = {(job.id, each.attempt, each.fence) for job in jobs for each in job.attempts}
    ids = {job.id for job in jobs}
    for each in sightings:
        if each.job_id not in ids:
            if whole and not each.ended:
                yield _broken("no slot vanishes", each.job_id, "was begun, and is not there")
        elif (each.job_id, each.attempt, each.fence) not in known:
            message = f"attempt {each.attempt} ran with fence {each.fence}, which it never had"
            yield _broken("one settlement", each.job_id, message)
    began = Counter((each.job_id, each.fence) for each in sightings if not each.ended)
    for (job_id, fence), times in began.items():
        if times > 1:
            yield _broken("one settlement", job_id, f"was begun {times} times with fence {fence}")
    ended = {(each.job_id, each.fence) for each in sightings if each.ended and not each.gone}
    for job in jobs:
        if job.state == "completed" and (job.id, job.fence) not in ended:
            message = f"is completed, but its handler did not end with fence {job.fence}"
            yield _broken("at least once", job.id, message)


def _beside(histories: Iterable[History], sightings: Iterable[Sighting]) -> Iterator[Violation]:
    """Tell where two attempts of a schedule ran at once that `stops` what may not run beside."""
    spans: dict[tuple[str, int], list[int]] = {}
    for each in sightings:
        if each.at is not None:
            spans.setdefault((each.job_id, each.fence), []).append(each.at)
    for history in histories:
        stops = {each.version for each in history.revisions if each.definition.stops}
        ran = sorted(
            (min(span), max(span), job.id)
            for job in history.jobs
            if job.alone and job.revision in stops
            for each in job.attempts
            if (span := spans.get((job.id, each.fence))) is not None
        )
        for (_, end, before), (start, _, after) in pairwise(ran):
            if start < end:
                yield _broken("no overlap", after, f"ran beside {before} for {end - start} ms")


def _unsettled(jobs: Iterable[Job]) -> Iterator[Violation]:
    for job in jobs:
        if not job.settled:
            yield _broken("at least once", job.id, f"is still {job.state}")


def _given_up(histories: Iterable[History]) -> Iterator[Violation]:
    """What has used up its attempts is a dead letter, or was run again from there."""
    for history in histories:
        told = {letter.job_id for letter in history.letters}
        told |= {job.retry_of for job in history.jobs}
        for job in history.jobs:
            if job.state in ("failed", "timed_out") and job.id not in told:
                yield _broken("at least once", job.id, f"is {job.state}, and no dead letter")


def _cancelled(jobs: Iterable[Job], cancelled: Iterable[str]) -> Iterator[Violation]:
    states = {job.id: job.state for job in jobs}
    for job_id in cancelled:
        if states.get(job_id, "cancelled") != "cancelled":
            yield _broken("durable", job_id, f"was cancelled, and is {states[job_id]}")


def _forgotten(jobs: Iterable[Job], acknowledged: Iterable[str]) -> Iterator[Violation]:
    """Law 7: what was acknowledged is there."""
    ids = {job.id for job in jobs}
    for job_id in acknowledged:
        if job_id not in ids:
            yield _broken("durable", job_id, "was acknowledged, and is not there")


def _unregistered(
    histories: Iterable[History], registered: Iterable[tuple[str, int]]
) -> Iterator[Violation]:
    """Law 7: a revision that was acknowledged is there, or one that came after it."""
    kept = {
        one.schedule.id: max(each.version for each in one.revisions)
        for one in histories
        if one.schedule is not None and one.revisions
    }
    for name, version in registered:
        if kept.get(name, version) < version:
            message = f"its revision {version} was acknowledged, and is not there"
            yield _broken("durable", name, message)


def _decided(epochs: Iterable[int]) -> Iterator[Violation]:
    """Law 4: once a term has begun, nothing is decided by one before it."""
    newest = 0
    for epoch in epochs:
        if epoch < newest:
            message = f"a write of it was taken when the term {newest} had begun"
            yield _broken("a deposed leader changes nothing", f"epoch {epoch}", message)
        newest = max(newest, epoch)


def _service(histories: Iterable[History], since: Instant, until: Instant) -> Iterator[Violation]:
    """Tell what was not as usual though nothing was in its way any more."""
    for history in histories:
        for miss in history.misses:
            late = miss.reason in ("misfire", "dispatch_failed", "no_handler")
            if late and since <= miss.first <= until:
                message = f"missed {format_instant(miss.first)}: {miss.reason}"
                yield _broken("service goes on", miss.schedule_id, message)
        if history.schedule is not None:
            undecided = history.schedule.undecided_at
            if undecided is not None and undecided < until - PROMPT:
                message = f"has not decided {format_instant(undecided)}"
                yield _broken("service goes on", history.schedule.id, message)
