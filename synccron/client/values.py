"""What the Python API gives and takes: the fields of the JSON shapes as attributes.

Instants are aware datetimes in UTC, durations timedeltas. `to_json` writes exactly the shapes of
docs/cli.md: absent values are null, never missing. What is not built yet has its neutral value.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from synccron.model import difference, lease, schedule
from synccron.model import job as jobs
from synccron.model.needs import handler_in
from synccron.model.time import (
    Duration,
    Instant,
    format_instant,
    to_datetime,
    to_duration,
    to_instant,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = Any  # what json.loads gives
_DURATIONS = frozenset({"lateness", "duration"})
DurationLike = timedelta | str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When an attempt that ended badly is followed by another."""

    max_attempts: int = 1
    backoff: str = "fixed"
    delay: DurationLike = timedelta(seconds=1)
    max_delay: DurationLike = timedelta(minutes=10)

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape; delays in ms."""
        return {
            "max_attempts": self.max_attempts,
            "backoff": self.backoff,
            "delay_ms": _ms(self.delay),
            "max_delay_ms": _ms(self.max_delay),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told what about a schedule: a command or a webhook."""

    on: str | Sequence[str] = schedule.OCCASIONS
    command: str | list[str] | None = None
    webhook: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: DurationLike = timedelta(seconds=10)

    @classmethod
    def of(cls, read: schedule.Notify) -> Self:
        """Make one of the store's record."""
        return cls(
            on=read.on,
            command=list(read.command) if isinstance(read.command, tuple) else read.command,
            webhook=read.webhook,
            headers=dict(read.headers),
            timeout=_delta(read.timeout),
        )

    def fields(self) -> dict[str, Json]:
        """Give it as in a schedule file; what is not given is left out."""
        named = {name: getattr(self, name) for name in Notify.__slots__}
        return {name: value for name, value in named.items() if value}

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape; the timeout in ms."""
        return {
            "on": [self.on] if isinstance(self.on, str) else list(self.on),
            "command": self.command,
            "webhook": self.webhook,
            "headers": dict(self.headers),
            "timeout_ms": _ms(self.timeout),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule: what its owner defines, and (read from a store) where it stands.

    To register one, give `id`, `cron`, and `run` or `handler`; durations may be timedeltas, texts
    such as `1h30m`, or seconds. The fields from `paused` on are read only.
    """

    id: str
    cron: str
    tz: str = "UTC"
    run: str | list[str] | None = None
    handler: str | None = None
    input: Json = None
    misfire: str = "skip"
    max_catch_up_runs: int = 100
    misfire_grace: DurationLike = timedelta(seconds=60)
    start_within: DurationLike | None = None
    overlap: str = "allow"
    max_running: int | None = None
    timeout: DurationLike | None = None
    kill_after: DurationLike = timedelta(seconds=10)
    retry: Retry | Mapping[str, Json] = field(default_factory=Retry)
    on_lost: str = "rerun"
    on_disconnect: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    limits: Mapping[str, Json] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    node_labels: Mapping[str, str] = field(default_factory=dict)
    strict_handlers: bool = True
    max_dispatch_failures: int = 5
    notify: Sequence[Notify | Mapping[str, Json]] = ()
    enabled: bool = True
    owner: str | None = None
    paused: bool = False
    next_run_at: datetime | None = None
    cursor_at: datetime | None = None
    last_slot_at: datetime | None = None
    consecutive_failures: int = 0
    last_error: str | None = None
    history_from: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int | None = None
    paused_until: datetime | None = None
    pause_reason: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None

    @classmethod
    def of(cls, read: schedule.Schedule) -> Self:
        """Make one of the store's record."""
        made, cursor = read.definition, read.cursor
        return cls(
            id=made.id,
            cron=made.cron,
            tz=made.tz,
            run=list(made.run) if isinstance(made.run, tuple) else made.run,
            handler=made.handler,
            input=json.loads(made.input),
            misfire=made.misfire,
            max_catch_up_runs=made.max_catch_up_runs,
            misfire_grace=_delta(made.misfire_grace),
            start_within=_delta_or_none(made.start_within),
            overlap=made.overlap,
            max_running=made.max_running,
            timeout=_delta_or_none(made.timeout),
            kill_after=_delta(made.kill_after),
            retry=Retry(
                max_attempts=made.retry.max_attempts,
                backoff=made.retry.backoff,
                delay=_delta(made.retry.delay),
                max_delay=_delta(made.retry.max_delay),
            ),
            on_lost=made.on_lost,
            on_disconnect="stop" if made.stops else "continue",
            env=dict(made.env),
            cwd=made.cwd,
            user=made.user,
            limits={name: value for name, value in _limits(made.limits) if value is not None},
            labels=dict(made.labels),
            node_labels=dict(made.node_labels),
            strict_handlers=made.strict_handlers,
            max_dispatch_failures=made.max_dispatch_failures,
            notify=tuple(map(Notify.of, made.notify)),
            enabled=made.enabled,
            owner=made.owner,
            paused=read.paused,
            next_run_at=_moment(read.next_run_at),
            cursor_at=_moment(cursor.next),
            last_slot_at=_moment(cursor.last_slot),
            consecutive_failures=cursor.failures,
            last_error=cursor.last_error,
            history_from=_moment(cursor.history_from),
            created_at=_moment(read.created_at),
            updated_at=_moment(read.updated_at),
            version=read.version,
            paused_until=_moment(read.paused_until),
            pause_reason=read.pause_reason,
            paused_by=read.paused_by,
            paused_at=_moment(read.paused_at),
        )

    def fields(self) -> dict[str, Json]:
        """Give the definition as in a schedule file, without the id; defaults are left out."""
        plain = Schedule(id=self.id, cron=self.cron)
        given: dict[str, Json] = {}
        for name in _DEFINED:
            value = getattr(self, name)
            if value != getattr(plain, name) or type(value) is not type(getattr(plain, name)):
                given[name] = value
        if isinstance(self.retry, Retry):
            given["retry"] = {name: getattr(self.retry, name) for name in Retry.__slots__}
        if self.notify:
            given["notify"] = [
                each.fields() if isinstance(each, Notify) else each for each in self.notify
            ]
        return {"cron": self.cron, **given}

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `ls` and `show`."""
        retry = self.retry if isinstance(self.retry, Retry) else Retry(**self.retry)
        notify = [each if isinstance(each, Notify) else Notify(**each) for each in self.notify]
        return {
            "id": self.id,
            "cron": self.cron,
            "tz": self.tz,
            "run": self.run,
            "handler": self.handler,
            "input": self.input,
            "misfire": self.misfire,
            "max_catch_up_runs": self.max_catch_up_runs,
            "misfire_grace_ms": _ms(self.misfire_grace),
            "start_within_ms": None if self.start_within is None else _ms(self.start_within),
            "overlap": self.overlap,
            "max_running": self.max_running,
            "timeout_ms": None if self.timeout is None else _ms(self.timeout),
            "kill_after_ms": _ms(self.kill_after),
            "retry": retry.to_json(),
            "on_lost": self.on_lost,
            "on_disconnect": self.on_disconnect,
            "env": dict(self.env),
            "cwd": self.cwd,
            "user": self.user,
            "limits": {name: self.limits.get(name) for name in schedule.Limits.__slots__},
            "labels": dict(self.labels),
            "node_labels": dict(self.node_labels),
            "strict_handlers": self.strict_handlers,
            "max_dispatch_failures": self.max_dispatch_failures,
            "notify": [each.to_json() for each in notify],
            "owner": self.owner,
            "paused": self.paused,
            "next_run_at": _text(self.next_run_at),
            "cursor_at": _text(self.cursor_at),
            "last_slot_at": _text(self.last_slot_at),
            "consecutive_failures": self.consecutive_failures,
            "last_error": self.last_error,
            "history_from": _text(self.history_from),
            "created_at": _text(self.created_at),
            "updated_at": _text(self.updated_at),
            "version": self.version,
        }


def _limits(made: schedule.Limits) -> Iterator[tuple[str, Json]]:
    return ((name, getattr(made, name)) for name in schedule.Limits.__slots__)


# What a definition consists of, beside its id and cron: the fields before `paused`.
_DEFINED = tuple(Schedule.__slots__)[2 : Schedule.__slots__.index("paused")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What registering would do with one schedule.

    `fields` are those that would change, as a schedule file has them: before and after. `before`
    and `after` are its next slots, none while paused.
    """

    id: str
    what: str
    fields: Mapping[str, tuple[Json, Json]]
    before: tuple[datetime, ...]
    after: tuple[datetime, ...]
    effects: tuple[str, ...]

    @classmethod
    def of(cls, found: difference.Difference) -> Self:
        """Make one of the model's."""
        return cls(
            id=found.id,
            what=found.what,
            fields=found.fields,
            before=tuple(map(to_datetime, found.before)),
            after=tuple(map(to_datetime, found.after)),
            effects=found.effects,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of an element of `diff`."""
        return {
            "id": self.id,
            "what": self.what,
            "fields": {name: list(both) for name, both in self.fields.items()},
            "next_before": [_text(slot) for slot in self.before],
            "next_after": [_text(slot) for slot in self.after],
            "effects": list(self.effects),
        }


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
            finished_at=_moment(read.finished_at),
            outcome=read.outcome,
            exit_code=read.exit_code,
            error=read.error,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of an element of a job's `attempts`."""
        return _shape(self)


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
            slot=_moment(read.slot),
            key=read.key,
            retry_of=read.retry_of,
            state=read.state,
            attempt=len(read.attempts),
            max_attempts=read.max_attempts,
            node=read.node,
            fence=read.fence,
            run_at=_moment(read.run_at),
            created_at=_moment(read.created_at),
            started_at=_moment(read.started_at),
            finished_at=_moment(read.finished_at),
            lateness=_delta_or_none(read.lateness),
            duration=_lasted(last) if last is not None and ended else None,
            exit_code=read.exit_code,
            error=read.error,
            result=None if read.result is None else json.loads(read.result),
            deduplicated=deduplicated,
            cancel_requested_at=_moment(read.cancel_requested_at),
            attempts=tuple(map(Attempt.of, read.attempts)),
            by=read.by,
            epoch=read.epoch,
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `jobs` and `trigger`, which is without `attempts`."""
        shape = _shape(self)
        del shape["attempts"], shape["by"], shape["epoch"]
        return shape


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
        shape = _shape(self)
        del shape["by"], shape["epoch"]
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One change of a schedule's definition: its number, when, by whom.

    `changed` are the fields that differ from the revision before; None: that is not kept, or there
    was none.
    """

    version: int
    at: datetime
    by: str
    changed: tuple[str, ...] | None = None

    @classmethod
    def of(cls, read: schedule.Revision, before: schedule.Revision | None = None) -> Self:
        """Make one of the store's record, and of the one before."""
        changed = None
        if before is not None:
            old, new = before.definition, read.definition
            names = (each.name for each in fields(schedule.Definition))
            changed = tuple(name for name in names if getattr(old, name) != getattr(new, name))
        return cls(version=read.version, at=to_datetime(read.at), by=read.by, changed=changed)

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of an element of `revisions`."""
        return {"version": self.version, "at": _text(self.at), "by": self.by}


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
            slot=_moment(read.slot),
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
        return _shape(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One running node."""

    id: str
    session: str
    host: str
    pid: int
    version: str
    leader: bool
    epoch: int | None
    handlers: tuple[str, ...]
    allow_run: tuple[str, ...] | None
    labels: Mapping[str, str]
    concurrency: int
    running: int
    started_at: datetime
    last_seen_at: datetime | None

    @classmethod
    def of(cls, read: lease.Node, term: lease.Term | None) -> Self:
        """Make one of the store's record; `term` is the current one."""
        leads = term is not None and term.session == read.session
        return cls(
            id=read.id,
            session=read.session,
            host=read.host,
            pid=read.pid,
            version=read.version,
            leader=leads,
            epoch=term.epoch if term is not None and leads else None,
            handlers=tuple(sorted({handler_in(each) for each in read.offers})),
            allow_run=read.allow_run,
            labels=dict(read.labels),
            concurrency=read.concurrency,
            running=read.running,
            started_at=to_datetime(read.started_at),
            last_seen_at=_moment(read.last_seen_at),
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `nodes`."""
        return _shape(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole at a glance. `counters` only grow; `dead_letters_trimmed` had to make room.

    `overdue_ids` are the first of those that are overdue.
    """

    leader: str | None
    epoch: int | None
    nodes: int
    schedules: int
    paused: int
    scheduled: int
    queued: int
    running: int
    dead_letters: int
    overdue: int
    oldest_due_at: datetime | None
    counters: Mapping[str, int]
    last_tick_at: datetime | None
    dead_letters_trimmed: int
    overdue_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `status`."""
        return {
            "leader": self.leader,
            "epoch": self.epoch,
            "nodes": self.nodes,
            "schedules": self.schedules,
            "paused": self.paused,
            "scheduled": self.scheduled,
            "queued": self.queued,
            "running": self.running,
            "dead_letters": self.dead_letters,
            "dead_letters_trimmed": self.dead_letters_trimmed,
            "overdue": self.overdue,
            "oldest_due_at": _text(self.oldest_due_at),
            "counters": {**self.counters, "last_tick_at": _text(self.last_tick_at)},
        }


def _shape(value: "DataclassInstance") -> dict[str, Json]:
    """Write a value's fields in their order: instants as text, durations in ms under `…_ms`."""
    shape: dict[str, Json] = {}
    for each in fields(value):
        given = getattr(value, each.name)
        if each.name in _DURATIONS:
            shape[f"{each.name}_ms"] = None if given is None else _ms(given)
        elif isinstance(given, datetime):
            shape[each.name] = _text(given)
        elif isinstance(given, tuple):
            shape[each.name] = list(given)
        else:
            shape[each.name] = given
    return shape


def _moment(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def _delta(duration: Duration) -> timedelta:
    return timedelta(milliseconds=duration)


def _delta_or_none(duration: Duration | None) -> timedelta | None:
    return None if duration is None else _delta(duration)


def _lasted(attempt: jobs.Attempt) -> timedelta | None:
    if attempt.finished_at is None:
        return None
    return timedelta(milliseconds=max(0, attempt.finished_at - attempt.started_at))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(to_instant(moment))


def _ms(duration: DurationLike) -> int:
    return to_duration(duration)
