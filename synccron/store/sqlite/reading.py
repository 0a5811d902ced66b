"""Reads of any record: which table, in which order, under which conditions; a page at a time.

Pages go on by key, never by number: a page costs the same wherever it is.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from synccron.model.chunk import Chunk
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Receipt, Step
from synccron.model.lease import Node, Totals
from synccron.model.plan import Due
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.model.time import Instant, slot_name
from synccron.store.base import Look, Where
from synccron.store.codec import readable
from synccron.store.sqlite.chunks import CHUNK_FIELDS, chunk_of
from synccron.store.sqlite.deeds import deed_of
from synccron.store.sqlite.listing import LABELLED, glob
from synccron.store.sqlite.notices import notice_of
from synccron.store.sqlite.rows import (
    DEAD_LETTER_FIELDS,
    JOB_COLUMNS,
    MISS_FIELDS,
    REVISION_FIELDS,
    SCHEDULE_SELECT,
    Row,
    dead_letter_of,
    job_of,
    miss_of,
    revision_of,
    schedule_of,
)

# From the index of pauses that end, and not by walking through all schedules in their order.
_PAUSED = "{} IN (SELECT id FROM schedules WHERE paused = 1 AND paused_until <= ?)"


# Each from an index of its own; a dispatch that waits to be tried again is overdue all the same.
_OVERDUE = """
SELECT id, due_at AS at FROM schedules WHERE due_at < ?1 AND due_at IS NOT NULL
UNION ALL SELECT id, next FROM schedules WHERE next < ?1 AND retry_at IS NOT NULL AND paused = 0
UNION ALL SELECT id, paused_until FROM schedules WHERE paused = 1 AND paused_until < ?1
UNION ALL SELECT schedule_id, run_at FROM jobs
WHERE phase = 'intended' AND run_at < ?1 AND phase <> 'settled'
"""
_IS_OVERDUE = f"{{}} IN (SELECT id FROM ({_OVERDUE.replace('?1', '?')}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """How one kind of record is read.

    `select` gives the record's columns; `key` orders it, the newest (or last) first where `newest`.
    `nodes`: nodes alone read it, and pass over what can't be read. The other fields name the
    columns that conditions are about; "" where one does not apply.
    """

    select: str
    make: Callable[[Row], Any]
    key: tuple[str, ...]
    newest: bool = False
    id: str = ""
    schedule: str = ""
    line: str = ""  # equal to the schedule, and in an index with the key
    since: str = ""
    state: str = ""
    phase: str = ""
    nodes: bool = False


def _columns(table: str, names: Sequence[str]) -> str:
    return f"SELECT {', '.join(names)} FROM {table}"


SCHEDULES = Shelf(
    select=SCHEDULE_SELECT,
    make=schedule_of,
    key=("s.id",),
    id="s.id",
    schedule="s.id",
    since="s.created_at",
)
SHELVES: dict[type[Any], Shelf] = {
    Schedule: SCHEDULES,
    Due: SCHEDULES,
    Tombstone: Shelf(
        select=_columns("tombstones", ("id", "version", "decided_until", "mod")),
        make=lambda row: Tombstone(id=row[0], version=row[1], decided_until=row[2], mod=row[3]),
        key=("id",),
        id="id",
        schedule="id",
    ),
    Revision: Shelf(
        select=_columns("revisions", REVISION_FIELDS),
        make=revision_of,
        key=("seq",),
        newest=True,
        schedule="schedule_id",
        since="at",
    ),
    Job: Shelf(
        select=f"SELECT {JOB_COLUMNS} FROM jobs AS j",
        make=job_of,
        key=("j.seq",),
        newest=True,
        id="j.id",
        schedule="j.schedule_id",
        line="j.line",
        since="j.created_at",
        state="j.state",
        phase="j.phase",
    ),
    Output: Shelf(
        select=_columns("outputs", ("job_id", "tail", "truncated")),
        make=lambda row: Output(job_id=row[0], tail=row[1], truncated=bool(row[2])),
        key=("job_id",),
        id="job_id",
    ),
    Step: Shelf(
        select=_columns("steps", ("job_id", "key", "value")),
        make=lambda row: Step(job_id=row[0], key=row[1], value=row[2]),
        key=("job_id", "key"),
        id="job_id",
    ),
    Receipt: Shelf(
        select=_columns("receipts", ("job_id", "at", "digest", "state")),
        make=lambda row: Receipt(job_id=row[0], at=row[1], digest=row[2], state=row[3]),
        key=("job_id",),
        id="job_id",
        since="at",
    ),
    Miss: Shelf(
        select=_columns("misses", MISS_FIELDS),
        make=miss_of,
        key=("last", "seq"),
        newest=True,
        schedule="schedule_id",
        since="recorded_at",
    ),
    DeadLetter: Shelf(
        select=_columns("dead_letters", DEAD_LETTER_FIELDS),
        make=dead_letter_of,
        key=("seq",),
        newest=True,
        id="id",
        schedule="schedule_id",
        since="ts",
    ),
    Chunk: Shelf(
        select=_columns("chunks", CHUNK_FIELDS),
        make=chunk_of,
        key=("job_id", "attempt", "at"),
        id="job_id",
    ),
    Notice: Shelf(
        select=_columns("notices", ("record", "session", "mod")),
        make=notice_of,
        key=("seq",),
        nodes=True,
    ),
    Deed: Shelf(
        select=_columns("deeds", ("record",)),
        make=deed_of,
        key=("seq",),
        newest=True,
        schedule="schedule_id",
        since="at",
    ),
    Node: Shelf(
        select=_columns("nodes", ("record",)), make=lambda row: row[0], key=("id",), id="id"
    ),
}


def read_page(
    db: sqlite3.Connection, shelf: Shelf, where: Where, after: str | None, limit: int
) -> tuple[list[Any], str | None]:
    """Read records of a shelf, and the mark of the last one if there are more."""
    conditions, values = _conditions(shelf, where)
    if after is not None:
        sign = "<" if shelf.newest else ">"
        conditions.append(f"({', '.join(shelf.key)}) {sign} ({', '.join('?' * len(shelf.key))})")
        values += json.loads(after)
    direction = " DESC" if shelf.newest else ""
    statement = shelf.select.replace("SELECT ", f"SELECT {', '.join(shelf.key)}, ", 1)
    if conditions:
        statement += f" WHERE {' AND '.join(conditions)}"
    statement += f" ORDER BY {', '.join(name + direction for name in shelf.key)} LIMIT ?"
    width = len(shelf.key)
    rows = db.execute(statement, [*values, limit + 1]).fetchall()
    more = json.dumps(rows[limit - 1][:width]) if len(rows) > limit else None
    make = readable if shelf.nodes else map
    return list(make(shelf.make, (row[width:] for row in rows[:limit]))), more


def due_of(db: sqlite3.Connection, schedule: Schedule) -> Due:
    """Complete a schedule with its intentions, and what is recorded from its cursor on."""
    intentions = db.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs AS j"
        " WHERE schedule_id = ? AND phase = 'intended' AND phase <> 'settled' ORDER BY run_at",
        (schedule.id,),
    )
    # The key of law 1 sorts by slot: a range of ids is a range of slots.
    taken = db.execute(
        "SELECT slot FROM jobs WHERE id >= ? AND id < ? AND schedule_id = ? AND kind = 'slot'",
        (f"{schedule.id}:{slot_name(schedule.cursor.next)}", f"{schedule.id};", schedule.id),
    )
    missed = db.execute(
        f"SELECT {', '.join(MISS_FIELDS)} FROM misses WHERE schedule_id = ? AND last >= ?",
        (schedule.id, schedule.cursor.next),
    )
    return Due(
        schedule=schedule,
        intentions=tuple(readable(job_of, intentions)),
        taken=frozenset(slot for (slot,) in taken),
        missed=tuple(map(miss_of, missed)),
    )


def due(db: sqlite3.Connection, look: Look, limit: int) -> list[Due]:
    """Read what the leader has to decide, the longest due first."""
    rows = db.execute(
        f"""
        {SCHEDULE_SELECT} JOIN (
          SELECT id, min(at) AS at FROM (
            SELECT * FROM (
              SELECT id, due_at AS at FROM schedules
              WHERE due_at <= :until AND due_at IS NOT NULL AND coalesce(retry_at, 0) <= :now
              ORDER BY due_at LIMIT :limit
            )
            UNION ALL
            SELECT * FROM (
              SELECT schedule_id, min(run_at) FROM jobs
              JOIN schedules AS w ON w.id = schedule_id AND coalesce(w.retry_at, 0) <= :now
              WHERE phase = 'intended' AND run_at <= :now AND phase <> 'settled'
              AND (run_at < :overdue OR jobs.needs NOT IN (SELECT value FROM json_each(:offered)))
              GROUP BY schedule_id ORDER BY min(run_at) LIMIT :limit
            )
          ) GROUP BY id
        ) AS d ON d.id = s.id ORDER BY d.at, s.id LIMIT :limit
        """,
        {
            "until": look.until,
            "now": look.now,
            "overdue": look.overdue,
            "offered": json.dumps(sorted(look.offered)),
            "limit": limit,
        },
    ).fetchall()
    return [due_of(db, schedule_of(row)) for row in rows]


def needs(db: sqlite3.Connection) -> frozenset[str]:
    """Read what schedules and unsettled jobs need, a step of the index each."""
    rows = db.execute(
        """
        WITH RECURSIVE
        scheduled (needs) AS (
          SELECT min(needs) FROM schedules
          UNION ALL SELECT (SELECT min(needs) FROM schedules WHERE needs > scheduled.needs)
          FROM scheduled WHERE scheduled.needs IS NOT NULL
        ),
        unsettled (needs) AS (
          SELECT min(needs) FROM jobs WHERE phase <> 'settled'
          UNION ALL SELECT (
            SELECT min(needs) FROM jobs WHERE phase <> 'settled' AND needs > unsettled.needs
          ) FROM unsettled WHERE unsettled.needs IS NOT NULL
        )
        SELECT needs FROM scheduled UNION SELECT needs FROM unsettled
        """
    )
    return frozenset(name for (name,) in rows if name is not None)


def totals(db: sqlite3.Connection, overdue: Instant | None) -> Totals:
    """Read the store at a glance."""
    phases = dict(
        db.execute(
            "SELECT phase, count(*) FROM jobs WHERE phase <> 'settled' GROUP BY phase"
        ).fetchall()
    )
    late, oldest = (0, None) if overdue is None else _overdue(db, overdue)
    trimmed, horizon, ticked = db.execute(
        "SELECT dead_letters_trimmed, horizon, last_tick_at FROM meta"
    ).fetchone()
    return Totals(
        schedules=_count(db, "SELECT count(*) FROM schedules"),
        paused=_count(db, "SELECT count(*) FROM schedules WHERE paused = 1"),
        scheduled=phases.get("intended", 0) + phases.get("retrying", 0),
        queued=phases.get("queued", 0),
        running=phases.get("running", 0),
        dead_letters=_count(db, "SELECT count(*) FROM dead_letters"),
        dead_letters_trimmed=trimmed,
        overdue=late,
        oldest_due_at=oldest,
        counters=dict(db.execute("SELECT name, value FROM counters").fetchall()),
        last_tick_at=ticked,
        horizon=horizon,
    )


def _overdue(db: sqlite3.Connection, before: Instant) -> tuple[int, Instant | None]:
    """Count the schedules whose oldest undecided slot is before an instant, and give that slot."""
    number, oldest = db.execute(
        f"SELECT count(DISTINCT id), min(at) FROM ({_OVERDUE})", (before,)
    ).fetchone()
    return number, oldest


def _count(db: sqlite3.Connection, statement: str) -> int:
    (number,) = db.execute(statement).fetchone()
    return int(number)


def _conditions(shelf: Shelf, where: Where) -> tuple[list[str], list[Any]]:
    """Write the conditions as SQL; one that this kind of record knows nothing of is refused."""
    wanted: list[tuple[str, str, list[Any]]] = []
    if where.ids is not None:
        # SQLite's JSON ends a text at its first NUL, and would find another record by the rest.
        ids = json.dumps([each for each in where.ids if "\0" not in each])
        wanted.append((shelf.id, "{} IN (SELECT value FROM json_each(?))", [ids]))
    if where.schedule is not None:
        wanted.append((shelf.line or shelf.schedule, "{} = ?", [where.schedule]))
    if where.pattern is not None:
        wanted.append((shelf.schedule, "{} GLOB ?", [glob(where.pattern)]))
    for key, value in (where.labels or {}).items():
        wanted.append((shelf.schedule, LABELLED, [key, value]))
    if where.states is not None:
        states = json.dumps(list(where.states))
        wanted.append((shelf.state, "{} IN (SELECT value FROM json_each(?))", [states]))
    if where.decided:
        wanted.append((shelf.phase, "{} <> 'intended'", []))
    if where.since is not None:
        wanted.append((shelf.since, "{} >= ?", [where.since]))
    if where.paused_until is not None:
        paused = "s.id" if shelf is SCHEDULES else ""
        wanted.append((paused, _PAUSED, [where.paused_until]))
    if where.overdue is not None:
        overdue = "s.id" if shelf is SCHEDULES else ""
        wanted.append((overdue, _IS_OVERDUE, [where.overdue] * 4))
    if any(not column for column, _, _ in wanted):
        raise ValueError(f"a condition of {where} is not one of these records")
    conditions = [text.format(column) for column, text, _ in wanted]
    return conditions, [value for _, _, values in wanted for value in values]
