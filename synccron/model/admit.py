"""Decide, at its instant, whether a job may start: overlap, room, a clock that jumped.

What follows the end of an attempt is `settle.py`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from synccron.model.cron import timetable
from synccron.model.job import Admission, Candidate, Job, Reason, queued
from synccron.model.miss import missed
from synccron.model.notify import of_misses
from synccron.model.overlap import crowded, first, passes_over, replaced, superseded
from synccron.model.schedule import Definition, Unreadable
from synccron.model.time import Duration, Instant

ELSEWHERE: Duration = 200  # how long a node leaves a job to who comes before it, in ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job would start: the node, whether it has room, whether other nodes live.

    `lease` is the leader's, in ms: within the shorter of it and the misfire grace a node judges an
    intention; after that the leader does. `skewed`: its wall clock is not to be trusted, so that it
    judges none.
    """

    node: str
    full: bool
    others: bool
    lease: Duration
    skewed: bool = False


def admit(candidate: Candidate, now: Instant, place: Place) -> Admission | None:
    """Judge a candidate; None: it waits. An Admission without job and miss is a claim."""
    job, definition = candidate.job, candidate.definition
    if definition is None:
        gone = replace(job, state="cancelled", finished_at=now, error="unregistered")
        return Admission(candidate=candidate, job=gone)
    if isinstance(definition, Unreadable):
        return None
    if job.run_at > now:
        return _wait(candidate, now)
    if job.intention:
        return _judge(candidate, definition, now, place)
    if job.expires_at is not None and now > job.expires_at:
        return _expire(candidate, definition, now, place)
    return _begin(candidate, now, place)


def comes_to(
    job_id: str,
    run_at: Instant,
    nodes: Sequence[str],
    node: str,
    now: Instant,
    failed: str | None = None,
    *,
    last: bool = False,
) -> Instant:
    """Tell from when a node may take a job: at once if it is the job's first; not after now: now.

    The others follow in an order of their own for each job, for a fifth of a second each, round
    and round. So nodes that wake at one instant do not all try for the same jobs, and a job whose
    first node is full or stopped is not held up for long. The node that `failed` a retry is the
    last; `last`: this one is none of `nodes`, and comes after all of them. The order changes little
    when a node comes or goes (highest random weight:
    https://www.microsoft.com/en-us/research/wp-content/uploads/2017/02/HRW98.pdf).
    """
    mine = _weight(job_id, node, failed)
    before = sum(_weight(job_id, other, failed) > mine for other in nodes)
    rank = len(nodes) if last else before
    if rank == 0:
        return run_at
    passed = max(0, now - run_at) // ELSEWHERE
    return run_at + ELSEWHERE * (passed + (rank - passed) % (max(rank, len(nodes) - 1) + 1))


def foremost(job_id: str, nodes: Sequence[str], failed: str | None = None) -> str | None:
    """Tell whose a job is before any other's; None: there is no node."""
    return max(nodes, key=lambda node: _weight(job_id, node, failed), default=None)


def _wait(candidate: Candidate, now: Instant) -> Admission | None:
    job = candidate.job
    if job.retry_delay is None or job.run_at <= now + job.retry_delay:
        return None
    # Law 6: the wall clock jumped back; the delay counts anew.
    return Admission(candidate=candidate, job=replace(job, run_at=now + job.retry_delay))


def _weight(job_id: str, node: str, failed: str | None) -> tuple[bool, int, str]:
    return node != failed, crc32(f"{job_id}\0{node}".encode()), node


def _judge(
    candidate: Candidate, definition: Definition, now: Instant, place: Place
) -> Admission | None:
    job = candidate.job
    if place.skewed or now - job.run_at > min(place.lease, definition.misfire_grace):
        return None
    if definition.start_within is not None and now - job.run_at > definition.start_within:
        return _pass_over(candidate, definition, "expired", now, place)
    if passes_over(definition.overlap, candidate.active):
        return _pass_over(candidate, definition, "overlap", now, place)
    waiting = queued(job, definition, candidate.version, job.run_at)
    if definition.overlap == "replace" and candidate.active:
        return _replace(candidate, waiting, now)
    if place.full or candidate.active or _crowded_out(candidate):
        return Admission(candidate=candidate, job=waiting)
    return Admission(candidate=candidate)


def _expire(
    candidate: Candidate, definition: Definition, now: Instant, place: Place
) -> Admission | None:
    # Law 6: a node whose clock is off must not decide that it is too late.
    return None if place.skewed else _pass_over(candidate, definition, "expired", now, place)


def _begin(candidate: Candidate, now: Instant, place: Place) -> Admission | None:
    """Judge what is queued, or waits for a retry."""
    job = candidate.job
    ended = superseded(job, candidate.active, now)
    if ended is not None:
        return Admission(candidate=candidate, job=ended)
    if job.replaces and candidate.active:
        return _replace(candidate, job, now)
    if place.full or _crowded_out(candidate) or _kept_for_others(job, now, place):
        return None
    if job.alone and not first(job, candidate.active):
        return None
    return Admission(candidate=candidate)


def _replace(candidate: Candidate, waiting: Job, now: Instant) -> Admission | None:
    """Ask for the end of what is active before a job, which then waits in its queue.

    Where more may be active than was read, it has to look again.
    """
    ended = replaced(waiting, candidate.active, now)
    again = crowded(waiting, candidate.active)
    if again and not ended and not candidate.job.intention:
        return None
    return Admission(candidate=candidate, job=replace(waiting, replaces=again), replaces=ended)


def _pass_over(
    candidate: Candidate, definition: Definition, reason: Reason, now: Instant, place: Place
) -> Admission:
    slot = candidate.job.slot if candidate.job.slot is not None else candidate.job.run_at
    (miss,) = missed(
        timetable(definition.cron, definition.tz, definition.id),
        definition.id,
        slot,
        slot,
        besides=(),
        reason=reason,
        now=now,
        by=place.node,
    )
    told = of_misses(definition, [miss], now)
    return Admission(candidate=candidate, miss=miss, notices=told)


def _crowded_out(candidate: Candidate) -> bool:
    """Tell whether its schedule has as many attempts under way as it may."""
    most = candidate.job.max_running
    return most is not None and candidate.running >= most


def _kept_for_others(job: Job, now: Instant, place: Place) -> bool:
    return job.failed_on == place.node and place.others and now < job.run_at + ELSEWHERE
