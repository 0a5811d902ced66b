"""Writes to schedules: what commands change, and what the leader dispatches.

Each compares the marks of all that its decision was read from; it writes the whole or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from synccron.errors import StaleTerm
from synccron.model.change import Change
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.lease import Term
from synccron.model.plan import Plan
from synccron.model.schedule import Schedule, Tombstone
from synccron.model.time import Instant
from synccron.store.codec import encode
from synccron.store.etcd import deeds, misses, notices
from synccron.store.etcd.cluster import Cluster, revision_key
from synccron.store.etcd.draft import Draft, Refused, ranges
from synccron.store.etcd.layout import (
    Pair,
    cursor_text,
    end_of,
    job_text,
    standing_text,
)
from synccron.store.etcd.queues import Entry

_TRIES = 5  # writes that met another one in the moment between reading and writing


def apply(
    cluster: Cluster, changes: Sequence[Change], now: Instant, trail: Sequence[Deed] = ()
) -> bool:
    """Write all changes, or none; `now` is when the jobs end that a removal cancels."""
    for tried in range(_TRIES):
        standing = _read_again(cluster, changes)
        if not all(_stands(each, seen) for each, seen in zip(changes, standing, strict=True)):
            written = (_written(each, seen) for each, seen in zip(changes, standing, strict=True))
            return tried > 0 and all(written)
        draft = cluster.draft()
        for change, seen in zip(changes, standing, strict=True):
            _change(cluster, draft, change, seen)
        deeds.put(cluster, draft, trail)
        if cluster.commit(draft).written:
            _cancel_waiting(cluster, changes, now)
            return True
    return False


def dispatch(cluster: Cluster, term: Term, plans: Sequence[Plan]) -> list[bool]:
    """Write each plan that stands. Raises StaleTerm."""
    late = [abs(cluster.clock.now() - plan.at) > term.ttl for plan in plans]
    joined = misses.to_join(cluster, [miss for plan in plans for miss in plan.misses])
    makes = [
        lambda _, plan=plan: _plan(cluster, plan, joined.get(plan.schedule_id))
        for plan, old in zip(plans, late, strict=True)
        # Law 6: against a host that slept, or a wall clock that jumped, between the plan and now.
        if not old
    ]
    try:
        answers = iter(cluster.commit_each(led(cluster, term), makes))
    except Refused:
        raise StaleTerm(f"the term {term.epoch} of node {term.node} is over") from None
    return [False if old else next(answers).written for old in late]


def led(cluster: Cluster, term: Term) -> Draft:
    """Demand that a term is the current one."""
    draft = cluster.draft()
    # Law 4: against a leader that was deposed, or slept past its lease: its key is gone, or
    # another's. And against one of before a restore, whose revisions come again.
    draft.made(cluster.layout.watched("leader"), term.epoch - cluster.known.epoch_base)
    draft.holds(cluster.meta.key, cluster.meta.value)
    return draft


def put_letter(cluster: Cluster, draft: Draft, letter: DeadLetter) -> None:
    """Add to the list of what was given up."""
    draft.put(cluster.layout.kept("dead", letter.id), encode(letter).encode())


def put_waiting(cluster: Cluster, draft: Draft, job: Job) -> None:
    """Write the record of a job that waits, and what nodes find it by."""
    text = job_text(job)
    draft.put(cluster.layout.job(job), text)
    draft.put(cluster.layout.due(job), text)
    touch(cluster, draft, job)


def counted(job: Job) -> bool:
    """Tell whether a claim depends on who else runs or waits in its line."""
    return job.alone or job.max_running is not None


def touch(cluster: Cluster, draft: Draft, job: Job) -> None:
    """Note a change of who runs or waits in a line whose jobs are counted."""
    if counted(job) and not job.intention:
        draft.put(cluster.layout.busy(job), b"")


def _plan(cluster: Cluster, plan: Plan, before: Pair | None) -> Draft:
    """Draft one plan: jobs, misses, dead letters and cursor, or nothing of it (law 3)."""
    layout, draft = cluster.layout, cluster.draft()
    cursor = layout.watched("cursor", plan.schedule_id)
    # Law 1: against a plan of a cursor that has moved, and by the key of each job.
    draft.stands(cursor, plan.seen)
    draft.put(cursor, cursor_text(plan.cursor))
    _new_jobs(cluster, draft, plan.jobs)
    _intentions(cluster, draft, dropped=plan.dropped, queued=plan.queued)
    opened = misses.write(cluster, draft, _in_order(plan.misses), before)
    for letter in plan.dead:
        put_letter(cluster, draft, letter)
    notices.put(cluster, draft, plan.notices, opened)
    return draft


def _in_order(passed: Sequence[Miss]) -> list[Miss]:
    return sorted(passed, key=lambda miss: miss.first)


def _new_jobs(cluster: Cluster, draft: Draft, jobs: Sequence[Job]) -> None:
    """Write jobs that must not be there yet."""
    keys = [cluster.layout.job(job) for job in jobs]
    if len(set(keys)) < len(keys):
        draft.never()  # two jobs of one slot
    for job, key in zip(jobs, keys, strict=True):
        draft.absent(key)
        put_waiting(cluster, draft, job)


def _intentions(
    cluster: Cluster,
    draft: Draft,
    *,
    dropped: Sequence[Job] = (),
    queued: Sequence[Job] = (),
) -> None:
    """Remove intentions, or queue them, as they were read."""
    layout = cluster.layout
    for job in (*dropped, *queued):
        # Law 1: against a node that claims it in the same moment.
        draft.stands(layout.due(job), job.mod)
    for job in dropped:
        draft.delete(layout.due(job))
        draft.delete(layout.job(job))
    for job in queued:
        put_waiting(cluster, draft, job)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What stands of a schedule just before the write, all at one revision."""

    schedule: Pair | None
    cursor: Pair | None
    stone: Pair | None
    waiting: tuple[Entry, ...]


