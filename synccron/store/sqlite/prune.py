"""Retention: find what is older than the limits, and remove it in small pieces.

A round goes through the stages below and, within them, from schedule to schedule. What to remove is
looked for without the write lock, so that claims go before it; what has ended does not change any
more, and nothing that was current can become older. A piece without anything to remove writes
nothing.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synccron.model.time import SECOND, Instant
from synccron.store.base import Limits
from synccron.store.sqlite.jobs import forget
from synccron.store.sqlite.writer import Transaction

PIECE = 500  # rows that one transaction removes
LINES = 200  # schedules that one piece looks at
LOOK = 2000  # rows that one piece looks at


@dataclass(frozen=True, slots=True)
class Find:
    """What a piece removes, and where its stage goes on (None: it is done)."""

    remove: Callable[[Transaction], None] | None
    after: str | None


Stage = Callable[[sqlite3.Connection, Limits, str], Find]


def find(db: sqlite3.Connection, limits: Limits, mark: str | None) -> Find:
    """Find the next piece of a round. The mark is `stage:place`; None begins."""
    name, _, after = (mark or f"{next(iter(STAGES))}:").partition(":")
    names = list(STAGES)
    while True:
        found = STAGES[name](db, limits, after)
        later = names[names.index(name) + 1 :]
        if found.after is not None:
            return Find(found.remove, f"{name}:{found.after}")
        if found.remove is not None or not later:
            return Find(found.remove, f"{later[0]}:" if later else None)
        name, after = later[0], ""


def _jobs(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find jobs of a run of lines: schedules, removed ones too, and submitted handlers."""
    doomed: list[str] = []
    moved: dict[str, Instant] = {}
    line = after
    for _ in range(LINES):
        row = db.execute(
            "SELECT line, schedule_id FROM jobs WHERE line > ? ORDER BY line LIMIT 1", (line,)
        ).fetchone()
        if row is None:
            return Find(_remove_jobs(doomed, moved), None)
        old = _old_jobs(db, limits, row[0], PIECE - len(doomed))
        for job_id, slot in old:
            doomed.append(job_id)
            if slot is not None and row[1] is not None:
                moved[row[1]] = max(moved.get(row[1], 0), slot + SECOND)
        if len(doomed) >= PIECE:
            return Find(_remove_jobs(doomed, moved), line)  # this line may have more
        line = row[0]
    return Find(_remove_jobs(doomed, moved), line)


def _old_jobs(
    db: sqlite3.Connection, limits: Limits, line: str, room: int
) -> list[tuple[str, Instant | None]]:
    """Find what a line has too much of, oldest first: ids, and the slots that made them."""
    (total,) = db.execute(
        "SELECT count(*) FROM jobs WHERE line = ? AND phase = 'settled'", (line,)
    ).fetchone()
    spare = total - limits.least
    if spare <= 0:
        return []
    rows = db.execute(
        "SELECT id, iif(kind = 'slot', slot, NULL), coalesce(finished_at, created_at) FROM jobs"
        " WHERE line = ? AND phase = 'settled' ORDER BY seq LIMIT ?",
        (line, min(spare, room)),
    )
    return [
        (job_id, slot)
        for rank, (job_id, slot, finished_at) in enumerate(rows)
        if total - rank > limits.most or finished_at < limits.horizon
    ]


def _remove_jobs(
    doomed: Sequence[str], moved: dict[str, Instant]
) -> Callable[[Transaction], None] | None:
    def remove(transaction: Transaction) -> None:
        forget(transaction.db, doomed)
        transaction.db.executemany(
            "UPDATE schedules SET history_from = max(history_from, ?) WHERE id = ?",
            [(instant, schedule_id) for schedule_id, instant in moved.items()],
        )

    return remove if doomed else None


