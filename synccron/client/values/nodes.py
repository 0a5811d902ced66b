"""The nodes as the Python API gives them, and the whole at a glance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from synccron.client.values.shapes import Json, moment, shape_of, text
from synccron.model import lease
from synccron.model.needs import handler_in
from synccron.model.time import to_datetime


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
            last_seen_at=moment(read.last_seen_at),
        )

    def to_json(self) -> dict[str, Json]:
        """Give the JSON shape of `nodes`."""
        return shape_of(self)


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
            "oldest_due_at": text(self.oldest_due_at),
            "counters": {**self.counters, "last_tick_at": text(self.last_tick_at)},
        }
