"""A schedule as the Python API gives and takes it, what it consists of, and how it changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Self

from synccron.client.values.shapes import (
    DurationLike,
    Json,
    delta,
    delta_or_none,
    moment,
    ms,
    text,
)
from synccron.model import difference, schedule
from synccron.model.time import to_datetime


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
            "delay_ms": ms(self.delay),
            "max_delay_ms": ms(self.max_delay),
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
            timeout=delta(read.timeout),
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
            "timeout_ms": ms(self.timeout),
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
            misfire_grace=delta(made.misfire_grace),
            start_within=delta_or_none(made.start_within),
            overlap=made.overlap,
            max_running=made.max_running,
            timeout=delta_or_none(made.timeout),
            kill_after=delta(made.kill_after),
            retry=Retry(
                max_attempts=made.retry.max_attempts,
                backoff=made.retry.backoff,
                delay=delta(made.retry.delay),
                max_delay=delta(made.retry.max_delay),
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
            next_run_at=moment(read.next_run_at),
            cursor_at=moment(cursor.next),
            last_slot_at=moment(cursor.last_slot),
            consecutive_failures=cursor.failures,
            last_error=cursor.last_error,
            history_from=moment(cursor.history_from),
            created_at=moment(read.created_at),
            updated_at=moment(read.updated_at),
            version=read.version,
            paused_until=moment(read.paused_until),
            pause_reason=read.pause_reason,
            paused_by=read.paused_by,
            paused_at=moment(read.paused_at),
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
            "misfire_grace_ms": ms(self.misfire_grace),
            "start_within_ms": None if self.start_within is None else ms(self.start_within),
            "overlap": self.overlap,
            "max_running": self.max_running,
            "timeout_ms": None if self.timeout is None else ms(self.timeout),
            "kill_after_ms": ms(self.kill_after),
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
            "next_run_at": text(self.next_run_at),
            "cursor_at": text(self.cursor_at),
            "last_slot_at": text(self.last_slot_at),
            "consecutive_failures": self.consecutive_failures,
            "last_error": self.last_error,
            "history_from": text(self.history_from),
            "created_at": text(self.created_at),
            "updated_at": text(self.updated_at),
            "version": self.version,
        }


def _limits(made: schedule.Limits) -> Iterator[tuple[str, Json]]:
    return ((name, getattr(made, name)) for name in schedule.Limits.__slots__)


# What a definition consists of, beside its id and cron: the fields before `paused`.
_DEFINED = tuple(Schedule.__slots__)[2 : Schedule.__slots__.index("paused")]


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
        return {"version": self.version, "at": text(self.at), "by": self.by}


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
            "next_before": [text(slot) for slot in self.before],
            "next_after": [text(slot) for slot in self.after],
            "effects": list(self.effects),
        }
