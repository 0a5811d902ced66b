"""The store as the rest of the house sees it: reads, and writes that hold if what was read stands.

No rule lives here. A backend compares and writes what a plan, an admission or a settlement says; it
knows no cron, misfire, overlap or retry. `now` is an argument wherever wall-clock time matters;
leases take none, as their time is the store's own. Batches answer item by item: one refused item
does not undo its neighbours, and a refusal is an answer, not an error. Everything that a verb that
writes has returned is durable (law 7).

Every verb may raise StoreError or one of its subclasses; after one the outcome of a write is
unknown to the caller unless the class says otherwise (StoreFull, StoreReadonly: nothing was
written), and reading back by key or token settles it. All methods may be called from several
threads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from synccron.model.change import Change
from synccron.model.chunk import Chunk
from synccron.model.copy import Record
from synccron.model.deed import Deed
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    DeadLetter,
    Job,
    Miss,
    Notice,
    Order,
    Output,
    Receipt,
    Settlement,
    State,
    Step,
)
from synccron.model.lease import Counter, Node, Session, Term, Totals
from synccron.model.plan import Due, Plan
from synccron.model.schedule import JsonText, Revision, Schedule, Tombstone
from synccron.model.time import SECOND, Duration, Instant

FOLLOWED: Duration = 15 * SECOND  # how long a job is followed since that was asked for

INTENTIONS_A_CHANGE = 6
DISCARDED = 100  # dead letters that are removed at once

# Asked of a job by its id, needs and instant, and the node that failed it (of a retry that waits).
Mine = Callable[[str, str, Instant, str | None], bool]

R = TypeVar(
    "R",
    Schedule,
    Tombstone,
    Due,
    Revision,
    Job,
    Output,
    Step,
    Receipt,
    Miss,
    DeadLetter,
    Notice,
    Deed,
    Chunk,
    Node,
    Term,
    Totals,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which records a read is for; every condition that is given must hold.

    `ids`: of schedules (also for Due and Tombstone), jobs (also for Output, Step and Receipt), dead
    letters, nodes. `schedule`: records that belong to it. `pattern`: a shell glob on the schedule's
    id. `labels`: all of these, on the schedule. `states`: of jobs. `decided`: of jobs, those that
    are no intentions. `since`: created, recorded or made at or after it. `paused_until`: schedules
    whose pause ends at or before it. `overdue`: schedules whose oldest undecided slot is
    before it (`undecided_at`); Totals counts them. `besides_queue` is no condition: schedules may
    come without `ahead`, for which some stores read all that waits of a schedule.
    """

    ids: Sequence[str] | None = None
    schedule: str | None = None
    pattern: str | None = None
    labels: Mapping[str, str] | None = None
    states: Sequence[State] | None = None
    decided: bool = False
    since: Instant | None = None
    paused_until: Instant | None = None
    overdue: Instant | None = None
    besides_queue: bool = False