def _read_again(cluster: Cluster, changes: Sequence[Change]) -> list[_Seen]:
    layout = cluster.layout
    keys = [
        key
        for change in changes
        for key in (
            layout.watched("sched", change.id),
            layout.watched("cursor", change.id),
            layout.kept("gone", change.id),
        )
    ]
    pairs, revision = ranges(cluster.etcd, keys)
    known = [each.id for each, pair in zip(changes, pairs[::3], strict=True) if pair is not None]
    starts = [layout.watched("due", each, "") for each in known]
    view = cluster.read_view([(start, end_of(start)) for start in starts], revision)
    return [
        _Seen(
            schedule=pairs[3 * n],
            cursor=pairs[3 * n + 1],
            stone=pairs[3 * n + 2],
            waiting=tuple(view.waits_in(change.id)),
        )
        for n, change in enumerate(changes)
    ]


def _stands(change: Change, seen: _Seen) -> bool:
    """Tell whether what a change was decided from is still so."""
    standing = seen.schedule or seen.stone
    mods = {each.id: each.pair.mod for each in seen.waiting}
    return (
        (None if standing is None else standing.mod) == change.seen
        and (change.cursor_seen is None or _mod(seen.cursor) == change.cursor_seen)
        and all(
            mods.get(job.id) == job.mod
            for job in (*change.withdrawn, *change.dropped, *change.queued)
        )
    )


def _written(change: Change, seen: _Seen) -> bool:
    """Tell whether a write had been done by its first sending, whose answer was lost."""
    return (
        change.schedule is not None
        and seen.schedule is not None
        and seen.schedule.value == standing_text(change.schedule)
        and change.revision is not None
    )


def _mod(pair: Pair | None) -> int:
    return 0 if pair is None else pair.mod


