"""A schedule and its cursor: what changes and dispatches do to them.

Each compares all that it was decided from before it changes anything.
"""

from dataclasses import replace

from synccron.model.change import Change
from synccron.model.job import Job
from synccron.model.lease import Term
from synccron.model.plan import Due, Plan
from synccron.model.schedule import Schedule
from synccron.model.time import Instant
from synccron.store.base import Look
from tests.simulation.memory.jobs import insert, remove, stands, update
from tests.simulation.memory.notes import add_letter, add_misses, add_notices
from tests.simulation.memory.state import Memory


def intentions_of(memory: Memory, schedule_id: str) -> list[Job]:
    found = (
        job for job in memory.state.unsettled() if job.schedule_id == schedule_id and job.intention
    )
    return sorted(found, key=lambda job: job.run_at)


def schedule_of(memory: Memory, schedule_id: str) -> Schedule:
    first = next(iter(intentions_of(memory, schedule_id)), None)
    stored = memory.state.schedules[schedule_id]
    return stored if first is None else replace(stored, ahead=first.run_at)


def look_at(memory: Memory, look: Look) -> list[Due]:
    """Give the schedules that the leader has to look at, the longest due first."""
    state = memory.state
    late: dict[str, Instant] = {}
    for job in state.unsettled():
        if (
            job.intention
            and job.run_at <= look.now
            and (job.run_at < look.overdue or job.needs not in look.offered)
        ):
            name = job.schedule_id or ""
            late[name] = min(job.run_at, late.get(name, job.run_at))
    found: list[tuple[Instant, str]] = []
    for schedule in state.schedules.values():
        cursor, name = schedule.cursor, schedule.id
        if cursor.retry_at is not None and cursor.retry_at > look.now:
            continue
        at = [late[name]] if name in late else []
        if not schedule.paused and cursor.due_at <= look.until:
            at.append(cursor.due_at)
        if at:
            found.append((min(at), name))
    return [due_of(memory, name) for _, name in sorted(found)]


def due_of(memory: Memory, schedule_id: str) -> Due:
    schedule = schedule_of(memory, schedule_id)
    start = schedule.cursor.next
    taken = (
        job.slot
        for job in memory.state.jobs.values()
        if job.schedule_id == schedule_id and job.kind == "slot"
    )
    return Due(
        schedule=schedule,
        intentions=tuple(intentions_of(memory, schedule_id)),
        taken=frozenset(slot for slot in taken if slot is not None and slot >= start),
        missed=tuple(
            miss
            for miss in memory.state.misses.values()
            if miss.schedule_id == schedule_id and miss.last >= start
        ),
    )


def change_stands(memory: Memory, change: Change) -> bool:
    state = memory.state
    # Law 2: against another command, and a dispatch that moved the cursor meanwhile.
    known = state.schedules.get(change.id)
    stone = state.tombstones.get(change.id)
    mod = known.mod if known is not None else None if stone is None else stone.mod
    touched = (*change.withdrawn, *change.dropped, *change.queued)
    return (
        mod == change.seen
        and (
            change.cursor_seen is None
            or (known is not None and known.cursor.mod == change.cursor_seen)
        )
        and all(stands(memory, each) for each in touched)
        and all(replace(miss, follows=None) in state.misses.values() for miss in change.erased)
    )


def write_change(memory: Memory, change: Change, now: Instant) -> None:
    state = memory.state
    for job in (*change.withdrawn, *change.dropped):
        remove(memory, job)
    for job in change.queued:
        update(memory, job)
    for erased in change.erased:
        for seq, miss in list(state.misses.items()):
            if miss == replace(erased, follows=None):
                del state.misses[seq]
    add_misses(memory, change.misses)
    if change.revision is not None:
        kept = state.revisions.get(change.id, ())
        state.revisions[change.id] = (*kept, change.revision)
    if change.tombstone is not None:
        del state.schedules[change.id]
        state.failing.pop(change.id, None)
        state.tombstones[change.id] = replace(change.tombstone, mod=state.next())
        _cancel_waiting(memory, change, now)
    if change.schedule is not None:
        _put_schedule(memory, change, change.schedule)


def _cancel_waiting(memory: Memory, change: Change, now: Instant) -> None:
    for job in list(memory.state.unsettled()):
        if change.error is not None and job.schedule_id == change.id and job.state != "running":
            ended = replace(job, state="cancelled", finished_at=now, error=change.error)
            update(memory, ended)


def _put_schedule(memory: Memory, change: Change, schedule: Schedule) -> None:
    state, before = memory.state, memory.state.schedules.get(change.id)
    cursor = schedule.cursor
    if before is not None:
        state.schedules.pop(change.id)
        kept = before.cursor if change.cursor_seen is None else cursor
        began = max(before.cursor.history_from, cursor.history_from)
        cursor = replace(kept, history_from=began)
    # Law 2: a dispatch that was decided before is decided anew, also where the cursor stays.
    state.schedules[change.id] = replace(
        schedule, mod=state.next(), ahead=None, cursor=replace(cursor, mod=state.next())
    )
    state.tombstones.pop(change.id, None)
    definition = schedule.definition
    for job in intentions_of(memory, change.id):
        follows = replace(
            job,
            needs=definition.needs,
            alone=definition.alone,
            max_running=definition.max_running,
            max_attempts=definition.retry.max_attempts,
        )
        if follows != job:
            update(memory, follows)


def write_plan(memory: Memory, term: Term, plan: Plan, now: Instant) -> bool:
    state = memory.state
    # Law 6: against a host that slept, or a wall clock that jumped, between the plan and now.
    if abs(now - plan.at) > term.ttl:
        return False
    schedule = state.schedules.get(plan.schedule_id)
    ids = {job.id for job in plan.jobs}
    # Law 1: against a plan of a cursor that has moved, and by the key of each job; and against
    # a node that judges an intention in the same moment.
    if (
        schedule is None
        or schedule.cursor.mod != plan.seen
        or not all(stands(memory, each) for each in (*plan.dropped, *plan.queued))
        or len(ids) < len(plan.jobs)
        or not ids.isdisjoint(state.jobs)
    ):
        return False
    began = max(schedule.cursor.history_from, plan.cursor.history_from)
    cursor = replace(plan.cursor, history_from=began, mod=state.next())
    state.schedules[plan.schedule_id] = replace(schedule, cursor=cursor)
    for job in plan.dropped:
        remove(memory, job)
    for job in plan.queued:
        update(memory, job)
    for job in plan.jobs:
        insert(memory, job)
    add_notices(memory, plan.notices, add_misses(memory, plan.misses))
    for letter in plan.dead:
        add_letter(memory, letter)
    return True