EVERYTHING = Where()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the leader looks for at `now`: schedules that are not paused, nor tried again later.

    Those whose cursor is at or before `until`; and those with an intention that is before
    `overdue`, or is at or before now and needs what is not among `offered`.
    """

    now: Instant
    until: Instant
    overdue: Instant
    offered: frozenset[str]


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some records, and the mark to read on from (None: that was all).

    Schedules and nodes come by id, notices in their order; jobs, misses, dead letters, deeds and
    revisions newest first.
    """

    items: tuple[R, ...]
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What retention keeps.

    Settled jobs since `horizon`, at most `most` and at least `least` (the newest) of a schedule;
    keys and deeds since `keys`, at most `deeds` of these; `dead` letters, `dead_each` of one
    schedule. `bytes`: about so much history in all, where the store has a quota (None: no bound);
    `least` goes before it.
    """

    horizon: Instant
    keys: Instant
    most: int = 1000
    least: int = 20
    dead: int = 5000
    dead_each: int = 100
    deeds: int = 10_000
    bytes: int | None = None


class Store(Protocol):
    """A durable store of schedules, jobs and nodes; a context manager that closes it.

    `changes_at_once` is how many one `apply` takes (a change that touches intentions counts as one
    more for each `INTENTIONS_A_CHANGE`), `jobs_at_once` how many one plan may write.
    """

    changes_at_once: ClassVar[int]
    jobs_at_once: ClassVar[int]

    def __enter__(self) -> Self:
        """Give itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; sessions that have not left end as if their process had died."""

    def close(self) -> None:
        """Close it, like leaving its context."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed`, from any thread, whenever something may have changed, until closed.

        Changes by other processes come within milliseconds; a node that dies is a change.
        """

    # Reads: each call is one consistent view.

    def read(
        self, kind: type[R], where: Where = EVERYTHING, after: str | None = None, limit: int = 500
    ) -> Page[R]:
        """Read a page of any record. A Term is the current one (none: nobody leads)."""

    def due(self, look: Look, limit: int) -> Sequence[Due]:
        """Schedules that the leader has to look at, the longest due first."""

    def waiting(
        self,
        offers: frozenset[str],
        until: Instant,
        limit: int,
        mine: Mine = lambda *_: True,
        *,
        each: int | None = None,
        besides: AbstractSet[str] = frozenset(),
    ) -> Sequence[Candidate]:
        """Jobs that may start by `until` and need only what is offered, earliest first.

        `mine` tells which of them the caller wants to be given.
        Of what is queued or retried of a line no more than `each`, nor than its `max_running` has
        room for, and none of the lines `besides`. Also what has expired by `until`.
        Of a schedule whose jobs run alone, the first queued or retrying one (what has begun comes
        before what has not), its intentions, what has yet to replace others, and no more. Also
        retries whose instant is further ahead than their delay (the clock jumped back).
        """

    def active(self, schedule_id: str) -> Sequence[Job]:
        """Jobs of a schedule that run, are queued or wait for a retry: of each the first ACTIVE.

        Candidates have the same, without themselves; claims and orders compare it.
        """

    def needs(self) -> frozenset[str]:
        """What the schedules and the unsettled jobs need: `run`, and names of handlers."""

    def lost(self, limit: int) -> Sequence[Claim]:
        """Claims whose session has ended or let its lease run out."""

    def cancelling(self, at: Session) -> Sequence[str]:
        """Ids of the jobs that this session runs and somebody asked to cancel."""

    def followed(self, at: Session) -> frozenset[str]:
        """Ids of the jobs that this session runs and somebody follows."""

    # Writes.

    # A deed is written with what it tells of, in one transaction, and where nothing is, not at all.

    def apply(self, changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
        """Write all changes in one transaction, or none: False, as one does not stand as read."""

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        """Write each plan whole or not at all (law 3).

        False: its cursor has moved, or the wall clock, read again, is further than the lease from
        the instant that it was decided for.

        Raises StaleTerm: the term is over, nothing was written (law 4).
        """

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        """Make the job, or give the receipt of the first one of its key (job id) since `keep`.

        None: refused, as the schedule, its active jobs or the dead letter are not as the order asks
        for.
        """

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        """Do what each admission says; a claim gets a new fence (law 5).

        None: it was not a claim, or something has moved. A call that is repeated after an error
        gives the claims that the first one made. Raises SessionLost: nothing was written.
        """

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:
        """Write what follows each attempt's end; the record as written.

        None: a newer fence has the job, or (with `gone`) its session lives.
        """

    def remember(self, claim: Claim, key: str, value: JsonText) -> JsonText | None:
        """Keep a step's result; the first stays, and is given. None: a newer fence has the job."""

    def cancel(self, job_id: str, now: Instant, deed: Deed | None = None) -> Job | None:
        """Ask a job to end; one that has not started ends here. Its record; None: no such job."""

    def discard(self, dead: Sequence[str], deed: Deed | None = None) -> int:
        """Remove dead letters by id, DISCARDED at most; how many there were."""

    def follow(self, job_id: str) -> None:
        """Ask the node that runs a job to publish what it writes, for the next FOLLOWED ms.

        Of a job that has ended, or is not there, nothing follows.
        """

    def publish(self, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
        """Write chunks of output, and remove others that were written before."""

    def take(self, session: str | None, of: Sequence[Notice]) -> Sequence[Notice | None]:
        """Give notices to the node of a session, or (None) back to all; each that stands as read.

        As it stands then; None: another has it. A call that is repeated after an error may find
        its own writing: `session` tells.
        """

    def told(self, of: Sequence[Notice]) -> Sequence[bool]:
        """Remove notices that stand as read; which of them there were."""

    def prune(self, term: Term, limits: Limits, after: str | None) -> str | None:
        """Remove a bounded piece of what is older than the limits, never what is unsettled.

        Moves a schedule's `history_from` in the same transaction. Gives where to go on (None: the
        round is done). Raises StaleTerm.
        """

    def tally(self, counts: Mapping[Counter, int]) -> None:
        """Add to the counters of what no node did."""

    # Copies: the whole of a store, so that another one can go on with it.

    def dump(self) -> Iterator[Record]:
        """Give everything but nodes and who leads, in the order of `KINDS`, the Base first.

        It is one consistent view, of the instant of the first record, and needs little memory.
        """

    def load(self, records: Iterable[Record]) -> None:
        """Write everything that `dump` gave into this store, which has nothing yet.

        None of the jobs runs. Tokens and epochs go on from the Base (law 5). Raises Refused: the
        store is not empty, nothing was written. After another error it may be half written; then it
        can't be opened, or is empty.
        """

    # Nodes. The time of leases is the store's.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node; `node.session` is its session.

        Takes over a registration of the same id whose process is provably gone. Raises IdTaken: it
        may be alive; try again later.
        """

    def renew(self, at: Session) -> int:
        """Keep node and claims; waits for no other write. Raises SessionLost.

        Gives until when they surely stand, in ms of the clock's monotonic time.
        """

    def report(self, at: Session, node: Node) -> None:
        """Replace the node's record (offers, counters, running). Raises SessionLost."""

    def leave(self, at: Session) -> None:
        """End the session now, for the others' sake; its claims are lost."""

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it with a new `until`; None: another has it."""

    def resign(self, term: Term) -> None:
        """Hand over at once."""
