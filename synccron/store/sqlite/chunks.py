"""Who follows which job, and the chunks of output that its node publishes meanwhile."""

import json
import sqlite3
from collections.abc import Sequence

from synccron.model.chunk import Chunk
from synccron.model.lease import Session
from synccron.store.sqlite.rows import Row
from synccron.store.sqlite.writer import Transaction

CHUNK_FIELDS = ("job_id", "attempt", "at", "data", "times")


def chunk_of(row: Row) -> Chunk:
    """Make a chunk of the columns CHUNK_FIELDS."""
    job_id, attempt, at, data, times = row
    pairs = tuple((place, instant) for place, instant in json.loads(times))
    return Chunk(job_id=job_id, attempt=attempt, at=at, data=data, times=pairs)


def follow(transaction: Transaction, job_id: str, now: int, until: int) -> None:
    """Note that a job is followed until an instant of monotonic time, if it has not settled."""
    transaction.db.execute("DELETE FROM followers WHERE until < ?", (now,))
    transaction.db.execute(
        "INSERT OR REPLACE INTO followers (job_id, until)"
        " SELECT id, ? FROM jobs WHERE id = ? AND phase <> 'settled'",
        (until, job_id),
    )


def followed(db: sqlite3.Connection, at: Session, now: int) -> frozenset[str]:
    """Read which jobs of a session are followed."""
    rows = db.execute(
        "SELECT f.job_id FROM followers AS f JOIN jobs AS j ON j.id = f.job_id"
        " WHERE f.until >= ? AND j.state = 'running' AND j.session = ?",
        (now, at.id),
    )
    return frozenset(job_id for (job_id,) in rows)


def publish(transaction: Transaction, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
    """Write chunks, and remove others."""
    transaction.db.executemany(
        "DELETE FROM chunks WHERE job_id = ? AND attempt = ? AND at = ?",
        [(each.job_id, each.attempt, each.at) for each in gone],
    )
    transaction.db.executemany(
        "INSERT OR REPLACE INTO chunks (job_id, attempt, at, data, times) VALUES (?, ?, ?, ?, ?)",
        [(each.job_id, each.attempt, each.at, each.data, json.dumps(each.times)) for each in fresh],
    )
