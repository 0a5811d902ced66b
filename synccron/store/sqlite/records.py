"""The writes that all verbs are made of: a job, a miss, a dead letter, and what hangs on them."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from synccron.model.job import DeadLetter, Job, Miss, Notice, slot_key
from synccron.model.time import Instant
from synccron.store.codec import encode
from synccron.store.sqlite.rows import (
    DEAD_LETTER_FIELDS,
    JOB_COLUMNS,
    JOB_FIELDS,
    JOB_STATE,
    MISS_FIELDS,
    dead_letter_of,
    insert,
    job_of,
    job_state_values,
    job_values,
)
from synccron.store.sqlite.writer import Transaction

_INSERT_JOB = insert("jobs", (*JOB_FIELDS, "fence"))
# What a job is made with stays, and the indexes over it need no look.
_UPDATE_JOB = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in JOB_STATE)} WHERE id = ?"
_INSERT_MISS = insert("misses", MISS_FIELDS)
_INSERT_LETTER = insert("dead_letters", DEAD_LETTER_FIELDS)
# Law 2: no entry covers a slot that has another record. Where the cron has changed since, there may
# be such slots between the two that the new cron does not have.
_JOIN_MISS = """
UPDATE misses SET last = :last, count = count + :count, recorded_at = :recorded_at, by = :by,
  epoch = :epoch
WHERE seq = (
  SELECT seq FROM misses WHERE schedule_id = :schedule_id AND last = :follows AND reason = :reason
  ORDER BY seq DESC LIMIT 1
) AND NOT EXISTS (
  SELECT 1 FROM misses
  WHERE schedule_id = :schedule_id AND last > :follows AND first < :first
) AND NOT EXISTS (
  SELECT 1 FROM jobs WHERE id > :after AND id < :before AND kind = 'slot'
)
"""
_FIRST_LONE = """
SELECT seq FROM jobs
WHERE schedule_id = ? AND phase = ? AND phase <> 'settled' AND alone = 1
ORDER BY run_at, id LIMIT 1
"""
_BEGUN_LONE = """
SELECT seq FROM jobs
WHERE schedule_id = ? AND state = 'queued' AND fence IS NOT NULL AND alone = 1
ORDER BY run_at, id LIMIT 1
"""


def insert_jobs(transaction: Transaction, jobs: Sequence[Job]) -> bool:
    """Write new jobs, all at once; False: there is one with the id of one of them (law 1)."""
    if not jobs:
        return True
    written = transaction.db.executemany(
        f"{_INSERT_JOB} ON CONFLICT (id) DO NOTHING",
        [job_values(job, transaction.mark()) for job in jobs],
    )
    for job in jobs:
        _note(transaction, job)
    return written.rowcount == len(jobs)


def update_job(transaction: Transaction, job: Job) -> Job:
    """Write what became of a job; its record with its new mark."""
    marked = replace(job, mod=transaction.mark())
    transaction.db.execute(_UPDATE_JOB, [*job_state_values(marked), job.id])
    _note(transaction, marked)
    if job.kind != "slot":
        transaction.db.execute(
            "UPDATE receipts SET state = ? WHERE job_id = ?", (job.state, job.id)
        )
    if job.settled and job.attempts:
        transaction.db.execute("DELETE FROM steps WHERE job_id = ?", (job.id,))
    return marked


def delete_unbegun(transaction: Transaction, job: Job) -> bool:
    """Remove a slot's job that never began, if it stands as read."""
    deleted = transaction.db.execute(
        "DELETE FROM jobs WHERE id = ? AND mod = ? AND kind = 'slot' AND fence IS NULL"
        " AND state IN ('scheduled', 'queued')",
        (job.id, job.mod),
    )
    _note(transaction, job)
    return deleted.rowcount == 1


def delete_intention(transaction: Transaction, job: Job) -> bool:
    """Remove an intention, if it is one and stands as read."""
    return (
        transaction.db.execute(
            "DELETE FROM jobs WHERE id = ? AND mod = ? AND phase = 'intended'", (job.id, job.mod)
        ).rowcount
        == 1
    )


def queue_intention(transaction: Transaction, job: Job) -> bool:
    """Write what became of an intention, if it is one and stands as read."""
    found = transaction.db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND mod = ? AND phase = 'intended'", (job.id, job.mod)
    ).fetchone()
    if found is None:
        return False
    update_job(transaction, job)
    return True


