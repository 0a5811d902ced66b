"""All records of the store in memory, and what its handles share.

The records are the model's own values, kept in a `State` that can be copied, so that an explorer
can go back and try another way. Time is the clock's alone.
"""

import threading
from collections import Counter as Multiset
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from synccron.clock import Clock
from synccron.model.chunk import Chunk
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Receipt, Step
from synccron.model.lease import Node
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.model.time import Duration, Instant


@dataclass(slots=True)
class Seat:
    """A session: its node's record, and its last heartbeat in monotonic ms.

    `wall` is how far the node's wall clock was ahead of the monotonic one when its record came in.
    """

    node: Node
    ttl: Duration
    beat: int
    wall: Duration
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Lead:
    """The newest term; `session` None: it was given up."""

    epoch: int = 0
    session: str | None = None
    node: str = ""
    ttl: Duration = 0
    beat: int = 0


@dataclass(slots=True)
class State:
    """All records. `open` are the ids of jobs that have not settled; `places` order all of them."""

    mark: int = 0
    fence: int = 0
    lead: Lead = field(default_factory=Lead)
    seats: dict[str, Seat] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    revisions: dict[str, tuple[Revision, ...]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    open: dict[str, None] = field(default_factory=dict)
    misses: dict[int, Miss] = field(default_factory=dict)
    letters: dict[str, tuple[int, DeadLetter]] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    counters: Multiset[str] = field(default_factory=Multiset)
    notices: dict[str, tuple[int, Notice]] = field(default_factory=dict)
    failing: dict[str, bool] = field(default_factory=dict)
    followers: dict[str, int] = field(default_factory=dict)  # until when, in monotonic ms
    chunks: dict[tuple[str, int, int], Chunk] = field(default_factory=dict)
    deeds: dict[int, Deed] = field(default_factory=dict)
    trimmed: int = 0
    horizon: Instant | None = None
    last_tick_at: Instant | None = None

    def copy(self) -> "State":
        """Give a state that goes its own way from here; the records in it never change."""
        made = replace(self)
        for name in _HELD:
            setattr(made, name, getattr(self, name).copy())
        made.seats = {session: replace(seat) for session, seat in self.seats.items()}
        return made

    def next(self) -> int:
        """Give a mark: no other record has it, ever."""
        self.mark += 1
        return self.mark

    def note(self, *deeds: Deed | None) -> None:
        """Add to the trail."""
        self.deeds.update({self.next(): each for each in deeds if each is not None})

    def unsettled(self) -> Iterator[Job]:
        """Give the jobs that have not settled."""
        return (self.jobs[job_id] for job_id in self.open)


_HELD = (
    "schedules",
    "tombstones",
    "revisions",
    "jobs",
    "places",
    "open",
    "misses",
    "letters",
    "outputs",
    "steps",
    "receipts",
    "counters",
    "notices",
    "failing",
    "followers",
    "chunks",
    "deeds",
)


class Memory:
    """What the handles share: the state, a lock that makes each verb whole, and who listens.

    `cluster`: as on etcd, a death shows when the lease is over, and a node's wall clock is known.
    """

    def __init__(self, clock: Clock, *, cluster: bool = False) -> None:
        self.clock = clock
        self.cluster = cluster
        self.state = State()
        self.lock = threading.RLock()
        self.listeners: tuple[Callable[[], None], ...] = ()

    def expire(self, session: str) -> None:
        """Let a session's lease be over, though its process lives."""
        seat = self.state.seats.get(session)
        if seat is not None:
            seat.beat = self.clock.monotonic() - seat.ttl

    def expire_lead(self, session: str) -> None:
        """Let a session's lease of the lead be over."""
        lead = self.state.lead
        if lead.session == session:
            self.state.lead = replace(lead, beat=self.clock.monotonic() - lead.ttl)

    def kill(self, session: str) -> None:
        """Let a session's process be gone, as the store sees it."""
        seat = self.state.seats.get(session)
        if seat is not None and not self.cluster:
            seat.dead = True

    @contextmanager
    def write(self) -> Iterator[State]:
        """Let one write be alone; whoever listens hears of it afterwards."""
        with self.lock:
            yield self.state
        for changed in self.listeners:
            changed()
