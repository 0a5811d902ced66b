"""What may start: which jobs a node is given, and what a decision on each looks at."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from synccron.model.job import Candidate, Job, bare
from synccron.model.time import Instant
from synccron.store.base import Mine
from tests.simulation.memory.jobs import active_of, pinned, running_of
from tests.simulation.memory.state import Memory


def waiting(
    memory: Memory,
    offers: frozenset[str],
    until: Instant,
    limit: int,
    mine: Mine,
    each: int,
    besides: AbstractSet[str],
) -> list[Candidate]:
    """Give the jobs that may start, earliest first."""
    first = _heads(memory)
    ready = sorted(
        (
            job
            for job in memory.state.unsettled()
            if job.state != "running"
            and job.needs in offers
            and (
                not job.alone
                or job.intention
                or job.replaces
                or first.get(job.schedule_id) == job.id
            )
        ),
        key=lambda job: (job.run_at, memory.state.places[job.id]),
    )
    found = _share_out(
        memory,
        (job for job in ready if job.run_at <= until and mine(*_asked(job))),
        each,
        besides,
    )
    found += [
        job for job in ready if job.retry_delay is not None and job.run_at - job.retry_delay > until
    ]
    given = {job.id for job in found}
    found += [
        job
        for job in memory.state.unsettled()
        if job.state == "queued"
        and job.expires_at is not None
        and job.expires_at < until
        and job.id not in given
        and job.needs in offers
        and mine(*_asked(job))
    ]
    return [_candidate_of(memory, job) for job in found[:limit]]


def _share_out(
    memory: Memory, jobs: Iterable[Job], each: int, besides: AbstractSet[str]
) -> list[Job]:
    """Leave out what a line has beyond its share."""
    left: dict[str, int] = {}
    found = []
    for job in jobs:
        if not job.intention and not job.replaces:
            room = each if job.max_running is None else job.max_running - running_of(memory, job)
            left.setdefault(job.line, 0 if job.line in besides else min(each, room))
            left[job.line] -= 1
            if left[job.line] < 0:
                continue
        found.append(job)
    return found


def _heads(memory: Memory) -> dict[str | None, str]:
    """Find the first of the jobs of each schedule that run alone and wait."""
    busy = {
        job.schedule_id for job in memory.state.unsettled() if job.alone and job.state == "running"
    }
    first: dict[str | None, Job] = {}
    for job in memory.state.unsettled():
        if job.alone and not job.intention and job.schedule_id not in busy:
            known = first.get(job.schedule_id)
            if known is None or _place_in_line(job) < _place_in_line(known):
                first[job.schedule_id] = job
    return {name: job.id for name, job in first.items()}


def _candidate_of(memory: Memory, job: Job) -> Candidate:
    lone = job.alone and job.schedule_id is not None
    active = active_of(memory, job.schedule_id, job.id) if lone else ()
    if job.schedule_id is None:
        return Candidate(job=job, definition=bare(job), active=active)
    running = 0 if job.max_running is None else running_of(memory, job)
    if not job.intention:
        definition = pinned(memory, job)
        return Candidate(job=job, definition=definition, active=active, running=running)
    schedule = memory.state.schedules.get(job.schedule_id)
    if schedule is None:
        return Candidate(job=job, definition=None, active=active)
    return Candidate(
        job=job,
        definition=schedule.definition,
        version=schedule.version,
        running=running,
        seen=schedule.mod,
        active=active,
    )


def _place_in_line(job: Job) -> tuple[bool, bool, Instant, str]:
    """What has begun is finished before another begins."""
    return not job.begun, job.state != "queued" and job.begun, job.run_at, job.id


def _asked(job: Job) -> tuple[str, str, Instant, str | None]:
    return job.id, job.needs, job.run_at, job.failed_on
