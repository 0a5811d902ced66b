"""Decide what a command does to a schedule: register, pause, resume, unregister, reset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from synccron.model.cron import CronError, Timetable, timetable
from synccron.model.job import Job, Miss, Reason, queued
from synccron.model.miss import missed
from synccron.model.plan import MOST_AHEAD, Due
from synccron.model.schedule import Cursor, Definition, Revision, Schedule, Tombstone
from synccron.model.time import SECOND, Duration, Instant

# How late an intention may be and still be started by a node: the default lease. A leader's own may
# differ; then an intention is decided sooner or later than a node would, but never twice, as every
# write compares it.
WINDOW: Duration = 5 * SECOND
# Dispatch writes slots no further ahead than that; beyond it, and twice the skew that nodes may
# have, only a wrong clock has put a cursor.
STRANDED: Duration = MOST_AHEAD + 2 * 30 * SECOND
ERASED = 50  # misses that one change removes


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one schedule, if it stands as read; several are applied all or none.

    `seen` is the mark of the schedule or tombstone as read (None: there was neither). `cursor_seen`
    is the mark of its cursor as read, where the change moves or ends it; None: the stored cursor
    stays (or there was none, and `schedule.cursor` is the first). `withdrawn` are intentions to
    delete, `queued` those that become queued (the new records), `dropped` those that a miss
    replaces, `erased` are misses to remove: all compared as read. `tombstone` instead of `schedule`
    removes it and, with `error`, cancels its jobs that have not started. Intentions that stay have
    no revision yet: they follow what the schedule now needs.
    """

    id: str
    seen: int | None
    cursor_seen: int | None = None
    schedule: Schedule | None = None
    tombstone: Tombstone | None = None
    revision: Revision | None = None
    withdrawn: tuple[Job, ...] = ()
    queued: tuple[Job, ...] = ()
    dropped: tuple[Job, ...] = ()
    erased: tuple[Miss, ...] = ()
    misses: tuple[Miss, ...] = ()
    error: str | None = None


def register(
    old: Due | Tombstone | None, definition: Definition, now: Instant, by: str, tzdata: str
) -> Change | None:
    """Decide what registering a definition changes; None: it stands so already.

    The cursor is recalculated only if the cron or the zone changes; `enabled` pauses or resumes
    only where it changes. Raises CronError where the definition's cron or zone cannot be read.
    """
    if isinstance(old, Due):
        return _updated(old, definition, now, by, tzdata)
    start = now if old is None else max(now, old.decided_until)
    first = _table(definition).next(start)
    schedule = Schedule(
        definition=definition,
        version=1 if old is None else old.version + 1,
        created_at=now,
        updated_at=now,
        cursor=Cursor(next=first, decided_until=start, history_from=now),
        paused=not definition.enabled,
        paused_by=None if definition.enabled else by,
        paused_at=None if definition.enabled else now,
    )
    return Change(
        id=definition.id,
        seen=None if old is None else old.mod,
        schedule=schedule,
        revision=_revision(schedule, now, by, tzdata),
    )


def foreign(old: Due | Tombstone | None, definition: Definition) -> str | None:
    """Name the owner whose schedule a definition would change without being theirs; None: nobody's.

    What nobody owns may be taken by anybody who says so.
    """
    owner = old.schedule.definition.owner if isinstance(old, Due) else None
    return None if owner == definition.owner else owner


def pause(
    old: Due, now: Instant, until: Instant | None, reason: str | None, by: str | None = None
) -> Change | None:
    """Decide a pause, which is a take-back; None: it is paused just so already."""
    schedule = old.schedule
    if schedule.paused and (schedule.paused_until, schedule.pause_reason) == (until, reason):
        return None
    paused = replace(_paused(schedule, now, by), paused_until=until, pause_reason=reason)
    return _change(old, paused, _take_back(old, now, "paused", by), took_back=True)


def resume(old: Due, now: Instant, by: str | None = None) -> Change | None:
    """Decide to go on with the first slot after now; None: it is not paused.

    A cursor that is already after now is kept; the slots that are leapt are misses (`paused`).
    """
    if not old.schedule.paused:
        return None
    resumed = _running(old.schedule, now)
    step = _Step(cursor=old.schedule.cursor)
    if old.schedule.cursor.next <= now:
        step = _leap(step, old, _table(old.schedule.definition), now, "paused", by)
    return _change(old, resumed, step)


