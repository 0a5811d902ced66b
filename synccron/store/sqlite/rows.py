"""Rows as the model's records, and back.

Where a table has a column for each field of a record, the two have the same names. Definitions,
attempts and nodes are JSON text.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from synccron.model.job import Attempt, DeadLetter, Job, Miss
from synccron.model.schedule import Cursor, Definition, Revision, Schedule
from synccron.store.codec import decode, definition_of, encode, readable

Row = tuple[Any, ...]

JOB_FIELDS = tuple(field.name for field in fields(Job))
JOB_COLUMNS = ", ".join(f"j.{name}" for name in JOB_FIELDS)
# What a job is made with: no verb changes it.
_MADE_WITH = (
    "id",
    "kind",
    "schedule_id",
    "created_at",
    "needs",
    "slot",
    "key",
    "retry_of",
    "input",
    "alone",
    "max_running",
    "max_attempts",
)
JOB_STATE = (*(name for name in JOB_FIELDS if name not in _MADE_WITH), "fence")
DEAD_LETTER_FIELDS = tuple(field.name for field in fields(DeadLetter))
MISS_FIELDS = ("schedule_id", "first", "last", "count", "reason", "recorded_at", "by", "epoch")
REVISION_FIELDS = ("schedule_id", "version", "definition", "at", "by", "cursor", "tzdata")

_CURSOR_FIELDS = (
    "next",
    "decided_until",
    "history_from",
    "failures",
    "retry_at",
    "last_slot",
    "last_error",
)
_STATE_FIELDS = (
    "version",
    "created_at",
    "updated_at",
    "paused",
    "paused_until",
    "pause_reason",
    "paused_by",
    "paused_at",
    "mod",
)
# Retention alone moves `history_from`: a decision that was read before it did must not undo that.
_cursor_values = attrgetter(*_CURSOR_FIELDS)
CURSOR_SET = ", ".join(
    f"{name} = max({name}, ?)" if name == "history_from" else f"{name} = ?"
    for name in (*_CURSOR_FIELDS, "cursor_mod")
)
SCHEDULE_SET = ", ".join(f"{name} = ?" for name in (*_STATE_FIELDS, "needs"))
SCHEDULE_INSERT = (
    f"INSERT INTO schedules (id, {', '.join((*_STATE_FIELDS, 'needs', *_CURSOR_FIELDS))},"
    f" cursor_mod) VALUES ({', '.join('?' * (len(_STATE_FIELDS) + len(_CURSOR_FIELDS) + 3))})"
)
SCHEDULE_SELECT = (
    f"SELECT {', '.join(f's.{name}' for name in (*_STATE_FIELDS, *_CURSOR_FIELDS, 'cursor_mod'))},"
    " s.id, r.definition,"
    " (SELECT min(run_at) FROM jobs AS i WHERE i.schedule_id = s.id AND i.phase = 'intended'"
    " AND i.phase <> 'settled')"
    " FROM schedules AS s JOIN revisions AS r ON r.schedule_id = s.id AND r.version = s.version"
)

RUN_AT, ID = JOB_FIELDS.index("run_at"), JOB_FIELDS.index("id")
REPLACES = JOB_FIELDS.index("replaces")
_RETRY_DELAY = JOB_FIELDS.index("retry_delay")
_ATTEMPTS = JOB_FIELDS.index("attempts")
_FLAGS = ("alone", "replaces")
_MOD = JOB_FIELDS.index("mod")
_job_values = attrgetter(*JOB_FIELDS)
_job_state_values = attrgetter(*JOB_STATE)
_ATTEMPTS_STATE = JOB_STATE.index("attempts")
_NO_ATTEMPTS = "[]"


@lru_cache(maxsize=4096)
def read_definition(text: str, schedule_id: str) -> Definition:
    """Read a definition; what many jobs share is read once."""
    return definition_of(text, schedule_id)


def job_of(row: Row) -> Job:
    """Make a job of the columns JOB_COLUMNS."""
    values = dict(zip(JOB_FIELDS, row, strict=True))
    text = values["attempts"]
    values["attempts"] = () if text == _NO_ATTEMPTS else decode(tuple[Attempt, ...], text)
    for flag in _FLAGS:
        values[flag] = bool(values[flag])
    return Job(**values)


def failed_on(row: Row) -> str | None:
    """Read the node whose attempt failed, where a job waits for a retry."""
    if row[_RETRY_DELAY] is None:
        return None
    job = next(readable(job_of, [row[: len(JOB_FIELDS)]]), None)
    return None if job is None else job.failed_on


def job_values(job: Job, mod: int) -> list[Any]:
    """Give the values of JOB_FIELDS with a new mark, and the fence."""
    values: list[Any] = [*_job_values(job)]
    values[_MOD] = mod
    values[_ATTEMPTS] = _attempts(job)
    return [*values, job.fence]


def job_state_values(job: Job) -> list[Any]:
    """Give the values of JOB_STATE."""
    values: list[Any] = [*_job_state_values(job)]
    values[_ATTEMPTS_STATE] = _attempts(job)
    return values


def _attempts(job: Job) -> str:
    return encode(job.attempts) if job.attempts else _NO_ATTEMPTS


def schedule_of(row: Row) -> Schedule:
    """Make a schedule of a row of SCHEDULE_SELECT."""
    state, rest = row[: len(_STATE_FIELDS)], row[len(_STATE_FIELDS) :]
    version, created_at, updated_at, paused, until, reason, paused_by, paused_at, mod = state
    *cursor, cursor_mod, schedule_id, definition, ahead = rest
    return Schedule(
        definition=read_definition(definition, schedule_id),
        version=version,
        created_at=created_at,
        updated_at=updated_at,
        cursor=Cursor(**dict(zip(_CURSOR_FIELDS, cursor, strict=True)), mod=cursor_mod),
        paused=bool(paused),
        paused_until=until,
        pause_reason=reason,
        paused_by=paused_by,
        paused_at=paused_at,
        ahead=ahead,
        mod=mod,
    )


def state_values(schedule: Schedule, mod: int) -> list[Any]:
    """Give the values of SCHEDULE_SET."""
    return [
        schedule.version,
        schedule.created_at,
        schedule.updated_at,
        int(schedule.paused),
        schedule.paused_until,
        schedule.pause_reason,
        schedule.paused_by,
        schedule.paused_at,
        mod,
        schedule.definition.needs,
    ]


def cursor_values(cursor: Cursor, mod: int) -> list[Any]:
    """Give the values of CURSOR_SET."""
    return [*_cursor_values(cursor), mod]


def revision_of(row: Row) -> Revision:
    """Make a revision of the columns REVISION_FIELDS."""
    values = dict(zip(REVISION_FIELDS, row, strict=True))
    definition = read_definition(values["definition"], values["schedule_id"])
    return Revision(**values | {"definition": definition})


def revision_values(revision: Revision) -> list[Any]:
    """Give the values of REVISION_FIELDS."""
    values = [getattr(revision, name) for name in REVISION_FIELDS]
    values[REVISION_FIELDS.index("definition")] = encode(revision.definition)
    return values


def miss_of(row: Row) -> Miss:
    """Make a miss of the columns MISS_FIELDS."""
    return Miss(**dict(zip(MISS_FIELDS, row, strict=True)))


def dead_letter_of(row: Row) -> DeadLetter:
    """Make a dead letter of the columns DEAD_LETTER_FIELDS."""
    return DeadLetter(**dict(zip(DEAD_LETTER_FIELDS, row, strict=True)))


def insert(table: str, names: Sequence[str]) -> str:
    """Write an INSERT with a parameter for each column."""
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
