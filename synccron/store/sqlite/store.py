"""The SQLite store: each verb of the interface, as one short read or one piece of a group commit.

What the verbs do is in `schedules`, `jobs`, `nodes`, `prune` and `reading`; this file joins them to
the writer, the readers and the sessions, and says which of the three each needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

from synccron.clock import Clock
from synccron.errors import SessionLost
from synccron.model.change import Change
from synccron.model.chunk import Chunk
from synccron.model.copy import Record
from synccron.model.deed import Deed
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    Job,
    Notice,
    Order,
    Receipt,
    Settlement,
)
from synccron.model.lease import Counter, Node, Session, Term, Totals
from synccron.model.plan import Due, Plan
from synccron.model.schedule import JsonText
from synccron.model.time import Duration, Instant
from synccron.store.base import EVERYTHING, FOLLOWED, Limits, Look, Mine, Page, R, Where
from synccron.store.sqlite import (
    chunks,
    copy,
    jobs,
    nodes,
    notices,
    prune,
    reading,
    schedules,
    waiting,
)
from synccron.store.sqlite.connection import Readers, check, failed, version
from synccron.store.sqlite.create import create as create_database
from synccron.store.sqlite.deeds import insert_deeds
from synccron.store.sqlite.files import Files, find
from synccron.store.sqlite.records import line_up
from synccron.store.sqlite.schema import VERSION
from synccron.store.sqlite.sessions import Sessions
from synccron.store.sqlite.watcher import Signal
from synccron.store.sqlite.writer import Piece, Transaction, Writer

T = TypeVar("T")


def open_sqlite(
    path: str, *, create: bool, clock: Clock, timeout: Duration, synchronous: str
) -> "SqliteStore":
    """Open the store at a path; `create` makes it if it is not there.

    Raises StoreMissing, StoreDamaged, StoreForeign, StoreNewer, or StoreError where the place is
    not fit for a store.
    """
    files = find(path, create=create)
    sessions = Sessions(files, clock)
    if not files.database.exists():
        create_database(files, sessions, clock, timeout)
    store = SqliteStore(files, sessions, clock, timeout, synchronous)
    try:
        # What is wrong with the file is said now, not by the first verb.
        with store.readers.view() as db:
            older = version(db, files) < VERSION
            if create:
                check(db, files, clock)
        if older:  # reads know this layout alone: the first that comes makes it
            store.writer.write(lambda _: None)
    except BaseException:
        store.close()
        raise
    return store


class SqliteStore:
    """A store in one file, shared by the processes of one host; an implementation of Store."""

    changes_at_once: ClassVar[int] = 500
    jobs_at_once: ClassVar[int] = 500

    def __init__(
        self,
        files: Files,
        sessions: Sessions,
        clock: Clock,
        timeout: Duration,
        synchronous: str,
    ) -> None:
        self.files = files
        self.sessions = sessions
        self._clock = clock
        self.signal = Signal(files, sessions)
        self.readers = Readers(files, timeout, synchronous)
        self.writer = Writer(
            files,
            sessions,
            clock,
            timeout=timeout,
            synchronous=synchronous,
            committed=self.signal.committed,
        )

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it; sessions that have not left end as if their process had died."""
        self.sessions.close()
        self.writer.close()
        self.readers.close()
        self.signal.close()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed`, from any thread, whenever something may have changed."""
        self.signal.listen(changed)

    # Reads: each is one consistent view.

    def read(
        self, kind: type[R], where: Where = EVERYTHING, after: str | None = None, limit: int = 500
    ) -> Page[R]:
        """Read a page of any record."""
        with self.readers.view() as db:
            if cast("Any", kind) is Totals:
                return _page([reading.totals(db, where.overdue)])
            if cast("Any", kind) is Term:
                term = nodes.current_term(db, self.sessions)
                return _page([] if term is None else [term])
            shelf = reading.SHELVES[kind]
            items, more = reading.read_page(db, shelf, where, after, limit)
            if cast("Any", kind) is Due:
                items = [reading.due_of(db, schedule) for schedule in items]
            if cast("Any", kind) is Node:
                items = nodes.nodes_of(items, self.sessions, self._clock)
            return _page(items, more)

    def due(self, look: Look, limit: int) -> Sequence[Due]:
        """Read the schedules that the leader has to look at."""
        with self.readers.view() as db:
            return reading.due(db, look, limit)

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
        """Read the jobs that may start."""
        with self.readers.view() as db:
            return waiting.waiting(db, offers, until, limit, mine, each=each, besides=besides)

    def active(self, schedule_id: str) -> Sequence[Job]:
        """Read the jobs of a schedule that run, are queued or wait for a retry."""
        with self.readers.view() as db:
            return waiting.active(db, schedule_id)

    def needs(self) -> frozenset[str]:
        """Read what the schedules and the unsettled jobs need."""
        with self.readers.view() as db:
            return reading.needs(db)

    def lost(self, limit: int) -> Sequence[Claim]:
        """Read the claims of sessions that are gone."""
        with self.readers.view() as db:
            return jobs.lost(db, self.sessions, limit)

    def cancelling(self, at: Session) -> Sequence[str]:
        """Read which jobs of this session somebody asked to cancel."""
        with self.readers.view() as db:
            rows = db.execute(
                "SELECT id FROM jobs"
                " WHERE state = 'running' AND session = ? AND cancel_requested_at IS NOT NULL",
                (at.id,),
            )
            return [job_id for (job_id,) in rows]

    def followed(self, at: Session) -> frozenset[str]:
        """Read which jobs of this session somebody follows."""
        with self.readers.view() as db:
            return chunks.followed(db, at, self._clock.monotonic())

    # Writes: each is a piece of a group commit.

    def apply(self, changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
        """Write all changes, or none."""
        now = self._clock.now()
        return self._write(lambda transaction: schedules.apply(transaction, changes, now, deeds))

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        """Write each plan whole or not at all."""
        return self._write(
            lambda transaction: schedules.dispatch(
                transaction, self.sessions, self._clock, term, plans
            )
        )

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        """Make the job, or give the receipt of the first one of its key."""
        return self._write(lambda transaction: jobs.enqueue(transaction, order, keep))

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        """Do what each admission says."""
        return self._write(lambda transaction: jobs.claim(transaction, at, admissions, now))

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:  # noqa: ARG002 - the records bear it
        """Write what follows each attempt's end."""

        def piece(transaction: Transaction) -> list[Job | None]:
            written = jobs.settle(transaction, self.sessions, settlements)
            for session in {each.claim.session for each in settlements if each.gone}:
                nodes.end_idle(transaction, self.sessions, session)
            return written

        return self._write(piece)

    def remember(self, claim: Claim, key: str, value: JsonText) -> JsonText | None:
        """Keep a step's result; the first stays."""
        return self._write(lambda transaction: jobs.remember(transaction, claim, key, value))

    def cancel(self, job_id: str, now: Instant, deed: Deed | None = None) -> Job | None:
        """Ask a job to end."""
        return self._write(lambda transaction: jobs.cancel(transaction, job_id, now, deed))

    def discard(self, dead: Sequence[str], deed: Deed | None = None) -> int:
        """Remove dead letters by id."""

        def piece(transaction: Transaction) -> int:
            gone = sum(
                transaction.db.execute("DELETE FROM dead_letters WHERE id = ?", (each,)).rowcount
                for each in dead
            )
            if gone and deed is not None:
                insert_deeds(transaction, [deed])
            return gone

        return self._write(piece)

    def follow(self, job_id: str) -> None:
        """Ask the node that runs a job to publish what it writes."""
        now = self._clock.monotonic()
        self._write(lambda transaction: chunks.follow(transaction, job_id, now, now + FOLLOWED))

    def publish(self, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
        """Write chunks of output, and remove others."""
        self._write(lambda transaction: chunks.publish(transaction, fresh, gone))

    def take(self, session: str | None, of: Sequence[Notice]) -> Sequence[Notice | None]:
        """Give notices to a session, or back."""
        return self._write(lambda transaction: notices.take(transaction, session, of))

    def told(self, of: Sequence[Notice]) -> Sequence[bool]:
        """Remove notices; which were there."""
        return self._write(lambda transaction: notices.told(transaction, of))

    def prune(self, term: Term, limits: Limits, after: str | None) -> str | None:
        """Remove a bounded piece of what is older than the limits."""
        with self.readers.view() as db:
            schedules.check_term(db, self.sessions, term)
            found = prune.find(db, limits, after)
            (horizon,) = db.execute("SELECT coalesce(max(horizon), 0) FROM meta").fetchone()
            idle = found.after is None and any(
                jobs.gone(db, self.sessions, session)
                for (session,) in db.execute("SELECT session FROM nodes")
            )
        if found.remove is None and not idle and horizon >= limits.horizon:
            return found.after

        def piece(transaction: Transaction) -> None:
            schedules.check_term(transaction.db, self.sessions, term)
            transaction.db.execute(
                "UPDATE meta SET horizon = max(coalesce(horizon, 0), ?)", (limits.horizon,)
            )
            if found.remove is not None:
                found.remove(transaction)
            if idle:
                nodes.end_dead(transaction, self.sessions)

        self._write(piece)
        return found.after

    def tally(self, counts: Mapping[Counter, int]) -> None:
        """Add to the counters of what no node did."""
        self._write(lambda transaction: nodes.count(transaction.db, counts))

    # Copies.

    def dump(self) -> Iterator[Record]:
        """Give everything but nodes, as it is at this instant."""
        return copy.dump(self.readers)

    def load(self, records: Iterable[Record]) -> None:
        """Write everything into this store, which has nothing yet."""
        self._write(lambda transaction: copy.load(transaction, records))

    # Nodes.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node."""
        try:
            self._open_session(node.session, ttl)
            self._write(lambda transaction: nodes.join(transaction, self.sessions, node))
        except BaseException:
            self.sessions.remove(node.session)
            raise
        file = self.sessions.file(node.session)
        return Session(node=node.id, id=node.session, ttl=ttl, file=file)

    def renew(self, at: Session) -> int:
        """Keep node and claims; touches memory alone, and waits for no write."""
        try:
            with self.readers.view() as db:
                jobs.check_session(db, at)
        except SessionLost:
            self.sessions.let_go(at.id)
            raise
        now = self._clock.monotonic()
        self.sessions.beat(at.id)
        return now + at.ttl

    def report(self, at: Session, node: Node) -> None:
        """Replace the node's record."""
        self._write(lambda transaction: nodes.report(transaction, at, node))

    def leave(self, at: Session) -> None:
        """End the session now."""
        self._write(lambda transaction: nodes.end(transaction, self.sessions, at.id))

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it; keeping it touches memory alone."""
        now = self._clock.monotonic()
        with self.readers.view() as db:
            term = nodes.current_term(db, self.sessions)
        if term is None:
            return self._write(
                lambda transaction: nodes.take_lead(
                    transaction, self.sessions, self._clock, at, ttl
                )
            )
        if term.session != at.id or not self.sessions.beat_lease(at.id, now, ttl):
            return None
        return Term(
            node=term.node, session=term.session, epoch=term.epoch, ttl=ttl, until=now + ttl
        )

    def resign(self, term: Term) -> None:
        """Hand over at once."""
        self._write(lambda transaction: nodes.resign(transaction, term))

    def _open_session(self, session: str, ttl: Duration) -> None:
        try:
            self.sessions.open(session, ttl)
        except OSError as error:
            raise failed(error, self.files) from error

    def _write(self, piece: Piece[T]) -> T:
        def whole(transaction: Transaction) -> T:
            result = piece(transaction)
            line_up(transaction)
            return result

        return self.writer.write(whole)


def _page(items: Sequence[Any], after: str | None = None) -> Page[Any]:
    return Page(tuple(items), after)
