"""Nodes, sessions and terms: who is there, and who leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, get_args

from synccron.model.permit import Offer, Patterns
from synccron.model.time import SECOND, Duration, Instant

Counter = Literal[
    "leader_changes",
    "dispatch_submitted",
    "dispatch_failed",
    "dispatch_retried",
    "dispatch_skipped",
    "dispatch_dlq",
    "trigger_submitted",
    "trigger_failed",
    "trigger_rejected",
    "tick_errors",
]
COUNTERS: tuple[Counter, ...] = get_args(Counter)
REPORTED: Duration = 10 * SECOND  # how often a node tells its wall time
CLOCK_OFF: Duration = 5 * SECOND  # how far a command's clock may be off the nodes'


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One running `synccron run`, as it registered itself.

    `offers` is what it can run: handlers by name, and `run` for shell commands; empty where it does
    not work. `allow_run` are patterns of the commands that it runs (None: all). `ticked_at` is its
    last turn as leader. `live`, `last_seen_at` and `skew` are the store's knowledge, not the
    node's: `skew` is how far its wall clock was ahead of the reader's when its newest record came
    in (None: not known).
    """

    id: str
    session: str
    host: str
    pid: int
    version: str
    started_at: Instant
    tzdata: str
    concurrency: int
    offers: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    running: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    ticked_at: Instant | None = None
    last_seen_at: Instant | None = None
    live: bool = True
    skew: Duration | None = None
    allow_run: Patterns | None = None

    @property
    def offer(self) -> Offer:
        """What it can run."""
        return Offer(self.offers, self.allow_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One start of a node, known to the store until it ends or its lease does. `ttl` in ms.

    `file`: it does not end, but by its lease, as long as another process of this host holds a lock
    on that file's first byte; None: by its lease alone.
    """

    node: str
    id: str
    ttl: Duration
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One leadership. `epoch` only ever grows; every write under the term carries it (law 4).

    `until` is when the lease runs out unless it is renewed, in ms of the clock's monotonic time;
    `ttl` is the lease's length.
    """

    node: str
    session: str
    epoch: int
    ttl: Duration
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The store at a glance: numbers of records, and the counters of nodes that have ended.

    `horizon` is the furthest that retention has been asked to prune to.
    """

    schedules: int = 0
    paused: int = 0
    scheduled: int = 0
    queued: int = 0
    running: int = 0
    dead_letters: int = 0
    dead_letters_trimmed: int = 0
    overdue: int = 0
    oldest_due_at: Instant | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    last_tick_at: Instant | None = None
    horizon: Instant | None = None


def told_now(nodes: Sequence[Node], host: str, now: Instant) -> Instant:
    """Give the time that a command takes for now: its own, or what the nodes elsewhere say.

    Theirs (the newest record of a live node on another host) where its own clock is more than 5 s
    off; a record may be as old as the time between two reports. Nodes on this host have its clock.
    """
    told = [each.last_seen_at for each in nodes if each.live and each.host != host]
    newest = max((at for at in told if at is not None), default=now)
    return now if newest - CLOCK_OFF <= now <= newest + REPORTED + CLOCK_OFF else newest


def off_median(nodes: Sequence[Node], node: str) -> Duration:
    """Tell how far a node's wall clock is ahead of the median of the live ones, its own included.

    `nodes` are as that node reads them.
    """
    others = [each.skew for each in nodes if each.live and each.id != node]
    return -round(median([0, *(skew for skew in others if skew is not None)]))