def unregister(old: Due, now: Instant, by: str | None = None) -> Change:
    """Decide a removal: a take-back, misses for what is due, and a tombstone (law 1)."""
    schedule = old.schedule
    step = _take_back(old, now, "unregistered", by)
    due = _passed(old, step.cursor.next, now, "unregistered", now, by)
    return Change(
        id=schedule.id,
        seen=schedule.mod,
        cursor_seen=schedule.cursor.mod,
        tombstone=Tombstone(
            id=schedule.id,
            version=schedule.version,
            decided_until=max(now, step.cursor.decided_until),
        ),
        withdrawn=step.withdrawn,
        queued=step.queued,
        dropped=step.dropped,
        misses=(*step.misses, *due),
        error="unregistered",
    )


def stranded(schedule: Schedule, now: Instant) -> bool:
    """Tell whether a wrong clock has left a cursor further ahead than dispatch would put it.

    One whose cron cannot be read is not judged: nobody can tell where its cursor belongs.
    """
    try:
        return schedule.cursor.next > _table(schedule.definition).next(now + STRANDED)
    except CronError:
        return False


def reset(
    old: Due,
    kept: Sequence[Revision],
    misses: Sequence[Miss],
    now: Instant,
    by: str,
    tzdata: str,
) -> Change | None:
    """Decide to bring a stranded cursor back to the first slot after now; None: it is not stranded.

    A take-back, which also removes what `misses` record of instants still to come (those that end
    after now); `kept` are the schedule's revisions, the newest first, which tell how many slots
    stay of one that began before. Slots that have a job already are stepped over. It is a revision:
    the slots from the new cursor on follow what stands now. Of very many misses a piece goes first,
    and the cursor stays stranded until it is decided again.
    """
    if not stranded(old.schedule, now):
        return None
    erased = tuple(miss for miss in misses if miss.last > now)
    begun = tuple(part for miss in erased if (part := _cut(miss, now, kept)) is not None)
    if len(erased) > ERASED:
        piece = tuple(miss for miss in erased if miss.first > now)[:ERASED]
        return replace(_change(old, old.schedule, _Step(cursor=old.schedule.cursor)), erased=piece)
    step = _take_back(old, now, "changed", by)
    cursor = replace(
        step.cursor,
        next=_table(old.schedule.definition).next(now),
        decided_until=now,
        failures=0,
        retry_at=None,
        last_error=None,
    )
    schedule = replace(old.schedule, version=old.schedule.version + 1, updated_at=now)
    change = _change(old, schedule, replace(step, cursor=cursor), took_back=True)
    return replace(
        change,
        revision=_revision(replace(schedule, cursor=cursor), now, by, tzdata),
        erased=erased,
        misses=(*begun, *change.misses),
    )


