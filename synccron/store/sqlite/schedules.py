"""Writes to schedules: what commands change, and what the leader dispatches.

Each compares the marks of all that its decision was read from; it writes the whole or nothing.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from synccron.clock import Clock
from synccron.errors import StaleTerm
from synccron.model.change import Change
from synccron.model.deed import Deed
from synccron.model.lease import Term
from synccron.model.plan import Plan
from synccron.model.schedule import Schedule, Tombstone
from synccron.model.time import Instant
from synccron.store.sqlite.deeds import insert_deeds
from synccron.store.sqlite.records import (
    delete_intention,
    delete_miss,
    insert_jobs,
    insert_letters,
    insert_misses,
    insert_notices,
    queue_intention,
    update_job,
)
from synccron.store.sqlite.rows import (
    CURSOR_SET,
    JOB_COLUMNS,
    REVISION_FIELDS,
    SCHEDULE_INSERT,
    SCHEDULE_SET,
    cursor_values,
    insert,
    job_of,
    revision_values,
    state_values,
)
from synccron.store.sqlite.sessions import Sessions
from synccron.store.sqlite.writer import Transaction

INSERT_REVISION = insert("revisions", REVISION_FIELDS)


def insert_schedule(transaction: Transaction, schedule: Schedule) -> None:
    """Write a schedule that is not there, with its cursor."""
    state = state_values(schedule, transaction.mark())
    cursor = cursor_values(schedule.cursor, transaction.mark())
    transaction.db.execute(SCHEDULE_INSERT, (schedule.id, *state, *cursor))


def insert_tombstone(transaction: Transaction, tombstone: Tombstone) -> None:
    """Write what stays of a schedule that was removed."""
    transaction.db.execute(
        "INSERT INTO tombstones (id, version, decided_until, mod) VALUES (?, ?, ?, ?)",
        (tombstone.id, tombstone.version, tombstone.decided_until, transaction.mark()),
    )


class _Moved(Exception):
    """Something does not stand as it was read."""


def apply(
    transaction: Transaction, changes: Sequence[Change], now: Instant, deeds: Sequence[Deed] = ()
) -> bool:
    """Write all changes, or none; `now` is when the jobs end that a removal cancels."""
    transaction.db.execute("SAVEPOINT changes")
    try:
        for change in changes:
            _apply(transaction, change, now)
        insert_deeds(transaction, deeds)
    except _Moved:
        transaction.db.execute("ROLLBACK TO changes")
        return False
    finally:
        if transaction.db.in_transaction:
            transaction.db.execute("RELEASE changes")
    return True


def dispatch(
    transaction: Transaction, sessions: Sessions, clock: Clock, term: Term, plans: Sequence[Plan]
) -> list[bool]:
    """Write each plan that stands. Raises StaleTerm."""
    check_term(transaction.db, sessions, term)
    # Law 6: against a host that slept, or a wall clock that jumped, between the plan and now.
    fresh = [abs(clock.now() - plan.at) <= term.ttl for plan in plans]
    wanted = [plan for plan, in_time in zip(plans, fresh, strict=True) if in_time]
    # Most often all of them stand: then they are some statements with many rows each.
    if _dispatched(transaction, wanted):
        return fresh
    return [
        in_time and _dispatched(transaction, [plan])
        for plan, in_time in zip(plans, fresh, strict=True)
    ]


def check_term(db: sqlite3.Connection, sessions: Sessions, term: Term) -> None:
    """Compare the term with the one that the store has. Raises StaleTerm."""
    # Law 4: against a leader that was deposed (the row) or slept past its lease (its heartbeat).
    found = db.execute(
        "SELECT 1 FROM leader WHERE session = ? AND epoch = ?", (term.session, term.epoch)
    ).fetchone()
    if found is None or sessions.leads(term.session) is None:
        raise StaleTerm(f"the term {term.epoch} of node {term.node} is over")


def _apply(transaction: Transaction, change: Change, now: Instant) -> None:
    _compare(transaction.db, change)
    for job in (*change.withdrawn, *change.dropped):
        _demand(delete_intention(transaction, job))
    for job in change.queued:
        _demand(queue_intention(transaction, job))
    for miss in change.erased:
        _demand(delete_miss(transaction, miss))
    insert_misses(transaction, change.misses)
    if change.revision is not None:
        transaction.db.execute(INSERT_REVISION, revision_values(change.revision))
    if change.tombstone is not None:
        _remove(transaction, change, change.tombstone, now)
    if change.schedule is not None:
        _write(transaction, change, change.schedule)


def _compare(db: sqlite3.Connection, change: Change) -> None:
    """Check that the schedule (or its tombstone) and its cursor have the marks that were read."""
    # Law 2: against another command, and a dispatch that moved the cursor meanwhile.
    row = db.execute(
        "SELECT mod, cursor_mod FROM schedules WHERE id = ?"
        " UNION ALL SELECT mod, NULL FROM tombstones WHERE id = ?",
        (change.id, change.id),
    ).fetchone()
    mod, cursor_mod = (None, None) if row is None else row
    _demand(mod == change.seen)
    _demand(change.cursor_seen is None or cursor_mod == change.cursor_seen)


def _write(transaction: Transaction, change: Change, schedule: Schedule) -> None:
    db, state = transaction.db, state_values(schedule, transaction.mark())
    cursor = cursor_values(schedule.cursor, transaction.mark())
    updated = db.execute(f"UPDATE schedules SET {SCHEDULE_SET} WHERE id = ?", (*state, change.id))
    if not updated.rowcount:
        db.execute("DELETE FROM tombstones WHERE id = ?", (change.id,))
        insert_schedule(transaction, schedule)
        return
    if change.cursor_seen is not None:
        db.execute(f"UPDATE schedules SET {CURSOR_SET} WHERE id = ?", (*cursor, change.id))
    else:
        # Law 2: a dispatch that was decided before a pause or a change is decided anew.
        db.execute("UPDATE schedules SET cursor_mod = ? WHERE id = ?", (cursor[-1], change.id))
    # Intentions have no revision yet: they follow what the schedule needs now.
    db.execute(
        "UPDATE jobs SET needs = ?, alone = ?, max_running = ?, max_attempts = ?, mod = ?"
        " WHERE schedule_id = ? AND phase = 'intended' AND phase <> 'settled'"
        " AND (needs, alone, max_running, max_attempts) IS NOT (?, ?, ?, ?)",
        (
            schedule.definition.needs,
            int(schedule.definition.alone),
            schedule.definition.max_running,
            schedule.definition.retry.max_attempts,
            transaction.mark(),
            change.id,
            schedule.definition.needs,
            int(schedule.definition.alone),
            schedule.definition.max_running,
            schedule.definition.retry.max_attempts,
        ),
    )


def _remove(transaction: Transaction, change: Change, tombstone: Tombstone, now: Instant) -> None:
    db = transaction.db
    removed = db.execute("DELETE FROM schedules WHERE id = ?", (change.id,))
    _demand(removed.rowcount == 1)
    insert_tombstone(transaction, tombstone)
    if change.error is None:
        return
    unstarted = db.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs AS j"
        " WHERE schedule_id = ? AND phase IN ('queued', 'retrying', 'intended')"
        " AND phase <> 'settled'",
        (change.id,),
    ).fetchall()
    for job in map(job_of, unstarted):
        ended = replace(job, state="cancelled", finished_at=now, error=change.error)
        update_job(transaction, ended)


def _dispatched(transaction: Transaction, plans: Sequence[Plan]) -> bool:
    """Write plans whole: jobs, misses, dead letters and cursor; or nothing of any (law 3)."""
    transaction.db.execute("SAVEPOINT plans")
    try:
        _write_plans(transaction, plans)
    except _Moved:
        transaction.db.execute("ROLLBACK TO plans")
        return False
    finally:
        if transaction.db.in_transaction:
            transaction.db.execute("RELEASE plans")
    return True


def _write_plans(transaction: Transaction, plans: Sequence[Plan]) -> None:
    if not plans:
        return
    # Law 1: against a plan of a cursor that has moved, and by the key of each job.
    moved = transaction.db.executemany(
        f"UPDATE schedules SET {CURSOR_SET} WHERE id = ? AND cursor_mod = ?",
        [
            (*cursor_values(plan.cursor, transaction.mark()), plan.schedule_id, plan.seen)
            for plan in plans
        ],
    )
    _demand(moved.rowcount == len(plans))
    for plan in plans:
        for job in plan.dropped:
            _demand(delete_intention(transaction, job))
        for job in plan.queued:
            _demand(queue_intention(transaction, job))
    _demand(insert_jobs(transaction, [job for plan in plans for job in plan.jobs]))
    for plan in plans:
        opened = insert_misses(transaction, plan.misses)
        insert_letters(transaction, plan.dead)
        insert_notices(transaction, plan.notices, opened)


def _demand(stands: bool) -> None:
    if not stands:
        raise _Moved