def insert_misses(transaction: Transaction, misses: Iterable[Miss]) -> frozenset[Instant]:
    """Record slots that were passed over; the slots that a new entry begins with."""
    return frozenset(miss.first for miss in misses if _insert_miss(transaction, miss))


def _insert_miss(transaction: Transaction, miss: Miss) -> bool:
    """Join slots that were passed over to the entry that they follow; True: it is a new entry."""
    if miss.follows is not None:
        joined = transaction.db.execute(
            _JOIN_MISS,
            {
                **{name: getattr(miss, name) for name in MISS_FIELDS},
                "follows": miss.follows,
                "after": slot_key(miss.schedule_id, miss.follows),
                "before": slot_key(miss.schedule_id, miss.first),
            },
        )
        if joined.rowcount:
            return False
    transaction.db.execute(_INSERT_MISS, [getattr(miss, name) for name in MISS_FIELDS])
    return True


def delete_miss(transaction: Transaction, miss: Miss) -> bool:
    """Remove an entry, if it stands as read."""
    removed = transaction.db.execute(
        "DELETE FROM misses WHERE schedule_id = ? AND first = ? AND last = ? AND count = ?"
        " AND reason = ?",
        (miss.schedule_id, miss.first, miss.last, miss.count, miss.reason),
    )
    return removed.rowcount == 1


def insert_letters(transaction: Transaction, letters: Iterable[DeadLetter]) -> None:
    """Add to the list of what was given up; a letter that is there stays."""
    for letter in letters:
        transaction.db.execute(
            f"{_INSERT_LETTER} ON CONFLICT (id) DO NOTHING",
            [getattr(letter, name) for name in DEAD_LETTER_FIELDS],
        )


def insert_notices(
    transaction: Transaction, notices: Iterable[Notice], opened: frozenset[Instant] = frozenset()
) -> None:
    """Add what people are to be told; of misses only where they have `opened` an entry."""
    for notice in notices:
        if notice.opens is None or notice.opens in opened:
            transaction.db.execute(
                "INSERT INTO notices (id, record, mod) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                (notice.id, encode(notice), transaction.mark()),
            )


def job_by_id(db: sqlite3.Connection, job_id: str) -> Job | None:
    """Read one job."""
    row = db.execute(f"SELECT {JOB_COLUMNS} FROM jobs AS j WHERE j.id = ?", (job_id,)).fetchone()
    return None if row is None else job_of(row)


def letter_by_id(db: sqlite3.Connection, letter_id: str) -> DeadLetter | None:
    """Read one dead letter."""
    row = db.execute(
        f"SELECT {', '.join(DEAD_LETTER_FIELDS)} FROM dead_letters WHERE id = ?", (letter_id,)
    ).fetchone()
    return None if row is None else dead_letter_of(row)


def line_up(transaction: Transaction) -> None:
    """Let the first of each queue of lone jobs be seen, and what has yet to replace others.

    So that the jobs of a schedule that wait for each other, however many, cost nobody who looks for
    work. Called at the end of each piece, for the schedules that it touched.
    """
    for schedule_id in transaction.crowded:
        head = _head(transaction.db, schedule_id)
        transaction.db.execute(
            "UPDATE jobs SET first = 0 WHERE schedule_id = ? AND phase IN ('queued', 'retrying')"
            " AND phase <> 'settled' AND alone = 1 AND first = 1 AND replaces = 0 AND seq IS NOT ?",
            (schedule_id, head),
        )
        if head is not None:
            transaction.db.execute("UPDATE jobs SET first = 1 WHERE seq = ? AND first = 0", (head,))


def _head(db: sqlite3.Connection, schedule_id: str) -> int | None:
    """Find the first of a queue: what has begun is finished before another begins."""
    if db.execute(_FIRST_LONE, (schedule_id, "running")).fetchone() is not None:
        return None
    for statement, values in (
        (_BEGUN_LONE, (schedule_id,)),
        (_FIRST_LONE, (schedule_id, "retrying")),
        (_FIRST_LONE, (schedule_id, "queued")),
    ):
        found = db.execute(statement, values).fetchone()
        if found is not None:
            head: int = found[0]
            return head
    return None


def _note(transaction: Transaction, job: Job) -> None:
    if job.alone and job.schedule_id is not None and not job.intention:
        transaction.crowded.add(job.schedule_id)
