"""The life of a job: its record, and what orders, admissions and settlements do to it.

Each compares all that it was decided from before it changes anything.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from synccron.model.job import (
    ACTIVE,
    Admission,
    Candidate,
    Claim,
    Job,
    Order,
    Settlement,
    claimed,
    claimed_before,
)
from synccron.model.lease import Session
from synccron.model.schedule import Definition
from synccron.model.time import Instant
from tests.simulation.memory.nodes import alive
from tests.simulation.memory.notes import add_letter, add_misses, add_notices
from tests.simulation.memory.state import Memory


def insert(memory: Memory, job: Job) -> Job:
    marked = replace(job, mod=memory.state.next())
    memory.state.jobs[job.id] = marked
    memory.state.places[job.id] = marked.mod
    memory.state.open[job.id] = None
    return marked


def update(memory: Memory, job: Job) -> Job:
    state, marked = memory.state, replace(job, mod=memory.state.next())
    state.jobs[job.id] = marked
    if job.settled:
        state.open.pop(job.id, None)
        for key in [key for key in state.steps if key[0] == job.id]:
            del state.steps[key]
    if job.id in state.receipts:
        state.receipts[job.id] = replace(state.receipts[job.id], state=job.state)
    return marked


def forget(memory: Memory, job_id: str) -> None:
    state = memory.state
    for held in (state.jobs, state.places, state.outputs, state.followers):
        cast("dict[str, Any]", held).pop(job_id, None)
    for key in [key for key in state.chunks if key[0] == job_id]:
        del state.chunks[key]


def remove(memory: Memory, job: Job) -> None:
    forget(memory, job.id)
    memory.state.open.pop(job.id, None)


def stands(memory: Memory, job: Job) -> bool:
    known = memory.state.jobs.get(job.id)
    return known is not None and known.mod == job.mod


def running_of(memory: Memory, job: Job) -> int:
    return sum(
        other.state == "running" and other.schedule_id == job.schedule_id
        for other in memory.state.unsettled()
    )


def active_of(memory: Memory, schedule_id: str | None, besides: str = "") -> tuple[Job, ...]:
    phases: dict[str, list[Job]] = {}
    for other in memory.state.unsettled():
        if other.schedule_id == schedule_id and other.id != besides and not other.intention:
            phases.setdefault(other.state, []).append(other)
    found = [each for phase in phases.values() for each in sorted(phase, key=_rank)[:ACTIVE]]
    return tuple(sorted(found, key=_rank))


def pinned(memory: Memory, job: Job) -> Definition | None:
    kept = memory.state.revisions.get(job.schedule_id or "", ())
    return next((each.definition for each in kept if each.version == job.revision), None)


def order_stands(memory: Memory, order: Order) -> bool:
    state, name = memory.state, order.job.schedule_id
    if order.seen is not None:
        schedule = state.schedules.get(name or "")
        if schedule is None or schedule.mod != order.seen:
            return False
    # Overlap: against another trigger, or a slot, in the same moment.
    if order.active is not None and marks(active_of(memory, name)) != marks(order.active):
        return False
    return order.dead is None or order.dead in state.letters


def write_admission(
    memory: Memory, at: Session, admission: Admission, now: Instant
) -> Claim | None:
    candidate = admission.candidate
    if not _as_read(memory, candidate):
        return claimed_before(admission, memory.state.jobs.get(candidate.job.id), at.id)
    for replaced in admission.replaces:
        update(memory, replaced)
    if admission.miss is not None:
        if not candidate.job.begun:
            remove(memory, candidate.job)
            add_notices(memory, admission.notices, add_misses(memory, [admission.miss]))
        return None
    if admission.job is not None:
        update(memory, admission.job)
        return None
    most = candidate.job.max_running
    # Against other nodes: no more attempts of a schedule hold a claim than it may have.
    if candidate.definition is None or (
        most is not None and running_of(memory, candidate.job) >= most
    ):
        return None
    memory.state.fence += 1
    job = update(memory, claimed(candidate, at.node, at.id, memory.state.fence, now))
    return Claim(job=job, definition=candidate.definition, session=at.id, fence=memory.state.fence)


def _as_read(memory: Memory, candidate: Candidate) -> bool:
    job = candidate.job
    # Law 5: against another node that claimed it, or a command that ended it.
    if not stands(memory, job):
        return False
    if candidate.seen is not None:
        schedule = memory.state.schedules.get(job.schedule_id or "")
        if schedule is None or schedule.mod != candidate.seen:
            return False
    # Overlap, at the instant: no two attempts of a schedule that runs alone hold a claim.
    active = active_of(memory, job.schedule_id, job.id)
    return not job.alone or marks(active) == marks(candidate.active)


def write_settlement(memory: Memory, settlement: Settlement) -> Job | None:
    state, held = memory.state, settlement.claim
    job = state.jobs.get(held.job.id)
    # Law 5: against a late result, and against a node said to be dead that comes back just now.
    if (
        job is None
        or job.state != "running"
        or job.fence != held.fence
        or (settlement.gone and alive(memory, held.session))
    ):
        return None
    ended = settlement.job
    if job.cancel_requested_at is not None:
        ended = replace(settlement.cancelled, cancel_requested_at=job.cancel_requested_at)
    else:
        _tell(memory, settlement)
    if settlement.output is not None:
        state.outputs[ended.id] = settlement.output
    else:
        state.outputs.pop(ended.id, None)
    return update(memory, ended)


def _tell(memory: Memory, settlement: Settlement) -> None:
    """Write what was given up, and what people are told of this end."""
    if settlement.dead is not None:
        add_letter(memory, settlement.dead)
    add_notices(memory, settlement.notices)
    name, failing = settlement.job.schedule_id or "", settlement.failing
    if failing is not None and name in memory.state.schedules:
        # One notice for a change of state: against another job that ends beside it.
        if memory.state.failing.get(name, False) != failing:
            add_notices(memory, settlement.changed)
        memory.state.failing[name] = failing


def _rank(job: Job) -> tuple[Instant, str]:
    return job.run_at, job.id


def marks(jobs: Iterable[Job]) -> set[tuple[str, int]]:
    return {(job.id, job.mod) for job in jobs}
