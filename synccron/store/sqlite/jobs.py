"""The life of a job: ordered, claimed, settled, lost, cancelled.

Law 5 is kept here: a claim takes a new fencing token in its transaction, and what ends an attempt
compares it.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from synccron.errors import SessionLost
from synccron.model.deed import Deed
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    Job,
    Order,
    Output,
    Receipt,
    Settlement,
    bare,
    claimed,
    claimed_before,
)
from synccron.model.lease import Session
from synccron.model.schedule import JsonText
from synccron.model.time import Instant
from synccron.store.codec import readable
from synccron.store.sqlite.deeds import insert_deeds
from synccron.store.sqlite.records import (
    delete_unbegun,
    insert_jobs,
    insert_letters,
    insert_misses,
    insert_notices,
    job_by_id,
    update_job,
)
from synccron.store.sqlite.rows import (
    JOB_COLUMNS,
    job_of,
)
from synccron.store.sqlite.sessions import Sessions
from synccron.store.sqlite.waiting import pinned, room, stays_active
from synccron.store.sqlite.writer import Transaction

_SESSIONS_RUNNING = """
WITH RECURSIVE busy (session) AS (
  SELECT min(session) FROM jobs WHERE state = 'running'
  UNION ALL
  SELECT (SELECT min(session) FROM jobs WHERE state = 'running' AND session > busy.session)
  FROM busy WHERE busy.session IS NOT NULL
)
SELECT busy.session, n.session IS NOT NULL FROM busy
LEFT JOIN nodes AS n ON n.session = busy.session WHERE busy.session IS NOT NULL
"""


def lost(db: sqlite3.Connection, sessions: Sessions, limit: int) -> list[Claim]:
    """Read the claims of sessions that have ended or let their lease run out."""
    claims: list[Claim] = []
    for session, known in db.execute(_SESSIONS_RUNNING).fetchall():
        if known and sessions.alive(session):
            continue
        rows = db.execute(
            f"SELECT {JOB_COLUMNS} FROM jobs AS j WHERE state = 'running' AND session = ? LIMIT ?",
            (session, limit - len(claims)),
        ).fetchall()
        claims += [_claim_of(db, job) for job in readable(job_of, rows)]
        if len(claims) >= limit:
            break
    return claims


def enqueue(transaction: Transaction, order: Order, keep: Instant) -> Receipt | None:
    """Make a job, or give the receipt of the first one of its key."""
    db, job = transaction.db, order.job
    row = db.execute(
        "SELECT job_id, at, digest, state FROM receipts WHERE job_id = ?", (job.id,)
    ).fetchone()
    if row is not None and (row[1] >= keep or _unsettled(db, job.id)):
        return Receipt(job_id=row[0], at=row[1], digest=row[2], state=row[3])
    if not _stands(db, order):
        return None
    if not insert_jobs(transaction, [job]):
        forget(db, [job.id])  # the key is free again: its old job, which has ended, makes room
        if not insert_jobs(transaction, [job]):
            return None
    if order.dead is not None:
        db.execute("DELETE FROM dead_letters WHERE id = ?", (order.dead,))
    if order.deed is not None:
        insert_deeds(transaction, [order.deed])
    db.execute(
        "INSERT OR REPLACE INTO receipts (job_id, at, digest, state) VALUES (?, ?, ?, ?)",
        (job.id, job.created_at, order.digest, job.state),
    )
    return Receipt(job_id=job.id, at=job.created_at, digest=order.digest, state=job.state, new=True)


def claim(
    transaction: Transaction, at: Session, admissions: Sequence[Admission], now: Instant
) -> list[Claim | None]:
    """Do what each admission says, if it stands. Raises SessionLost."""
    # Law 5: against a node whose session has ended, and whose claims others took.
    check_session(transaction.db, at)
    return [_admit(transaction, at, admission, now) for admission in admissions]


def check_session(db: sqlite3.Connection, at: Session) -> None:
    """Check that a session has not ended. Raises SessionLost."""
    if db.execute("SELECT 1 FROM nodes WHERE session = ?", (at.id,)).fetchone() is None:
        raise SessionLost(f"the session {at.id} of node {at.node} has ended")


def settle(
    transaction: Transaction, sessions: Sessions, settlements: Sequence[Settlement]
) -> list[Job | None]:
    """Write what follows each attempt's end, if its claim is the newest."""
    return [_settle(transaction, sessions, settlement) for settlement in settlements]


def remember(transaction: Transaction, claim_: Claim, key: str, value: JsonText) -> JsonText | None:
    """Keep the first result of a step."""
    db, job_id = transaction.db, claim_.job.id
    if not _holds(db, claim_):
        return None
    db.execute(
        "INSERT INTO steps (job_id, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (job_id, key, value),
    )
    first: JsonText
    (first,) = db.execute(
        "SELECT value FROM steps WHERE job_id = ? AND key = ?", (job_id, key)
    ).fetchone()
    return first


def cancel(
    transaction: Transaction, job_id: str, now: Instant, deed: Deed | None = None
) -> Job | None:
    """Ask a job to end; one that has not started ends here."""
    job = job_by_id(transaction.db, job_id)
    if job is None or job.settled or job.cancel_requested_at is not None:
        return job
    asked = replace(job, cancel_requested_at=now)
    if job.state != "running":
        asked = replace(asked, state="cancelled", finished_at=now)
    if deed is not None:
        insert_deeds(transaction, [deed])
    return update_job(transaction, asked)