def _change(cluster: Cluster, draft: Draft, change: Change, seen: _Seen) -> None:
    layout = cluster.layout
    # Law 2: against another command, and a dispatch that moved the cursor meanwhile.
    draft.stands(layout.watched("sched", change.id), _mod(seen.schedule))
    draft.stands(layout.watched("cursor", change.id), _mod(seen.cursor))
    if seen.schedule is None:
        draft.stands(layout.kept("gone", change.id), _mod(seen.stone))
    _intentions(cluster, draft, dropped=(*change.withdrawn, *change.dropped), queued=change.queued)
    if change.erased:
        misses.erase(cluster, draft, change.erased)
    if change.misses:
        before = misses.to_join(cluster, change.misses)[change.id]
        misses.write(cluster, draft, _in_order(change.misses), before)
    if change.revision is not None:
        key = revision_key(layout, change.id, change.revision.version)
        draft.put(key, encode(change.revision).encode())
    touched = {job.id for job in (*change.withdrawn, *change.dropped, *change.queued)}
    waiting = [each for each in seen.waiting if each.id not in touched]
    if change.tombstone is not None:
        _remove(cluster, draft, change, change.tombstone)
    if change.schedule is not None:
        _put_schedule(cluster, draft, change, change.schedule, seen)
        _follow(cluster, draft, change.schedule, waiting)


def _put_schedule(
    cluster: Cluster, draft: Draft, change: Change, schedule: Schedule, seen: _Seen
) -> None:
    layout = cluster.layout
    draft.put(layout.watched("sched", change.id), standing_text(schedule))
    # Law 2: a dispatch that was decided before a pause or a change is decided anew: the cursor is
    # written again, although it stays.
    keeps = change.cursor_seen is None and seen.cursor is not None
    cursor = seen.cursor.value if keeps and seen.cursor else cursor_text(schedule.cursor)
    draft.put(layout.watched("cursor", change.id), cursor)
    if seen.stone is not None:
        draft.delete(layout.kept("gone", change.id))


def _remove(cluster: Cluster, draft: Draft, change: Change, stone: Tombstone) -> None:
    layout = cluster.layout
    for name in ("sched", "cursor", "history", "busy"):
        draft.delete(layout.watched(name, change.id))
    draft.delete(layout.kept("failing", change.id))
    draft.put(layout.kept("gone", change.id), encode(replace(stone, mod=0)).encode())


def _follow(cluster: Cluster, draft: Draft, schedule: Schedule, waiting: Sequence[Entry]) -> None:
    """Let intentions need what their schedule needs now: they have no revision yet."""
    for each in waiting:
        if not each.intention:
            continue
        job = replace(
            each.job,
            needs=schedule.definition.needs,
            alone=schedule.definition.alone,
            max_running=schedule.definition.max_running,
            max_attempts=schedule.definition.retry.max_attempts,
        )
        if job != each.job:
            draft.stands(each.pair.key, each.pair.mod)
            put_waiting(cluster, draft, job)


def _cancel(cluster: Cluster, draft: Draft, entry: Entry, error: str, now: Instant) -> None:
    ended = replace(entry.job, state="cancelled", finished_at=now, error=error)
    draft.stands(entry.pair.key, entry.pair.mod)
    draft.delete(entry.pair.key)
    draft.put(cluster.layout.job(ended), job_text(ended))


def _cancel_waiting(cluster: Cluster, changes: Sequence[Change], now: Instant) -> None:
    """End what waits of removed schedules, after their removal: it may be any number.

    A node that meets such a job before ends it just so, as its schedule is gone.
    """
    makes = []
    for change in changes:
        if change.tombstone is None or change.error is None:
            continue
        start = cluster.layout.watched("due", change.id, "")
        for each in cluster.read_view([(start, end_of(start))]).waits_in(change.id):

            def ending(_: int, entry: Entry = each, error: str = change.error) -> Draft:
                draft = cluster.draft()
                _cancel(cluster, draft, entry, error, now)
                return draft

            makes.append(ending)
    cluster.commit_each(cluster.draft(), makes)


def moved_history(cluster: Cluster, draft: Draft, schedule_id: str, at: Instant) -> None:
    """Let a schedule's history begin at an instant."""
    draft.put(cluster.layout.watched("history", schedule_id), str(at).encode())