def _cut(miss: Miss, now: Instant, kept: Iterable[Revision]) -> Miss | None:
    """Give what stays of a miss that reaches beyond now; None: nothing."""
    if miss.first > now:
        return None
    for revision in kept:
        table = _table(revision.definition)
        last = table.previous(now)
        if table.count(miss.first - 1, miss.last) == miss.count and last is not None:
            return replace(miss, last=last, count=table.count(miss.first - 1, last), follows=None)
    return replace(miss, last=miss.first, count=1, follows=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Where the cursor goes, and what becomes of the slots on its way."""

    cursor: Cursor
    withdrawn: tuple[Job, ...] = ()
    queued: tuple[Job, ...] = ()
    dropped: tuple[Job, ...] = ()
    misses: tuple[Miss, ...] = ()


def _updated(old: Due, definition: Definition, now: Instant, by: str, tzdata: str) -> Change | None:
    before = old.schedule.definition
    if definition == before:
        return None
    schedule = replace(
        old.schedule, definition=definition, version=old.schedule.version + 1, updated_at=now
    )
    pausing = before.enabled and not definition.enabled and not schedule.paused
    resuming = definition.enabled and not before.enabled and schedule.paused
    reason: Reason = "paused" if old.schedule.paused else "changed"
    step = _Step(cursor=old.schedule.cursor)
    if definition.rhythm != before.rhythm:
        step = _leap(_take_back(old, now, reason, by), old, _table(definition), now, reason, by)
    elif pausing:
        step = _take_back(old, now, "paused", by)
    elif resuming and old.schedule.cursor.next <= now:
        step = _leap(step, old, _table(definition), now, "paused", by)
    if pausing:
        schedule = _paused(schedule, now, by)
    elif resuming:
        schedule = _running(schedule, now)
    took_back = pausing or definition.rhythm != before.rhythm
    change = _change(old, schedule, step, took_back=took_back)
    moved = replace(schedule, cursor=step.cursor)
    return replace(change, revision=_revision(moved, now, by, tzdata))


def _change(old: Due, schedule: Schedule, step: _Step, *, took_back: bool = False) -> Change:
    # Law 2: a take-back holds only of the cursor that it was read with, also where it stays: a
    # dispatch in between has moved it, and written what this one knows nothing of.
    moves = took_back or step.cursor != old.schedule.cursor
    return Change(
        id=schedule.id,
        seen=old.schedule.mod,
        cursor_seen=old.schedule.cursor.mod if moves else None,
        schedule=replace(schedule, cursor=step.cursor),
        withdrawn=step.withdrawn,
        queued=step.queued,
        dropped=step.dropped,
        misses=step.misses,
    )


def _take_back(old: Due, now: Instant, reason: Reason, by: str | None) -> _Step:
    """Leave no intention: those after now go, and the cursor with them; the others are decided."""
    schedule, cursor = old.schedule, old.schedule.cursor
    window = min(WINDOW, schedule.definition.misfire_grace)
    withdrawn = tuple(job for job in old.intentions if job.run_at > now)
    present = [job for job in old.intentions if job.run_at <= now]
    dropped = tuple(job for job in present if now - job.run_at > window)
    waiting = tuple(
        queued(job, schedule.definition, schedule.version, job.run_at)
        for job in present
        if now - job.run_at <= window
    )
    misses = tuple(
        miss for job in dropped for miss in _passed(old, job.run_at, job.run_at, reason, now, by)
    )
    if withdrawn:
        first = min(job.run_at for job in withdrawn)
        cursor = replace(
            cursor,
            next=min(cursor.next, first),
            decided_until=min(cursor.decided_until, first - SECOND),
        )
    return _Step(cursor=cursor, withdrawn=withdrawn, queued=waiting, dropped=dropped, misses=misses)


def _leap(
    step: _Step, old: Due, table: Timetable, now: Instant, reason: Reason, by: str | None
) -> _Step:
    """Set the cursor to the first slot after now and what is decided; record what it leaps."""
    start = max(now, step.cursor.decided_until)
    leapt = _passed(old, step.cursor.next, start, reason, now, by)
    cursor = replace(
        step.cursor,
        next=table.next(start),
        decided_until=start,
        failures=0,
        retry_at=None,
        last_error=None,
    )
    return replace(step, cursor=cursor, misses=(*step.misses, *leapt))


def _passed(
    old: Due, first: Instant, last: Instant, reason: Reason, now: Instant, by: str | None
) -> tuple[Miss, ...]:
    """Record the slots of the old cron from `first` to `last` that have no record.

    Where its cron cannot be read any more (a zone that was dropped) nobody can tell them: none.
    """
    try:
        table = _table(old.schedule.definition)
    except CronError:
        return ()
    schedule_id, besides = old.schedule.id, old.recorded(table)
    return missed(table, schedule_id, first, last, besides=besides, reason=reason, now=now, by=by)


def _paused(schedule: Schedule, now: Instant, by: str | None) -> Schedule:
    return replace(schedule, paused=True, paused_by=by, paused_at=now, updated_at=now)


def _running(schedule: Schedule, now: Instant) -> Schedule:
    return replace(
        schedule,
        paused=False,
        paused_until=None,
        pause_reason=None,
        paused_by=None,
        paused_at=None,
        updated_at=now,
    )


def _revision(schedule: Schedule, now: Instant, by: str, tzdata: str) -> Revision:
    return Revision(
        schedule_id=schedule.id,
        version=schedule.version,
        definition=schedule.definition,
        at=now,
        by=by,
        cursor=schedule.cursor.next,
        tzdata=tzdata,
    )


def _table(definition: Definition) -> Timetable:
    return timetable(definition.cron, definition.tz, definition.id)