def _misses(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find misses before their schedule's history, and old ones of removed schedules."""
    rows = db.execute(
        "SELECT m.seq, coalesce(m.last < s.history_from, m.recorded_at < ?) FROM misses AS m"
        " LEFT JOIN schedules AS s ON s.id = m.schedule_id WHERE m.seq > ? ORDER BY m.seq LIMIT ?",
        (limits.horizon, int(after or 0), LOOK),
    ).fetchall()
    return _rows("misses", rows)


def _revisions(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find revisions that explain no slot which is kept: neither by their time nor for a job."""
    rows = db.execute(
        """
        SELECT r.seq, NOT EXISTS (
            SELECT 1 FROM jobs AS j WHERE j.line = r.schedule_id AND j.revision = r.version
          ) AND iif(
            s.id IS NULL,
            r.at < ?1
              AND NOT EXISTS (SELECT 1 FROM misses AS m WHERE m.schedule_id = r.schedule_id),
            EXISTS (
              SELECT 1 FROM revisions AS n
              WHERE n.schedule_id = r.schedule_id AND n.version > r.version
                AND n.cursor <= s.history_from AND n.at <= s.history_from
            )
          )
        FROM revisions AS r LEFT JOIN schedules AS s ON s.id = r.schedule_id
        WHERE r.seq > ?2 AND (s.id IS NULL OR s.version > r.version) ORDER BY r.seq LIMIT ?3
        """,
        (limits.horizon, int(after or 0), PIECE),
    ).fetchall()
    return _rows("revisions", rows, full=PIECE)


def _letters(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find the dead letters beyond what is kept, of one schedule and of all; the oldest go."""
    rows = db.execute(
        """
        SELECT seq FROM (
          SELECT seq,
            row_number() OVER (ORDER BY seq DESC) AS of_all,
            row_number() OVER (
              PARTITION BY coalesce(schedule_id, 'submit:' || needs) ORDER BY seq DESC
            ) AS of_one
          FROM dead_letters
        ) WHERE of_all > ? OR of_one > ? ORDER BY seq LIMIT ?
        """,
        (limits.dead, limits.dead_each, PIECE),
    ).fetchall()

    def remove(transaction: Transaction) -> None:
        db = transaction.db
        before = db.total_changes
        db.executemany("DELETE FROM dead_letters WHERE seq = ?", rows)
        gone = db.total_changes - before
        db.execute("UPDATE meta SET dead_letters_trimmed = dead_letters_trimmed + ?", (gone,))

    return Find(remove if rows else None, after if len(rows) == PIECE else None)


def _receipts(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find keys that may be used again. One whose job has not ended stays."""
    rows = db.execute(
        "SELECT job_id FROM receipts AS r WHERE at < ? AND NOT EXISTS"
        " (SELECT 1 FROM jobs AS j WHERE j.id = r.job_id AND j.phase <> 'settled') LIMIT ?",
        (limits.keys, PIECE),
    ).fetchall()

    def remove(transaction: Transaction) -> None:
        transaction.db.executemany("DELETE FROM receipts WHERE job_id = ?", rows)

    return Find(remove if rows else None, after if len(rows) == PIECE else None)


def _deeds(db: sqlite3.Connection, limits: Limits, after: str) -> Find:
    """Find what was done too long ago, or before the newest that are kept."""
    rows = db.execute(
        "SELECT seq FROM deeds WHERE at < ? OR seq <= coalesce("
        " (SELECT seq FROM deeds ORDER BY seq DESC LIMIT 1 OFFSET ?), 0) ORDER BY seq LIMIT ?",
        (limits.keys, limits.deeds, PIECE),
    ).fetchall()

    def remove(transaction: Transaction) -> None:
        transaction.db.executemany("DELETE FROM deeds WHERE seq = ?", rows)

    return Find(remove if rows else None, after if len(rows) == PIECE else None)


def _rows(table: str, rows: Sequence[tuple[int, int]], full: int = LOOK) -> Find:
    """Remove those of the rows that are marked so; go on after the last that was looked at."""
    doomed = [(seq,) for seq, old in rows if old][:PIECE]
    more = len(rows) == full
    last = rows[-1][0] if rows else 0
    if len(doomed) == PIECE:
        more, last = True, doomed[-1][0]

    def remove(transaction: Transaction) -> None:
        transaction.db.executemany(f"DELETE FROM {table} WHERE seq = ?", doomed)

    return Find(remove if doomed else None, str(last) if more else None)


STAGES: dict[str, Stage] = {
    "jobs": _jobs,
    "misses": _misses,
    "revisions": _revisions,
    "letters": _letters,
    "receipts": _receipts,
    "deeds": _deeds,
}
