"""Pages of records: what a read gives, in which order."""

import fnmatch
from collections import Counter as Multiset
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from synccron.model.chunk import Chunk
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Receipt, Step
from synccron.model.lease import Node, Term, Totals
from synccron.model.plan import Due
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.model.time import Instant
from synccron.store.base import Page, Where
from tests.simulation.memory.nodes import alive, current_term
from tests.simulation.memory.schedules import due_of, schedule_of
from tests.simulation.memory.state import Memory

# What a shelf gives: records with their places in order, and whether the last come first.
_Found = tuple[list[tuple[str, Any]], bool]


def read(
    memory: Memory, kind: Any, where: Where, now: Instant, after: str | None, limit: int
) -> Page[Any]:
    """Read a page of any record; `now` is the reader's."""
    if kind is Node:
        found, newest = _read_nodes(memory, where, now)
    else:
        found, newest = _SHELVES[kind](memory, where)
    ordered = sorted(found, key=lambda pair: pair[0], reverse=newest)
    if after is not None:
        ordered = [each for each in ordered if (each[0] < after if newest else each[0] > after)]
    more = ordered[limit - 1][0] if len(ordered) > limit else None
    return Page(tuple(record for _, record in ordered[:limit]), more)


def _number(place: int) -> str:
    return f"{place:020}"


def _wanted(where: Where, name: str) -> bool:
    return where.ids is None or name in where.ids


def _on_schedule(memory: Memory, where: Where, name: str | None) -> bool:
    """Tell whether a record's schedule meets the conditions."""
    if where.schedule is not None and name != where.schedule:
        return False
    if where.pattern is not None and not fnmatch.fnmatchcase(name or "", where.pattern):
        return False
    schedule = memory.state.schedules.get(name or "")
    labels = {} if schedule is None else schedule.definition.labels
    return all(labels.get(key) == value for key, value in (where.labels or {}).items())


def _schedules(memory: Memory, where: Where) -> list[str]:
    until = where.paused_until
    found = []
    for each in memory.state.schedules.values():
        schedule = schedule_of(memory, each.id)
        undecided = schedule.undecided_at
        if (
            _wanted(where, each.id)
            and _on_schedule(memory, where, each.id)
            and (where.since is None or each.created_at >= where.since)
            and (
                until is None
                or (each.paused and each.paused_until is not None and each.paused_until <= until)
            )
            and (where.overdue is None or (undecided is not None and undecided < where.overdue))
        ):
            found.append(each.id)
    return found


def _read_jobs(memory: Memory, where: Where) -> _Found:
    state = memory.state
    return [
        (_number(state.places[job.id]), job)
        for job in state.jobs.values()
        if _wanted(where, job.id)
        and _on_schedule(memory, where, job.schedule_id)
        and (where.states is None or job.state in where.states)
        and not (where.decided and job.intention)
        and (where.since is None or job.created_at >= where.since)
    ], True


def _read_misses(memory: Memory, where: Where) -> _Found:
    return [
        (_number(miss.last) + _number(seq), miss)
        for seq, miss in memory.state.misses.items()
        if _on_schedule(memory, where, miss.schedule_id)
        and (where.since is None or miss.recorded_at >= where.since)
    ], True


def _read_letters(memory: Memory, where: Where) -> _Found:
    return [
        (_number(place), letter)
        for place, letter in memory.state.letters.values()
        if _wanted(where, letter.id)
        and _on_schedule(memory, where, letter.schedule_id)
        and (where.since is None or letter.ts >= where.since)
    ], True


def _read_revisions(memory: Memory, where: Where) -> _Found:
    return [
        (_number(each.at) + _number(each.version), each)
        for kept in memory.state.revisions.values()
        for each in kept
        if _on_schedule(memory, where, each.schedule_id)
        and (where.since is None or each.at >= where.since)
    ], True


def _read_nodes(memory: Memory, where: Where, now: Instant) -> _Found:
    monotonic = memory.clock.monotonic()
    return [
        (
            seat.node.id,
            replace(
                seat.node,
                live=alive(memory, session),
                last_seen_at=now - max(0, monotonic - seat.beat),
                skew=seat.wall - (now - monotonic) if memory.cluster else None,
            ),
        )
        for session, seat in memory.state.seats.items()
        if _wanted(where, seat.node.id)
    ], False


def _read_totals(memory: Memory, where: Where) -> _Found:
    state = memory.state
    states = Multiset(job.state for job in memory.state.unsettled())
    late = [] if where.overdue is None else _schedules(memory, Where(overdue=where.overdue))
    oldest = [schedule_of(memory, name).undecided_at for name in late]
    totals = Totals(
        schedules=len(state.schedules),
        paused=sum(each.paused for each in state.schedules.values()),
        scheduled=states["scheduled"],
        queued=states["queued"],
        running=states["running"],
        dead_letters=len(state.letters),
        dead_letters_trimmed=state.trimmed,
        overdue=len(late),
        oldest_due_at=min((at for at in oldest if at is not None), default=None),
        counters={name: value for name, value in state.counters.items() if value},
        last_tick_at=state.last_tick_at,
        horizon=state.horizon,
    )
    return [("", totals)], False


def _by_name(records: Callable[[Memory], Mapping[str, Any]]) -> Callable[..., _Found]:
    def read(memory: Memory, where: Where) -> _Found:
        return [
            (name, record) for name, record in records(memory).items() if _wanted(where, name)
        ], False

    return read


_SHELVES: dict[Any, Callable[[Memory, Where], _Found]] = {
    Schedule: lambda memory, where: (
        [(name, schedule_of(memory, name)) for name in _schedules(memory, where)],
        False,
    ),
    Due: lambda memory, where: (
        [(name, due_of(memory, name)) for name in _schedules(memory, where)],
        False,
    ),
    Job: _read_jobs,
    Miss: _read_misses,
    DeadLetter: _read_letters,
    Chunk: lambda memory, where: (
        [
            (f"{job_id}\0{attempt:09}\0{at:018}", chunk)
            for (job_id, attempt, at), chunk in memory.state.chunks.items()
            if _wanted(where, job_id)
        ],
        False,
    ),
    Notice: lambda memory, _: (
        [(_number(place), each) for place, each in memory.state.notices.values()],
        False,
    ),
    Deed: lambda memory, where: (
        [
            (_number(place), each)
            for place, each in memory.state.deeds.items()
            if where.schedule in (None, each.schedule_id)
            and (where.since is None or each.at >= where.since)
        ],
        True,
    ),
    Revision: _read_revisions,
    Totals: _read_totals,
    Term: lambda memory, _: (
        [("", term)] if (term := current_term(memory)) is not None else [],
        False,
    ),
    Tombstone: _by_name(lambda memory: memory.state.tombstones),
    Output: _by_name(lambda memory: memory.state.outputs),
    Receipt: lambda memory, where: (
        [
            (name, replace(each, new=False))
            for name, each in memory.state.receipts.items()
            if _wanted(where, name) and (where.since is None or each.at >= where.since)
        ],
        False,
    ),
    Step: lambda memory, where: (
        [
            (f"{job_id}\0{key}", step)
            for (job_id, key), step in memory.state.steps.items()
            if _wanted(where, job_id)
        ],
        False,
    ),
}
