"""A store in memory, for simulations: it compares what the real stores compare, and forgets all.

It passes the contract of tests/contract/.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import ClassVar, Self

from synccron.clock import Clock
from synccron.errors import IdTaken
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
    Step,
    bare,
)
from synccron.model.lease import Counter, Node, Session, Term
from synccron.model.plan import Due, Plan
from synccron.model.schedule import JsonText
from synccron.model.time import Duration, Instant
from synccron.store.base import EVERYTHING, FOLLOWED, Limits, Look, Mine, Page, R, Where
from tests.simulation.memory import copies, reading
from tests.simulation.memory.jobs import (
    active_of,
    forget,
    insert,
    order_stands,
    pinned,
    update,
    write_admission,
    write_settlement,
)
from tests.simulation.memory.nodes import (
    alive,
    check_session,
    check_term,
    current_term,
    end_idle,
    end_session,
)
from tests.simulation.memory.notes import take_notice, untold
from tests.simulation.memory.retention import move_history, old_jobs, prune_rest
from tests.simulation.memory.schedules import change_stands, look_at, write_change, write_plan
from tests.simulation.memory.state import Lead, Memory, Seat
from tests.simulation.memory.waiting import waiting

PIECE = 500  # jobs that one piece of a round of retention removes


class MemoryStore:
    """A handle; an implementation of Store."""

    changes_at_once: ClassVar[int] = 500
    jobs_at_once: ClassVar[int] = 500

    def __init__(self, memory: Memory, clock: Clock | None = None) -> None:
        self.memory = memory
        self._clock = clock or memory.clock

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
        """Close it."""

    @contextmanager
    def torn(self) -> Iterator[None]:
        """Let the process that writes be killed within the write: it is whole all the same."""
        yield

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each write."""
        self.memory.listeners = (*self.memory.listeners, changed)

    # Reads.

    def read(
        self, kind: type[R], where: Where = EVERYTHING, after: str | None = None, limit: int = 500
    ) -> Page[R]:
        """Read a page of any record."""
        with self.memory.lock:
            return reading.read(self.memory, kind, where, self._clock.now(), after, limit)

    def due(self, look: Look, limit: int) -> Sequence[Due]:
        """Read the schedules that the leader has to look at."""
        with self.memory.lock:
            return look_at(self.memory, look)[:limit]

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
        with self.memory.lock:
            share = limit if each is None else each
            return waiting(self.memory, offers, until, limit, mine, share, besides)

    def active(self, schedule_id: str) -> Sequence[Job]:
        """Read the jobs of a schedule that run, are queued or wait for a retry."""
        with self.memory.lock:
            return active_of(self.memory, schedule_id)

    def needs(self) -> frozenset[str]:
        """Read what the schedules and the unsettled jobs need."""
        with self.memory.lock:
            found = {each.definition.needs for each in self.memory.state.schedules.values()}
            return frozenset(found | {job.needs for job in self.memory.state.unsettled()})

    def lost(self, limit: int) -> Sequence[Claim]:
        """Read the claims of sessions that are gone."""
        with self.memory.lock:
            gone = [
                job
                for job in self.memory.state.unsettled()
                if job.state == "running" and not alive(self.memory, job.session)
            ]
            return [
                Claim(
                    job=job,
                    definition=pinned(self.memory, job) or bare(job),
                    session=job.session or "",
                    fence=job.fence or 0,
                )
                for job in gone[:limit]
            ]

    def cancelling(self, at: Session) -> Sequence[str]:
        """Read which jobs of this session somebody asked to cancel."""
        with self.memory.lock:
            return [
                job.id
                for job in self.memory.state.unsettled()
                if job.state == "running"
                and job.session == at.id
                and job.cancel_requested_at is not None
            ]

    def followed(self, at: Session) -> frozenset[str]:
        """Read which jobs of this session somebody follows."""
        with self.memory.lock:
            now, until = self.memory.clock.monotonic(), self.memory.state.followers
            return frozenset(
                job.id
                for job in self.memory.state.unsettled()
                if job.state == "running" and job.session == at.id and until.get(job.id, -1) >= now
            )

    # Writes. Each compares all that it was decided from before it changes anything.

    def apply(self, changes: Sequence[Change], deeds: Sequence[Deed] = ()) -> bool:
        """Write all changes, or none."""
        with self.memory.write():
            if not all(change_stands(self.memory, each) for each in changes):
                return False
            for change in changes:
                write_change(self.memory, change, self._clock.now())
            self.memory.state.note(*deeds)
            return True

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        """Write each plan whole or not at all."""
        with self.memory.write():
            check_term(self.memory, term)
            return [write_plan(self.memory, term, plan, self._clock.now()) for plan in plans]

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        """Make the job, or give the receipt of the first one of its key."""
        with self.memory.write():
            state, job = self.memory.state, order.job
            known = state.receipts.get(job.id)
            if known is not None and (known.at >= keep or job.id in state.open):
                return replace(known, new=False)
            if not order_stands(self.memory, order):
                return None
            if job.id in state.jobs:
                forget(self.memory, job.id)
            insert(self.memory, job)
            if order.dead is not None:
                state.letters.pop(order.dead, None)
            state.note(order.deed)
            made = Receipt(
                job_id=job.id, at=job.created_at, digest=order.digest, state=job.state, new=True
            )
            state.receipts[job.id] = made
            return made

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        """Do what each admission says."""
        with self.memory.write():
            check_session(self.memory, at)
            return [write_admission(self.memory, at, admission, now) for admission in admissions]

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:  # noqa: ARG002 - the records bear it
        """Write what follows each attempt's end."""
        with self.memory.write():
            written = [write_settlement(self.memory, each) for each in settlements]
            for session in {each.claim.session for each in settlements if each.gone}:
                end_idle(self.memory, session)
            return written

    def remember(self, claim: Claim, key: str, value: JsonText) -> JsonText | None:
        """Keep a step's result; the first stays."""
        with self.memory.write():
            job = self.memory.state.jobs.get(claim.job.id)
            if job is None or job.state != "running" or job.fence != claim.fence:
                return None
            step = Step(job_id=job.id, key=key, value=value)
            return self.memory.state.steps.setdefault((job.id, key), step).value

    def cancel(self, job_id: str, now: Instant, deed: Deed | None = None) -> Job | None:
        """Ask a job to end."""
        with self.memory.write():
            job = self.memory.state.jobs.get(job_id)
            if job is None or job.settled or job.cancel_requested_at is not None:
                return job
            asked = replace(job, cancel_requested_at=now)
            if job.state != "running":
                asked = replace(asked, state="cancelled", finished_at=now)
            self.memory.state.note(deed)
            return update(self.memory, asked)

    def discard(self, dead: Sequence[str], deed: Deed | None = None) -> int:
        """Remove dead letters by id."""
        with self.memory.write() as state:
            gone = sum(state.letters.pop(each, None) is not None for each in dead)
            state.note(deed if gone else None)
            return gone

    def prune(self, term: Term, limits: Limits, after: str | None) -> str | None:
        """Remove a bounded piece of what is older than the limits."""
        with self.memory.write():
            check_term(self.memory, term)
            state = self.memory.state
            state.horizon = max(state.horizon or 0, limits.horizon)
            if after != "rest":
                doomed = old_jobs(self.memory, limits)
                for job in doomed[:PIECE]:
                    forget(self.memory, job.id)
                    move_history(self.memory, job)
                return "jobs" if len(doomed) > PIECE else "rest"
            prune_rest(self.memory, limits)
            for session in list(state.seats):
                end_idle(self.memory, session)
            return None

    def follow(self, job_id: str) -> None:
        """Ask the node that runs a job to publish what it writes."""
        with self.memory.write():
            if job_id in self.memory.state.open:
                self.memory.state.followers[job_id] = self.memory.clock.monotonic() + FOLLOWED

    def publish(self, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
        """Write chunks of output, and remove others."""
        with self.memory.write():
            chunks = self.memory.state.chunks
            for each in gone:
                chunks.pop((each.job_id, each.attempt, each.at), None)
            for each in fresh:
                chunks[(each.job_id, each.attempt, each.at)] = each

    def take(self, session: str | None, of: Sequence[Notice]) -> Sequence[Notice | None]:
        """Give notices to a session, or (None) back to all; each that stands as read."""
        with self.memory.write():
            return [take_notice(self.memory, session, each) for each in of]

    def told(self, of: Sequence[Notice]) -> Sequence[bool]:
        """Remove notices that stand as read."""
        with self.memory.write():
            stands = [untold(self.memory, each) for each in of]
            for each in of:
                if untold(self.memory, each):
                    del self.memory.state.notices[each.id]
            return stands

    def tally(self, counts: Mapping[Counter, int]) -> None:
        """Add to the counters of what no node did."""
        with self.memory.write():
            self.memory.state.counters.update(counts)

    # Copies.

    def dump(self) -> Iterator[Record]:
        """Give everything but nodes, as it is at this instant."""
        return copies.dump(self.memory.state.copy())

    def load(self, records: Iterable[Record]) -> None:
        """Write everything into this store, which has nothing yet."""
        with self.memory.write():
            self.memory.state = copies.loaded(self.memory.state, records)

    # Nodes.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node."""
        with self.memory.write():
            for session, seat in list(self.memory.state.seats.items()):
                if seat.node.id == node.id:
                    if alive(self.memory, session):
                        raise IdTaken(f"a node with the id {node.id} may be alive")
                    end_session(self.memory, session)
            beat = self.memory.clock.monotonic()
            seat = Seat(node, ttl, beat, self._clock.now() - beat)
            self.memory.state.seats[node.session] = seat
            return Session(node=node.id, id=node.session, ttl=ttl)

    def renew(self, at: Session) -> int:
        """Keep node and claims."""
        with self.memory.lock:
            check_session(self.memory, at)
            now = self.memory.clock.monotonic()
            self.memory.state.seats[at.id].beat = now
            return now + at.ttl

    def report(self, at: Session, node: Node) -> None:
        """Replace the node's record."""
        with self.memory.write():
            check_session(self.memory, at)
            seat = self.memory.state.seats[at.id]
            seat.node = replace(node, session=at.id)
            seat.wall = self._clock.now() - self.memory.clock.monotonic()

    def leave(self, at: Session) -> None:
        """End the session now."""
        with self.memory.write():
            end_session(self.memory, at.id)

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it."""
        with self.memory.write():
            now, lead = self.memory.clock.monotonic(), self.memory.state.lead
            current = current_term(self.memory)
            if current is None:
                if not alive(self.memory, at.id):
                    return None
                lead = Lead(lead.epoch + 1, at.id, at.node, ttl, now)
            elif current.session != at.id:
                return None
            self.memory.state.lead = replace(lead, ttl=ttl, beat=now)
            return current_term(self.memory)

    def resign(self, term: Term) -> None:
        """Hand over at once."""
        with self.memory.write():
            lead = self.memory.state.lead
            if (lead.session, lead.epoch) == (term.session, term.epoch):
                self.memory.state.lead = replace(lead, session=None)
