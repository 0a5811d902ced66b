"""Decide what becomes of a job whose schedule is busy: what `overlap` means, in one place.

A schedule is busy while a job of it is queued, runs or waits for a retry; those are *active*, and
what is decided here holds only while they stand as read, which the store compares.
"""

from collections.abc import Sequence
from dataclasses import replace

from synccron.model.job import ACTIVE, Job
from synccron.model.schedule import Overlap
from synccron.model.time import Instant


def passes_over(overlap: Overlap, active: Sequence[Job]) -> bool:
    """Tell whether a slot that comes now is a miss, and a trigger refused.

    Under `queue` one waits at most: behind what has begun, or behind the next one to begin.
    """
    match overlap:
        case "skip":
            return bool(active)
        case "queue":
            unbegun = sum(not each.begun for each in active)
            return unbegun >= (2 if unbegun == len(active) else 1)
        case "allow" | "replace":
            return False


def first(job: Job, active: Sequence[Job]) -> bool:
    """Tell whether nothing of its schedule runs, or is before it in the queue.

    What runs beside the others (a forced trigger) is in no queue. A node that has room for one
    looks at the oldest of a schedule alone: it would never come to what that one waits for.
    """
    return not any(
        other.state == "running" or (other.alone and _precedes(other, job)) for other in active
    )


def superseded(job: Job, active: Sequence[Job], now: Instant) -> Job | None:
    """Give the record of a job's end, if a later one is about to replace it; None: none is.

    It ends here, and does not wait for that: thousands that wait for it would hide it.
    """
    later = [other for other in active if other.replaces and _precedes(job, other)]
    return _ended(job, later[-1], now) if later else None


def replaced(job: Job, active: Sequence[Job], now: Instant) -> tuple[Job, ...]:
    """Give the records of what this job replaces, each with the end of it asked for.

    What runs is ended by its node, and settles as cancelled; what waits ends here.
    """
    return tuple(
        _ended(other, job, now)
        for other in active
        if _precedes(other, job) and other.cancel_requested_at is None
    )


def crowded(job: Job, active: Sequence[Job]) -> bool:
    """Tell whether there may be more active jobs before this one than those that were read."""
    states = [other.state for other in active if _precedes(other, job)]
    return any(states.count(state) >= ACTIVE for state in set(states))


def _precedes(other: Job, job: Job) -> bool:
    """Tell whether a job is before another in their queue: what has begun is finished first."""
    return (not other.begun, other.run_at, other.id) < (not job.begun, job.run_at, job.id)


def _ended(other: Job, by: Job, now: Instant) -> Job:
    asked = replace(other, cancel_requested_at=now)
    if other.state == "running":
        return asked
    return replace(asked, state="cancelled", finished_at=now, error=f"replaced by {by.id}")
