"""A job as the Python API gives it, its attempts, and what is kept of slots without one."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from synccron.client.values.shapes import Json, delta_or_none, moment, shape_of
from synccron.model import job as jobs
from synccron.model.time import to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job by one node."""

    attempt: int
    node: str
    fence: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    exit_code: int | None
    error: str | None

    @classmethod
    def of(cls, read: jobs.Attempt) -> Self:
        """Make one of the store's record."""
        return cls(
            attempt=read.attempt,
            node=read.node,
            fence=read.fence,
            started_at=to_datetime(read.started_at),
            finished_at=moment(read.finished_at),
            outcome=read.outcome,
            exit_code=read.exit_code,
            error=read.error,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of an element of a job's `attempts`."""
        return shape_of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One durable unit of work, as it stood when it was read.

    `lateness` is the start of the first attempt less `run_at`; `deduplicated` tells that a trigger
    or submit met the first job of its key. `by` is the leader that made a slot's job, in its term
    `epoch`.
    """

    id: str
    schedule_id: str | None
    kind: str
    slot: datetime | None = None
    key: str | None = None
    retry_of: str | None = None
    state: str
    attempt: int = 0
    max_attempts: int = 1
    node: str | None = None
    fence: int | None = None
    run_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lateness: timedelta | None = None
    duration: timedelta | None = None
    exit_code: int | None = None
    error: str | None = None
    result: Json = None
    deduplicated: bool = False
    cancel_requested_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    by: str | None = None
    epoch: int | None = None

    @property
    def settled(self) -> bool:
        """Whether it has ended for good."""
        return self.state in jobs.SETTLED

    @classmethod
    def of(cls, read: jobs.Job, *, deduplicated: bool = False) -> Self:
        """Make one of the store's record."""
        last = read.attempts[-1] if read.attempts else None
        ended = last is not None and last.finished_at is not None
        return cls(
            id=read.id,
            schedule_id=read.schedule_id,
            kind=read.kind,
            slot=moment(read.slot),
            key=read.key,
            retry_of=read.retry_of,
            state=read.state,
            attempt=len(read.attempts),
            max_attempts=read.max_attempts,
            node=read.node,
            fence=read.fence,
            run_at=moment(read.run_at),
            created_at=moment(read.created_at),
            started_at=moment(read.started_at),
            finished_at=moment(read.finished_at),
            lateness=delta_or_none(read.lateness),
            duration=_lasted(last) if last is not None and ended else None,
            exit_code=read.exit_code,
            error=read.error,
            result=None if read.result is None else json.loads(read.result),
            deduplicated=deduplicated,
            cancel_requested_at=moment(read.cancel_requested_at),
            attempts=tuple(map(Attempt.of, read.attempts)),
            by=read.by,
            epoch=read.epoch,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `jobs` and `trigger`, which is without `attempts`."""
        shape = shape_of(self)
        del shape["attempts"], shape["by"], shape["epoch"]
        return shape


def _lasted(attempt: jobs.Attempt) -> timedelta | None:
    if attempt.finished_at is None:
        return None
    return timedelta(milliseconds=max(0, attempt.finished_at - attempt.started_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The record of consecutive slots that a rule passed over.

    `by` is who decided it: a leader, in its term `epoch`; a node, or who gave the command.
    """

    first: datetime
    last: datetime
    count: int
    reason: str
    recorded_at: datetime
    by: str | None = None
    epoch: int | None = None

    @classmethod
    def of(cls, read: jobs.Miss) -> Self:
        """Make one of the store's record."""
        return cls(
            first=to_datetime(read.first),
            last=to_datetime(read.last),
            count=read.count,
            reason=read.reason,
            recorded_at=to_datetime(read.recorded_at),
            by=read.by,
            epoch=read.epoch,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of an element of `misses`."""
        shape = shape_of(self)
        del shape["by"], shape["epoch"]
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An entry in the list of what was given up."""

    id: str
    kind: str
    schedule_id: str | None
    slot: datetime | None
    key: str | None
    job_id: str | None
    message: str
    attempts: int
    ts: datetime
    node: str | None
    epoch: int | None

    @classmethod
    def of(cls, read: jobs.DeadLetter) -> Self:
        """Make one of the store's record."""
        return cls(
            id=read.id,
            kind=read.kind,
            schedule_id=read.schedule_id,
            slot=moment(read.slot),
            key=read.key,
            job_id=read.job_id,
            message=read.message,
            attempts=read.attempts,
            ts=to_datetime(read.ts),
            node=read.node,
            epoch=read.epoch,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `dlq`."""
        return shape_of(self)
