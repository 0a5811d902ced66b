"""A schedule: what its owner defined, and where its cursor stands.

Values only. What a change of a definition does is decided in `change.py`, which slots are
dispatched in `plan.py`, and whether a definition is acceptable in `definition.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from synccron.model.needs import needs_of
from synccron.model.time import MINUTE, SECOND, Duration, Instant

JsonText: TypeAlias = str  # a JSON value in canonical form: sorted keys, no spaces, ASCII

Misfire = Literal["skip", "catch_up_one", "catch_up_all"]
Overlap = Literal["allow", "skip", "queue", "replace"]
Backoff = Literal["fixed", "exponential"]
OnLost = Literal["rerun", "fail"]
OnDisconnect = Literal["continue", "stop"]
Occasion = Literal["failure", "recovery", "dead_letter", "missed"]
MISFIRES: tuple[str, ...] = get_args(Misfire)
OVERLAPS: tuple[str, ...] = get_args(Overlap)
BACKOFFS: tuple[str, ...] = get_args(Backoff)
ON_LOST: tuple[str, ...] = get_args(OnLost)
ON_DISCONNECT: tuple[str, ...] = get_args(OnDisconnect)
OCCASIONS: tuple[Occasion, ...] = get_args(Occasion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When an attempt that ended badly is followed by another. Delays in ms."""

    max_attempts: int = 1
    backoff: Backoff = "fixed"
    delay: Duration = SECOND
    max_delay: Duration = 10 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told what about a schedule: a command (as `run` is) or a webhook, `timeout` in ms."""

    on: tuple[Occasion, ...] = OCCASIONS
    command: str | tuple[str, ...] | None = None
    webhook: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: Duration = 10 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process of an attempt may use; None: as much as its node's.

    `memory` in bytes of address space, `cpu` in seconds, `processes` of its user, open `files`.
    """

    memory: int | None = None
    cpu: int | None = None
    processes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a schedule's owner wrote; equal definitions are the same revision.

    `run` (text for /bin/sh, or an argument list) and `handler` exclude each other. Durations are in
    ms, `input` is canonical JSON. `on_disconnect` None: what `overlap` makes of it (`stops`).
    `owner` is whose file it comes from: others' leave it alone.
    """

    id: str
    cron: str
    tz: str = "UTC"
    run: str | tuple[str, ...] | None = None
    handler: str | None = None
    input: JsonText = "null"
    misfire: Misfire = "skip"
    max_catch_up_runs: int = 100
    misfire_grace: Duration = 60 * SECOND
    start_within: Duration | None = None
    overlap: Overlap = "allow"
    max_running: int | None = None
    timeout: Duration | None = None
    kill_after: Duration = 10 * SECOND
    retry: Retry = field(default_factory=Retry)
    on_lost: OnLost = "rerun"
    on_disconnect: OnDisconnect | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)
    node_labels: Mapping[str, str] = field(default_factory=dict)
    strict_handlers: bool = True
    max_dispatch_failures: int = 5
    notify: tuple[Notify, ...] = ()
    enabled: bool = True
    owner: str | None = None

    @property
    def needs(self) -> str:
        """What a node must offer to run it: `run` or the handler's name, and its labels."""
        return needs_of(self.handler, self.node_labels)

    @property
    def rhythm(self) -> tuple[str, str]:
        """What decides the slots; white space and letter case in a cron do not."""
        return " ".join(self.cron.split()).upper(), self.tz

    @property
    def stops(self) -> bool:
        """Whether an attempt ends when its node can't be sure of its claim any more."""
        if self.on_disconnect is None:
            return self.alone
        return self.on_disconnect == "stop"

    @property
    def alone(self) -> bool:
        """Whether no two attempts of it may hold a claim at once."""
        return self.overlap != "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(Definition):
    """In place of one that stands in the store and can't be read: `why` tells.

    Nothing of it is run or written. To register the schedule again replaces it. `newer`: a later
    version wrote it.
    """

    why: str
    newer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the dispatch of a schedule stands: every slot before `next` has its record.

    `decided_until` is stored and never computed from `next`, as the cron may have changed.
    `failures` counts failed dispatches in a row; `retry_at` is when the next is tried. `mod` is the
    store's mark of this version: a write that compares it is refused when the cursor has moved.
    """

    next: Instant
    decided_until: Instant
    history_from: Instant
    failures: int = 0
    retry_at: Instant | None = None
    last_slot: Instant | None = None
    last_error: str | None = None
    mod: int = 0

    @property
    def due_at(self) -> Instant:
        """When the leader has to look at it, unless the schedule is paused."""
        return self.next if self.retry_at is None else max(self.next, self.retry_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A registered schedule as the store has it.

    `version` is the number of its newest revision, `mod` the store's mark of this record (it also
    grows with `paused`), `ahead` the earliest slot that is written ahead and still an intention.
    `paused_by` is who paused it, at `paused_at`.
    """

    definition: Definition
    version: int
    created_at: Instant
    updated_at: Instant
    cursor: Cursor
    paused: bool = False
    paused_until: Instant | None = None
    pause_reason: str | None = None
    paused_by: str | None = None
    paused_at: Instant | None = None
    ahead: Instant | None = None
    mod: int = 0

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self.definition.id

    @property
    def next_run_at(self) -> Instant | None:
        """The earliest slot that is still to run; None while paused."""
        if self.paused:
            return None
        return self.cursor.next if self.ahead is None else min(self.cursor.next, self.ahead)

    @property
    def undecided_at(self) -> Instant | None:
        """The oldest slot that is not decided, or when the pause ends; None: it is paused for good.

        Whatever stands in the way of a decision: a dispatch that fails, or waits to be tried again.
        """
        return self.paused_until if self.paused else self.next_run_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What stays for good of a removed schedule, so that no slot of it is run again (law 1)."""

    id: str
    version: int
    decided_until: Instant
    mod: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One definition of a schedule: since when, by whom, its first cursor, with which zone data."""

    schedule_id: str
    version: int
    definition: Definition
    at: Instant
    by: str
    cursor: Instant
    tzdata: str