def forget(db: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    """Remove jobs and what hangs on them, but for their receipts."""
    ids = [(job_id,) for job_id in job_ids]
    for statement in (
        "DELETE FROM outputs WHERE job_id = ?",
        "DELETE FROM steps WHERE job_id = ?",
        "DELETE FROM chunks WHERE job_id = ?",
        "DELETE FROM followers WHERE job_id = ?",
        "DELETE FROM jobs WHERE id = ? AND phase = 'settled'",
    ):
        db.executemany(statement, ids)


def _claim_of(db: sqlite3.Connection, job: Job) -> Claim:
    definition = pinned(db, job) if job.schedule_id is not None else None
    return Claim(
        job=job,
        definition=definition or bare(job),
        session=job.session or "",
        fence=job.fence or 0,
    )


def _unsettled(db: sqlite3.Connection, job_id: str) -> bool:
    found = db.execute("SELECT 1 FROM jobs WHERE id = ? AND phase <> 'settled'", (job_id,))
    return found.fetchone() is not None


def _stands(db: sqlite3.Connection, order: Order) -> bool:
    """Tell whether what the order asks for is there."""
    schedule_id = order.job.schedule_id
    if order.seen is not None:
        row = db.execute("SELECT mod FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
        if row is None or row[0] != order.seen:
            return False
    # Overlap: against another trigger, or a slot, in the same moment.
    if order.active is not None and not stays_active(db, order.job, order.active):
        return False
    if order.dead is None:
        return True
    letter = db.execute("SELECT 1 FROM dead_letters WHERE id = ?", (order.dead,))
    return letter.fetchone() is not None


def _admit(
    transaction: Transaction, at: Session, admission: Admission, now: Instant
) -> Claim | None:
    candidate = admission.candidate
    if not _as_read(transaction.db, candidate):
        return claimed_before(admission, job_by_id(transaction.db, candidate.job.id), at.id)
    if admission.miss is not None:
        if delete_unbegun(transaction, candidate.job):
            opened = insert_misses(transaction, [admission.miss])
            insert_notices(transaction, admission.notices, opened)
        return None
    for replaced in admission.replaces:
        update_job(transaction, replaced)
    if admission.job is not None:
        update_job(transaction, admission.job)
        return None
    definition = candidate.definition
    # Against other nodes: no more attempts of a schedule hold a claim at once than it may have.
    if definition is None or room(transaction.db, candidate.job) <= 0:
        return None
    fence = transaction.fence()
    job = update_job(transaction, claimed(candidate, at.node, at.id, fence, now))
    return Claim(job=job, definition=definition, session=at.id, fence=fence)


def _as_read(db: sqlite3.Connection, candidate: Candidate) -> bool:
    job = candidate.job
    # Law 5: against another node that claimed it, or a command that ended it.
    row = db.execute("SELECT mod FROM jobs WHERE id = ?", (job.id,)).fetchone()
    if row is None or row[0] != job.mod:
        return False
    if candidate.seen is not None:
        row = db.execute("SELECT mod FROM schedules WHERE id = ?", (job.schedule_id,)).fetchone()
        if row is None or row[0] != candidate.seen:
            return False
    # Overlap, at the instant: no two attempts of a schedule that runs alone hold a claim at once.
    return not job.alone or stays_active(db, job, candidate.active)


def _holds(db: sqlite3.Connection, claim_: Claim) -> bool:
    found = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND fence = ?",
        (claim_.job.id, claim_.fence),
    )
    return found.fetchone() is not None


def _settle(transaction: Transaction, sessions: Sessions, settlement: Settlement) -> Job | None:
    db, held = transaction.db, settlement.claim
    row = db.execute(
        "SELECT cancel_requested_at FROM jobs WHERE id = ? AND state = 'running' AND fence = ?",
        (held.job.id, held.fence),
    ).fetchone()
    # Law 5: against a late result, whose job another attempt has; and, where the attempt is said to
    # be lost, against its node that comes back just now.
    if row is None or (settlement.gone and not gone(db, sessions, held.session)):
        return None
    (cancelled_at,) = row
    ended = settlement.job
    if cancelled_at is not None:
        ended = replace(settlement.cancelled, cancel_requested_at=cancelled_at)
    else:
        _tell(transaction, settlement)
    _keep_output(db, ended, settlement.output)
    return update_job(transaction, ended)


def _tell(transaction: Transaction, settlement: Settlement) -> None:
    """Write what was given up, and what people are told of this end."""
    if settlement.dead is not None:
        insert_letters(transaction, [settlement.dead])
    insert_notices(transaction, settlement.notices)
    if settlement.failing is None:
        return
    # One notice for a change of state: against another job of the schedule that ends beside it.
    changed = transaction.db.execute(
        "UPDATE schedules SET failing = ?1 WHERE id = ?2 AND failing <> ?1",
        (int(settlement.failing), settlement.job.schedule_id),
    )
    if changed.rowcount:
        insert_notices(transaction, settlement.changed)


def gone(db: sqlite3.Connection, sessions: Sessions, session: str) -> bool:
    """Tell whether a session has ended, or its owner is dead or late."""
    known = db.execute("SELECT 1 FROM nodes WHERE session = ?", (session,)).fetchone()
    return known is None or not sessions.alive(session)


def _keep_output(db: sqlite3.Connection, job: Job, output: Output | None) -> None:
    if output is not None:
        db.execute(
            "INSERT OR REPLACE INTO outputs (job_id, tail, truncated) VALUES (?, ?, ?)",
            (job.id, output.tail, int(output.truncated)),
        )
    elif len(job.attempts) > 1:
        db.execute("DELETE FROM outputs WHERE job_id = ?", (job.id,))
