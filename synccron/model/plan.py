"""Decide the slots of one schedule: which become jobs, which are misses, where the cursor goes.

Owner of laws 1 to 3 on the deciding side. Overlap, retries and endings are `admit.py`'s and
`settle.py`'s; what a change of the definition does to slots is `change.py`'s.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import islice

from synccron.model.cron import CronError, Timetable, timetable
from synccron.model.job import DeadLetter, Job, Miss, Notice, Reason, queued, short_id, slot_key
from synccron.model.lease import Term
from synccron.model.miss import missed
from synccron.model.needs import in_words
from synccron.model.notify import of_letters, of_misses
from synccron.model.schedule import Cursor, Definition, Schedule, Unreadable
from synccron.model.time import MINUTE, SECOND, Duration, Instant

MOST_AHEAD: Duration = MINUTE  # the furthest that slots may be written before their instant
PIECE = 500  # jobs of one dispatch; a longer catch-up is several (law 3)
DEAD_EACH = 100  # dead letters of one schedule that was given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One schedule as the store had it; everything that a decision on its slots may look at.

    `intentions` are in order of their slots; `taken` are the slots at or after the cursor that have
    a job already (never an intention's: the cursor has passed those), `missed` the entries of
    misses that reach there. Both are empty but where a take-back has moved the cursor back.
    """

    schedule: Schedule
    intentions: tuple[Job, ...] = ()
    taken: frozenset[Instant] = frozenset()
    missed: tuple[Miss, ...] = ()

    def recorded(self, table: Timetable) -> frozenset[Instant]:
        """Give the slots at or after the cursor that have their record already."""
        start = self.schedule.cursor.next
        slots = (_slots(table, max(each.first, start), each.last) for each in self.missed)
        return self.taken.union(*slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one dispatch writes, all of it or nothing; void if the cursor is not as seen.

    Each slot in [old cursor, new cursor) is in exactly one of `jobs`, `misses` and the slots that
    were taken; `dead` only points to them, and `notices` tell of both. `queued` are intentions as
    they become (compared with `mod` as read), `dropped` those that a miss replaces. `at` is the
    instant it was decided for.
    """

    schedule_id: str
    seen: int
    at: Instant
    cursor: Cursor
    jobs: tuple[Job, ...] = ()
    queued: tuple[Job, ...] = ()
    dropped: tuple[Job, ...] = ()
    misses: tuple[Miss, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    notices: tuple[Notice, ...] = ()


def plan(
    due: Due,
    now: Instant,
    term: Term,
    offered: AbstractSet[str],
    *,
    ahead: Duration = 0,
    piece: int = PIECE,
) -> Plan | None:
    """Decide each slot up to `now + ahead`; None: there is nothing to decide.

    `offered` is what live nodes can run. Slots up to now follow the misfire rule and need a node
    that offers them, also those that were written ahead; slots ahead of now are written as
    intentions, as what can only be known at their instant is judged there. At most about `piece`
    jobs are written: a longer catch-up goes on with the next dispatch. The cost grows with the
    jobs, never with the length of an outage.
    """
    decided = _decide(due, now, term, offered, ahead, piece)
    definition = due.schedule.definition
    if decided is None or not definition.notify:
        return decided
    told = (
        *of_misses(definition, decided.misses, now),
        *of_letters(definition, decided.dead, now),
    )
    return replace(decided, notices=told)


def _decide(
    due: Due,
    now: Instant,
    term: Term,
    offered: AbstractSet[str],
    ahead: Duration,
    piece: int,
) -> Plan | None:
    schedule, cursor = due.schedule, due.schedule.cursor
    if cursor.retry_at is not None and now < cursor.retry_at:
        return None
    if isinstance(schedule.definition, Unreadable):
        return _unreadable(due, now, term, schedule.definition.why)
    try:
        table = timetable(schedule.definition.cron, schedule.definition.tz, schedule.id)
    except CronError as error:
        return _unreadable(due, now, term, str(error))
    unoffered = schedule.definition.needs not in offered
    split = _split(due, table, now, term, unoffered=unoffered)
    if not split.overdue and cursor.next > now + ahead:
        return None
    if split.wanted and unoffered:
        return _not_offered(due, table, split, now, term)
    return _dispatched(due, table, split, now, term, ahead, piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """The slots up to now, by the misfire rule: what is to run, and what was passed over.

    `cut`: a due slot runs if it is not before this. `runs` are those from the cursor on, oldest
    first; `overdue` are the intentions that are the leader's to decide. `window` is how late a
    slot may be and still be judged by a node; `recorded` are slots that have their record already.
    """

    cut: Instant
    runs: tuple[Instant, ...]
    overdue: tuple[Job, ...]
    window: Duration
    recorded: frozenset[Instant]

    @property
    def kept(self) -> tuple[Job, ...]:
        return tuple(job for job in self.overdue if job.run_at >= self.cut)

    @property
    def dropped(self) -> tuple[Job, ...]:
        return tuple(job for job in self.overdue if job.run_at < self.cut)

    @property
    def wanted(self) -> bool:
        return bool(self.runs or self.kept)


def _split(due: Due, table: Timetable, now: Instant, term: Term, *, unoffered: bool) -> _Split:
    cursor, definition = due.schedule.cursor, due.schedule.definition
    window = min(term.ttl, definition.misfire_grace)
    # A node judges an intention within its window, but one that no live node offers has no node.
    before = now + 1 if unoffered else now - window
    overdue = tuple(job for job in due.intentions if job.run_at < before)
    floor = min([cursor.next, *(job.run_at for job in overdue)])
    cut = _cut(table, definition, floor, now)
    recorded = due.recorded(table)
    slots = _slots(table, max(cut, cursor.next), now)
    runs = tuple(slot for slot in slots if slot not in recorded)
    return _Split(cut=cut, runs=runs, overdue=overdue, window=window, recorded=recorded)


def _cut(table: Timetable, definition: Definition, floor: Instant, now: Instant) -> Instant:
    """Find the oldest due slot that the misfire rule runs; after now: none.

    `floor` ends the search. Slots are counted by arithmetic, whether or not they have a record.
    """
    newest = table.previous(now)
    if newest is None or newest < floor:
        return now + 1
    match definition.misfire:
        case "skip":
            return newest if now - newest <= definition.misfire_grace else now + 1
        case "catch_up_one":
            return newest
        case "catch_up_all":
            oldest = newest
            for _ in range(definition.max_catch_up_runs - 1):
                before = table.previous(oldest - 1)
                if before is None or before < floor:
                    break
                oldest = before
            return oldest


def _slots(table: Timetable, first: Instant, last: Instant) -> Iterator[Instant]:
    slot = table.next(first - 1)
    while slot <= last:
        yield slot
        slot = table.next(slot)


def _dispatched(
    due: Due,
    table: Timetable,
    split: _Split,
    now: Instant,
    term: Term,
    ahead: Duration,
    piece: int,
) -> Plan:
    schedule, cursor = due.schedule, due.schedule.cursor
    # Never one slot alone in the last piece: as the only one it would be judged as being on time.
    most = max(1, piece - len(split.overdue))
    runs = split.runs if len(split.runs) <= most + 1 else split.runs[:most]
    catch_up = len(split.runs) + len(split.kept) > 1 or any(
        slot < now - split.window for slot in split.runs
    )
    jobs = [_job(schedule, slot, now, term, waits=catch_up) for slot in runs]
    if len(runs) < len(split.runs):
        passed = runs[-1]
    else:
        room = max(0, most - len(runs))
        coming = list(islice(_slots(table, max(cursor.next, now + 1), now + ahead), room))
        jobs += [_job(schedule, slot, now, term) for slot in coming if slot not in split.recorded]
        passed = now + ahead if len(coming) < room else max([now, *coming[-1:]])
    return Plan(
        schedule_id=schedule.id,
        seen=cursor.mod,
        at=now,
        cursor=_moved(cursor, table, passed, [job.run_at for job in jobs]),
        jobs=tuple(jobs),
        queued=tuple(_queued(job, schedule, now, term) for job in split.kept),
        dropped=split.dropped,
        misses=_misfires(due, table, split, now, term),
    )


def _not_offered(due: Due, table: Timetable, split: _Split, now: Instant, term: Term) -> Plan:
    definition = due.schedule.definition
    if not definition.strict_handlers:
        return _passed_over(due, table, split, now, term, "no_handler")
    failures = due.schedule.cursor.failures + 1
    message = f"no live node offers {in_words(definition.needs)}"
    if failures < definition.max_dispatch_failures:
        return _failed(due, now, failures, message)
    return _given_up(due, table, split, now, term, failures, message)


def _passed_over(
    due: Due,
    table: Timetable,
    split: _Split,
    now: Instant,
    term: Term,
    reason: Reason,
    dead: tuple[DeadLetter, ...] = (),
) -> Plan:
    """Make misses of what would have run."""
    schedule = due.schedule
    wanted = [*(job.run_at for job in split.kept), *split.runs]
    return Plan(
        schedule_id=schedule.id,
        seen=schedule.cursor.mod,
        at=now,
        cursor=_moved(schedule.cursor, table, now, []),
        dropped=split.overdue,
        misses=(
            *_misfires(due, table, split, now, term),
            *_each(due, table, wanted, reason, now, term),
        ),
        dead=dead,
    )


def _given_up(
    due: Due,
    table: Timetable,
    split: _Split,
    now: Instant,
    term: Term,
    failures: int,
    message: str,
) -> Plan:
    wanted = sorted([*(job.run_at for job in split.kept), *split.runs])[-DEAD_EACH:]
    dead = tuple(_letter(due.schedule, slot, now, term, failures, message) for slot in wanted)
    given_up = _passed_over(due, table, split, now, term, "dispatch_failed", dead)
    return replace(given_up, cursor=replace(given_up.cursor, last_error=message))


def _failed(due: Due, now: Instant, failures: int, message: str) -> Plan:
    cursor = replace(
        due.schedule.cursor,
        failures=failures,
        retry_at=now + min(SECOND * 2 ** (failures - 1), 30 * SECOND),
        last_error=message,
    )
    return Plan(schedule_id=due.schedule.id, seen=due.schedule.cursor.mod, at=now, cursor=cursor)


def _unreadable(due: Due, now: Instant, term: Term, message: str) -> Plan:
    """Give up at once what cannot pass by waiting; look again each minute, as an upgrade may help.

    The cursor stays: without its cron nobody can tell which slots it would pass.
    """
    failures = due.schedule.cursor.failures + 1
    tried = _failed(due, now, failures, message)
    first = _letter(due.schedule, due.schedule.cursor.next, now, term, failures, message)
    return replace(
        tried,
        cursor=replace(tried.cursor, retry_at=now + MINUTE),
        dead=(first,) if failures == 1 else (),
    )


def _moved(cursor: Cursor, table: Timetable, passed: Instant, ran: Iterable[Instant]) -> Cursor:
    """Move a cursor past `passed`, never back; what was dispatched ends a row of failures."""
    next_slot = max(cursor.next, table.next(passed))
    before = table.previous(next_slot - 1)
    return replace(
        cursor,
        next=next_slot,
        decided_until=max(cursor.decided_until, before or 0),
        failures=0,
        retry_at=None,
        last_slot=max([*ran, cursor.last_slot or 0]) or None,
        last_error=None,
    )


def _misfires(
    due: Due, table: Timetable, split: _Split, now: Instant, term: Term
) -> tuple[Miss, ...]:
    """Record what the misfire rule passed over: due slots up to the cut, overdue intentions."""
    schedule = due.schedule
    passed = missed(
        table,
        schedule.id,
        schedule.cursor.next,
        min(split.cut - 1, now),
        besides=split.recorded,
        reason="misfire",
        now=now,
        by=term.node,
        epoch=term.epoch,
    )
    dropped = [job.run_at for job in split.dropped]
    return (*_each(due, table, dropped, "misfire", now, term), *passed)


def _each(
    due: Due, table: Timetable, slots: Iterable[Instant], reason: Reason, now: Instant, term: Term
) -> tuple[Miss, ...]:
    """Record slots one by one; the store joins those that follow each other."""
    schedule_id = due.schedule.id
    return tuple(
        miss
        for slot in sorted(slots)
        for miss in missed(
            table,
            schedule_id,
            slot,
            slot,
            besides=(),
            reason=reason,
            now=now,
            by=term.node,
            epoch=term.epoch,
        )
    )


def _job(
    schedule: Schedule, slot: Instant, now: Instant, term: Term, *, waits: bool = False
) -> Job:
    job = Job(
        id=slot_key(schedule.id, slot),
        kind="slot",
        schedule_id=schedule.id,
        state="scheduled",
        run_at=slot,
        created_at=now,
        needs=schedule.definition.needs,
        slot=slot,
        alone=schedule.definition.alone,
        max_running=schedule.definition.max_running,
        max_attempts=schedule.definition.retry.max_attempts,
        by=term.node,
        epoch=term.epoch,
    )
    return queued(job, schedule.definition, schedule.version, now) if waits else job


def _queued(job: Job, schedule: Schedule, now: Instant, term: Term) -> Job:
    waiting = queued(job, schedule.definition, schedule.version, now)
    return replace(waiting, by=term.node, epoch=term.epoch)


def _letter(
    schedule: Schedule, slot: Instant, now: Instant, term: Term, attempts: int, message: str
) -> DeadLetter:
    return DeadLetter(
        id=short_id(schedule.id, slot, now, term.epoch),
        kind="dispatch",
        schedule_id=schedule.id,
        slot=slot,
        key=None,
        job_id=None,
        message=message,
        attempts=attempts,
        ts=now,
        node=term.node,
        epoch=term.epoch,
        needs=schedule.definition.needs,
    )
