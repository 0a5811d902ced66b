"""What may start: the jobs that wait, and what a decision on each looks at.

Reads alone: what has moved since is compared by the claim, with the same questions (`jobs.py`).
"""

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

from synccron.model.job import ACTIVE, Candidate, Job, bare
from synccron.model.schedule import Definition
from synccron.model.time import Instant
from synccron.store.base import Mine
from synccron.store.codec import readable
from synccron.store.sqlite.rows import (
    ID,
    JOB_COLUMNS,
    REPLACES,
    RUN_AT,
    failed_on,
    job_of,
    read_definition,
)

# The index has all that is asked: what is not given is not looked up, however long a queue is.
_READY = f"""
SELECT {JOB_COLUMNS}, line, phase, seq FROM jobs AS j
WHERE needs = ? AND ready = 1 AND run_at <= ? AND phase <> 'settled' AND (run_at, seq) > (?, ?)
AND (phase = 'intended' OR replaces = 1 OR line NOT IN (SELECT value FROM json_each(?)))
ORDER BY run_at, seq
"""
_EXPIRED = f"""
SELECT {JOB_COLUMNS} FROM jobs AS j
WHERE expires_at < ? AND expires_at IS NOT NULL AND state = 'queued' ORDER BY expires_at LIMIT ?
"""
_PASSED_BY = 16  # rows of lines that have had their share, before they are left out of the read
# Law 6: retries that were set by a wall clock which has jumped back since.
_FAR = f"""
SELECT {JOB_COLUMNS} FROM jobs AS j
WHERE run_at - retry_delay > ? AND retry_delay IS NOT NULL AND state = 'scheduled' AND run_at > ?
LIMIT ?
"""
_PHASE = """
FROM jobs AS j WHERE schedule_id = ? AND phase = ? AND phase <> 'settled' AND id <> ?
ORDER BY run_at, id LIMIT ?
"""
_CURRENT = """
SELECT r.definition, s.version, s.mod FROM schedules AS s
JOIN revisions AS r ON r.schedule_id = s.id AND r.version = s.version WHERE s.id = ?
"""


def waiting(
    db: sqlite3.Connection,
    offers: frozenset[str],
    until: Instant,
    limit: int,
    mine: Mine,
    *,
    each: int | None,
    besides: AbstractSet[str],
) -> list[Candidate]:
    """Read what may start, earliest first."""
    found = {
        job.id: job
        for needs in offers
        for job in islice(_ready(db, needs, until, mine, each or limit, besides), limit)
    }
    far = readable(job_of, db.execute(_FAR, (until, until, limit)))
    late = readable(job_of, db.execute(_EXPIRED, (until, limit)))
    for job in (*far, *(each for each in late if mine(each.id, each.needs, each.run_at, None))):
        if job.needs in offers:
            found[job.id] = job
    first = sorted(found.values(), key=lambda job: (job.run_at, job.mod))
    return [_candidate(db, job) for job in first[:limit]]


def _ready(
    db: sqlite3.Connection,
    needs: str,
    until: Instant,
    mine: Mine,
    each: int,
    besides: AbstractSet[str],
) -> Iterator[Job]:
    """Read what needs this, earliest first; of a line no more than its share."""
    left: dict[str, int] = {}
    shared, mark, more = set(besides), (-1, -1), True
    while more:
        more, passed_by = False, 0
        for row in db.execute(_READY, (needs, until, *mark, json.dumps(list(shared)))):
            line, phase, seq = row[-3:]
            if left.get(line, 1) <= 0 and phase != "intended" and not row[REPLACES]:
                shared.add(line)
                passed_by += 1
                if passed_by >= _PASSED_BY:
                    mark, more = (row[RUN_AT], seq), True
                    break
                continue
            if not mine(row[ID], needs, row[RUN_AT], failed_on(row)):
                continue
            job = next(readable(job_of, [row[:-3]]), None)
            if job is None:
                continue
            if phase != "intended" and not job.replaces:
                if line not in left:
                    left[line] = min(each, room(db, job))
                if left[line] <= 0:
                    continue
                left[line] -= 1
            yield job


def room(db: sqlite3.Connection, job: Job) -> int:
    """Tell how many attempts may be added to those of a job's schedule."""
    if job.max_running is None:
        return sys.maxsize
    return job.max_running - _running(db, job)


def _running(db: sqlite3.Connection, job: Job) -> int:
    (found,) = db.execute(
        "SELECT count(*) FROM jobs"
        " WHERE schedule_id = ? AND phase = 'running' AND phase <> 'settled'",
        (job.schedule_id,),
    ).fetchone()
    return int(found)


def active(db: sqlite3.Connection, schedule_id: str, besides: str = "") -> list[Job]:
    """Read the jobs of a schedule that are queued, run or wait for a retry: the first of each."""
    rows = [
        row
        for phase in ("running", "queued", "retrying")
        for row in db.execute(
            f"SELECT {JOB_COLUMNS} {_PHASE}", (schedule_id, phase, besides, ACTIVE)
        )
    ]
    return sorted(readable(job_of, rows), key=lambda other: (other.run_at, other.id))


def _candidate(db: sqlite3.Connection, job: Job) -> Candidate:
    lone = job.alone and job.schedule_id is not None
    beside = tuple(active(db, job.schedule_id or "", job.id)) if lone else ()
    if job.schedule_id is None:
        return Candidate(job=job, definition=bare(job), active=beside)
    running = 0 if job.max_running is None else _running(db, job)
    if not job.intention:
        definition = pinned(db, job)
        return Candidate(job=job, definition=definition, active=beside, running=running)
    row = db.execute(_CURRENT, (job.schedule_id,)).fetchone()
    if row is None:
        return Candidate(job=job, definition=None, active=beside)
    text, version, mod = row
    return Candidate(
        job=job,
        definition=read_definition(text, job.schedule_id),
        version=version,
        seen=mod,
        active=beside,
        running=running,
    )


def pinned(db: sqlite3.Connection, job: Job) -> Definition | None:
    """Read the definition that a job was begun or queued with; None: it is not kept any more."""
    row = db.execute(
        "SELECT definition FROM revisions WHERE schedule_id = ? AND version = ?",
        (job.schedule_id, job.revision),
    ).fetchone()
    return None if row is None else read_definition(row[0], job.schedule_id or "")


def stays_active(db: sqlite3.Connection, job: Job, read: Sequence[Job]) -> bool:
    """Tell whether the active jobs beside a job are those that were read, as they were."""
    found = {
        (row[0], row[1])
        for phase in ("running", "queued", "retrying")
        for row in db.execute(f"SELECT id, mod {_PHASE}", (job.schedule_id, phase, job.id, ACTIVE))
    }
    return found == {(other.id, other.mod) for other in read}
