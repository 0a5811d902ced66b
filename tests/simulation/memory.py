"""A store in memory, for simulations: it compares what the real stores compare, and forgets all.

It passes the contract of tests/contract/. Its records are the model's own values, kept in a `State`
that can be copied, so that an explorer can go back and try another way. Time is the clock's alone.
"""

import fnmatch
import threading
from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from synccron.clock import Clock
from synccron.errors import IdTaken, SessionLost, StaleTerm
from synccron.model.change import Change
from synccron.model.chunk import Chunk
from synccron.model.copy import Record
from synccron.model.job import (
    ACTIVE,
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
    Step,
    bare,
    claimed,
)
from synccron.model.lease import Counter, Node, Session, Term, Totals
from synccron.model.plan import Due, Plan
from synccron.model.schedule import Definition, JsonText, Revision, Schedule, Tombstone
from synccron.model.time import SECOND, Duration, Instant
from synccron.store.base import EVERYTHING, FOLLOWED, Limits, Look, Mine, Page, R, Where

PIECE = 500  # jobs that one piece of a round of retention removes


@dataclass(slots=True)
class Seat:
    """A session: its node's record, and its last heartbeat in monotonic ms."""

    node: Node
    ttl: Duration
    beat: int
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
)


class Memory:
    """What the handles share: the state, a lock that makes each verb whole, and who listens."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.state = State()
        self.lock = threading.RLock()
        self.listeners: tuple[Callable[[], None], ...] = ()

    def expire(self, session: str) -> None:
        """Let a session's lease be over, though its process lives."""
        seat = self.state.seats.get(session)
        if seat is not None:
            seat.beat = self.clock.monotonic() - seat.ttl

    def kill(self, session: str) -> None:
        """Let a session's process be gone, as the store sees it."""
        seat = self.state.seats.get(session)
        if seat is not None:
            seat.dead = True


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

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after each write."""
        self.memory.listeners = (*self.memory.listeners, changed)

    # Reads.

    def read(
        self, kind: type[R], where: Where = EVERYTHING, after: str | None = None, limit: int = 500
    ) -> Page[R]:
        """Read a page of any record."""
        with self.memory.lock:
            found, newest = _SHELVES[kind](self, where)
            return _page(found, after, limit, newest=newest)

    def due(self, look: Look, limit: int) -> Sequence[Due]:
        """Read the schedules that the leader has to look at."""
        with self.memory.lock:
            state = self._state
            late: dict[str, Instant] = {}
            for job in self._open():
                if (
                    job.intention
                    and job.run_at <= look.now
                    and (job.run_at < look.overdue or job.needs not in look.offered)
                ):
                    name = job.schedule_id or ""
                    late[name] = min(job.run_at, late.get(name, job.run_at))
            found: list[tuple[Instant, str]] = []
            for schedule in state.schedules.values():
                cursor, name = schedule.cursor, schedule.id
                if cursor.retry_at is not None and cursor.retry_at > look.now:
                    continue
                at = [late[name]] if name in late else []
                if not schedule.paused and cursor.due_at <= look.until:
                    at.append(cursor.due_at)
                if at:
                    found.append((min(at), name))
            return [self._due(name) for _, name in sorted(found)[:limit]]

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
            heads = self._heads()
            ready = sorted(
                (
                    job
                    for job in self._open()
                    if job.state != "running"
                    and job.needs in offers
                    and (
                        not job.alone
                        or job.intention
                        or job.replaces
                        or heads.get(job.schedule_id) == job.id
                    )
                ),
                key=lambda job: (job.run_at, self._state.places[job.id]),
            )
            found = self._shared(
                (job for job in ready if job.run_at <= until and mine(*_asked(job))),
                limit if each is None else each,
                besides,
            )
            found += [
                job
                for job in ready
                if job.retry_delay is not None and job.run_at - job.retry_delay > until
            ]
            given = {job.id for job in found}
            found += [
                job
                for job in self._open()
                if job.state == "queued"
                and job.expires_at is not None
                and job.expires_at < until
                and job.id not in given
                and job.needs in offers
                and mine(*_asked(job))
            ]
            return [self._candidate(job) for job in found[:limit]]

    def _shared(self, jobs: Iterable[Job], each: int, besides: AbstractSet[str]) -> list[Job]:
        """Leave out what a line has beyond its share."""
        left: dict[str, int] = {}
        found = []
        for job in jobs:
            if not job.intention and not job.replaces:
                room = each if job.max_running is None else job.max_running - self._running(job)
                left.setdefault(job.line, 0 if job.line in besides else min(each, room))
                left[job.line] -= 1
                if left[job.line] < 0:
                    continue
            found.append(job)
        return found

    def _running(self, job: Job) -> int:
        return sum(
            other.state == "running" and other.schedule_id == job.schedule_id
            for other in self._open()
        )

    def active(self, schedule_id: str) -> Sequence[Job]:
        """Read the jobs of a schedule that run, are queued or wait for a retry."""
        with self.memory.lock:
            return self._active(schedule_id)

    def needs(self) -> frozenset[str]:
        """Read what the schedules and the unsettled jobs need."""
        with self.memory.lock:
            found = {each.definition.needs for each in self._state.schedules.values()}
            return frozenset(found | {job.needs for job in self._open()})

    def lost(self, limit: int) -> Sequence[Claim]:
        """Read the claims of sessions that are gone."""
        with self.memory.lock:
            gone = [
                job
                for job in self._open()
                if job.state == "running" and not self._alive(job.session)
            ]
            return [
                Claim(
                    job=job,
                    definition=self._pinned(job) or bare(job),
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
                for job in self._open()
                if job.state == "running"
                and job.session == at.id
                and job.cancel_requested_at is not None
            ]

    def followed(self, at: Session) -> frozenset[str]:
        """Read which jobs of this session somebody follows."""
        with self.memory.lock:
            now, until = self.memory.clock.monotonic(), self._state.followers
            return frozenset(
                job.id
                for job in self._open()
                if job.state == "running" and job.session == at.id and until.get(job.id, -1) >= now
            )

    # Writes. Each compares all that it was decided from before it changes anything.

    def apply(self, changes: Sequence[Change]) -> bool:
        """Write all changes, or none."""
        with self._write():
            if not all(map(self._change_stands, changes)):
                return False
            for change in changes:
                self._apply(change)
            return True

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        """Write each plan whole or not at all."""
        with self._write():
            self._check_term(term)
            return [self._dispatch(term, plan) for plan in plans]

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        """Make the job, or give the receipt of the first one of its key."""
        with self._write():
            state, job = self._state, order.job
            known = state.receipts.get(job.id)
            if known is not None and (known.at >= keep or job.id in state.open):
                return replace(known, new=False)
            if not self._order_stands(order):
                return None
            if job.id in state.jobs:
                self._forget(job.id)
            self._insert(job)
            if order.dead is not None:
                state.letters.pop(order.dead, None)
            made = Receipt(
                job_id=job.id, at=job.created_at, digest=order.digest, state=job.state, new=True
            )
            state.receipts[job.id] = made
            return made

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        """Do what each admission says."""
        with self._write():
            self._check_session(at)
            return [self._admit(at, admission, now) for admission in admissions]

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:  # noqa: ARG002 - the records bear it
        """Write what follows each attempt's end."""
        with self._write():
            written = [self._settle(each) for each in settlements]
            for session in {each.claim.session for each in settlements if each.gone}:
                self._end_idle(session)
            return written

    def remember(self, claim: Claim, key: str, value: JsonText) -> JsonText | None:
        """Keep a step's result; the first stays."""
        with self._write():
            job = self._state.jobs.get(claim.job.id)
            if job is None or job.state != "running" or job.fence != claim.fence:
                return None
            step = Step(job_id=job.id, key=key, value=value)
            return self._state.steps.setdefault((job.id, key), step).value

    def cancel(self, job_id: str, now: Instant) -> Job | None:
        """Ask a job to end."""
        with self._write():
            job = self._state.jobs.get(job_id)
            if job is None or job.settled or job.cancel_requested_at is not None:
                return job
            asked = replace(job, cancel_requested_at=now)
            if job.state != "running":
                asked = replace(asked, state="cancelled", finished_at=now)
            return self._update(asked)

    def discard(self, dead: Sequence[str]) -> int:
        """Remove dead letters by id."""
        with self._write():
            return sum(self._state.letters.pop(each, None) is not None for each in dead)

    def prune(self, term: Term, limits: Limits, after: str | None) -> str | None:
        """Remove a bounded piece of what is older than the limits."""
        with self._write():
            self._check_term(term)
            state = self._state
            state.horizon = max(state.horizon or 0, limits.horizon)
            if after != "rest":
                doomed = self._old_jobs(limits)
                for job in doomed[:PIECE]:
                    self._forget(job.id)
                    self._move_history(job)
                return "jobs" if len(doomed) > PIECE else "rest"
            self._prune_rest(limits)
            for session in list(state.seats):
                self._end_idle(session)
            return None

    def follow(self, job_id: str) -> None:
        """Ask the node that runs a job to publish what it writes."""
        with self._write():
            if job_id in self._state.open:
                self._state.followers[job_id] = self.memory.clock.monotonic() + FOLLOWED

    def publish(self, fresh: Sequence[Chunk], gone: Sequence[Chunk]) -> None:
        """Write chunks of output, and remove others."""
        with self._write():
            chunks = self._state.chunks
            for each in gone:
                chunks.pop((each.job_id, each.attempt, each.at), None)
            for each in fresh:
                chunks[(each.job_id, each.attempt, each.at)] = each

    def take(self, session: str | None, of: Sequence[Notice]) -> Sequence[Notice | None]:
        """Give notices to a session, or (None) back to all; each that stands as read."""
        with self._write():
            return [self._take(session, each) for each in of]

    def told(self, of: Sequence[Notice]) -> Sequence[bool]:
        """Remove notices that stand as read."""
        with self._write():
            stands = [self._untold(each) for each in of]
            for each in of:
                if self._untold(each):
                    del self._state.notices[each.id]
            return stands

    def tally(self, counts: Mapping[Counter, int]) -> None:
        """Add to the counters of what no node did."""
        with self._write():
            self._state.counters.update(counts)

    # Copies.

    def dump(self) -> Iterator[Record]:
        """Give everything but nodes, as it is at this instant."""
        from tests.simulation.copies import dump

        return dump(self._state.copy())

    def load(self, records: Iterable[Record]) -> None:
        """Write everything into this store, which has nothing yet."""
        from tests.simulation.copies import loaded

        with self._write():
            self.memory.state = loaded(self._state, records)

    # Nodes.

    def join(self, node: Node, ttl: Duration) -> Session:
        """Register a node."""
        with self._write():
            for session, seat in list(self._state.seats.items()):
                if seat.node.id == node.id:
                    if self._alive(session):
                        raise IdTaken(f"a node with the id {node.id} may be alive")
                    self._end(session)
            self._state.seats[node.session] = Seat(node, ttl, self._clock.monotonic())
            return Session(node=node.id, id=node.session, ttl=ttl)

    def renew(self, at: Session) -> int:
        """Keep node and claims."""
        with self.memory.lock:
            self._check_session(at)
            now = self._clock.monotonic()
            self._state.seats[at.id].beat = now
            return now + at.ttl

    def report(self, at: Session, node: Node) -> None:
        """Replace the node's record."""
        with self._write():
            self._check_session(at)
            self._state.seats[at.id].node = replace(node, session=at.id)

    def leave(self, at: Session) -> None:
        """End the session now."""
        with self._write():
            self._end(at.id)

    def campaign(self, at: Session, ttl: Duration) -> Term | None:
        """Take the lead, or keep it."""
        with self._write():
            now, lead = self._clock.monotonic(), self._state.lead
            current = self._term()
            if current is None:
                if not self._alive(at.id):
                    return None
                lead = Lead(lead.epoch + 1, at.id, at.node, ttl, now)
            elif current.session != at.id:
                return None
            self._state.lead = replace(lead, ttl=ttl, beat=now)
            return self._term()

    def resign(self, term: Term) -> None:
        """Hand over at once."""
        with self._write():
            lead = self._state.lead
            if (lead.session, lead.epoch) == (term.session, term.epoch):
                self._state.lead = replace(lead, session=None)

    # What the verbs are made of.

    @property
    def _state(self) -> State:
        return self.memory.state

    def _write(self) -> "_Write":
        return _Write(self.memory)

    def _open(self) -> Iterator[Job]:
        return (self._state.jobs[job_id] for job_id in self._state.open)

    def _alive(self, session: str | None) -> bool:
        seat = self._state.seats.get(session or "")
        return seat is not None and not seat.dead and self._clock.monotonic() - seat.beat < seat.ttl

    def _term(self) -> Term | None:
        lead = self._state.lead
        until = lead.beat + lead.ttl
        seat = self._state.seats.get(lead.session or "")
        if lead.session is None or seat is None or seat.dead or self._clock.monotonic() >= until:
            return None
        return Term(
            node=lead.node, session=lead.session, epoch=lead.epoch, ttl=lead.ttl, until=until
        )

    def _check_term(self, term: Term) -> None:
        # Law 4: against a leader that was deposed, or slept past its lease.
        current = self._term()
        if current is None or (current.session, current.epoch) != (term.session, term.epoch):
            raise StaleTerm(f"the term {term.epoch} of node {term.node} is over")

    def _check_session(self, at: Session) -> None:
        # Law 5: against a node whose session has ended, and whose claims others took.
        if at.id not in self._state.seats:
            raise SessionLost(f"the session {at.id} of node {at.node} has ended")

    def _end(self, session: str) -> None:
        state, seat = self._state, self._state.seats.pop(session, None)
        if seat is not None:
            state.counters.update(seat.node.counters)
            ticks = [at for at in (seat.node.ticked_at, state.last_tick_at) if at is not None]
            state.last_tick_at = max(ticks, default=None)
        if state.lead.session == session:
            state.lead = replace(state.lead, session=None)

    def _end_idle(self, session: str) -> None:
        claims = any(job.session == session for job in self._open() if job.state == "running")
        if not claims and not self._alive(session):
            self._end(session)

    def _intentions(self, schedule_id: str) -> list[Job]:
        found = (job for job in self._open() if job.schedule_id == schedule_id and job.intention)
        return sorted(found, key=lambda job: job.run_at)

    def _schedule(self, schedule_id: str) -> Schedule:
        first = next(iter(self._intentions(schedule_id)), None)
        stored = self._state.schedules[schedule_id]
        return replace(stored, ahead=None if first is None else first.run_at)

    def _due(self, schedule_id: str) -> Due:
        schedule = self._schedule(schedule_id)
        start = schedule.cursor.next
        taken = (
            job.slot
            for job in self._state.jobs.values()
            if job.schedule_id == schedule_id and job.kind == "slot"
        )
        return Due(
            schedule=schedule,
            intentions=tuple(self._intentions(schedule_id)),
            taken=frozenset(slot for slot in taken if slot is not None and slot >= start),
            missed=tuple(
                miss
                for miss in self._state.misses.values()
                if miss.schedule_id == schedule_id and miss.last >= start
            ),
        )

    def _active(self, schedule_id: str | None, besides: str = "") -> tuple[Job, ...]:
        phases: dict[str, list[Job]] = {}
        for other in self._open():
            if other.schedule_id == schedule_id and other.id != besides and not other.intention:
                phases.setdefault(other.state, []).append(other)
        found = [each for phase in phases.values() for each in sorted(phase, key=_rank)[:ACTIVE]]
        return tuple(sorted(found, key=_rank))

    def _heads(self) -> dict[str | None, str]:
        """Find the first of the jobs of each schedule that run alone and wait."""
        busy = {job.schedule_id for job in self._open() if job.alone and job.state == "running"}
        first: dict[str | None, Job] = {}
        for job in self._open():
            if job.alone and not job.intention and job.schedule_id not in busy:
                known = first.get(job.schedule_id)
                if known is None or _place_in_line(job) < _place_in_line(known):
                    first[job.schedule_id] = job
        return {name: job.id for name, job in first.items()}

    def _pinned(self, job: Job) -> Definition | None:
        kept = self._state.revisions.get(job.schedule_id or "", ())
        return next((each.definition for each in kept if each.version == job.revision), None)

    def _candidate(self, job: Job) -> Candidate:
        lone = job.alone and job.schedule_id is not None
        active = self._active(job.schedule_id, job.id) if lone else ()
        if job.schedule_id is None:
            return Candidate(job=job, definition=bare(job), active=active)
        running = 0 if job.max_running is None else self._running(job)
        if not job.intention:
            pinned = self._pinned(job)
            return Candidate(job=job, definition=pinned, active=active, running=running)
        schedule = self._state.schedules.get(job.schedule_id)
        if schedule is None:
            return Candidate(job=job, definition=None, active=active)
        return Candidate(
            job=job,
            definition=schedule.definition,
            version=schedule.version,
            running=running,
            seen=schedule.mod,
            active=active,
        )

    # Jobs.

    def _insert(self, job: Job) -> Job:
        marked = replace(job, mod=self._state.next())
        self._state.jobs[job.id] = marked
        self._state.places[job.id] = marked.mod
        self._state.open[job.id] = None
        return marked

    def _update(self, job: Job) -> Job:
        state, marked = self._state, replace(job, mod=self._state.next())
        state.jobs[job.id] = marked
        if job.settled:
            state.open.pop(job.id, None)
            for key in [key for key in state.steps if key[0] == job.id]:
                del state.steps[key]
        if job.id in state.receipts:
            state.receipts[job.id] = replace(state.receipts[job.id], state=job.state)
        return marked

    def _forget(self, job_id: str) -> None:
        state = self._state
        for held in (state.jobs, state.places, state.outputs, state.followers):
            cast("dict[str, Any]", held).pop(job_id, None)
        for key in [key for key in state.chunks if key[0] == job_id]:
            del state.chunks[key]

    def _remove(self, job: Job) -> None:
        self._forget(job.id)
        self._state.open.pop(job.id, None)

    def _stands(self, job: Job) -> bool:
        known = self._state.jobs.get(job.id)
        return known is not None and known.mod == job.mod

    def _missed(self, passed: Iterable[Miss]) -> frozenset[Instant]:
        """Record slots that were passed over; the slots that a new entry begins with."""
        return frozenset(miss.first for miss in passed if not self._joined(miss))

    def _joined(self, miss: Miss) -> bool:
        misses = self._state.misses
        for seq, before in reversed(misses.items()) if miss.follows is not None else ():
            if (before.schedule_id, before.last, before.reason) == (
                miss.schedule_id,
                miss.follows,
                miss.reason,
            ):
                if self._between(before, miss):
                    break
                count = before.count + miss.count
                misses[seq] = replace(miss, first=before.first, count=count, follows=None)
                return True
        misses[self._state.next()] = replace(miss, follows=None)
        return False

    def _between(self, before: Miss, after: Miss) -> bool:
        """Tell whether a slot between two entries has another record (law 2)."""
        state, name = self._state, after.schedule_id
        return any(
            job.kind == "slot"
            and job.schedule_id == name
            and before.last < (job.slot or 0) < after.first
            for job in state.jobs.values()
        ) or any(
            miss.schedule_id == name and before.last < miss.last and miss.first < after.first
            for miss in state.misses.values()
        )

    def _letter(self, letter: DeadLetter) -> None:
        self._state.letters.setdefault(letter.id, (self._state.next(), letter))

    def _notices(self, notices: Iterable[Notice], opened: frozenset[Instant] = frozenset()) -> None:
        """Add what people are to be told; of misses only where they have `opened` an entry."""
        for each in notices:
            if each.opens is None or each.opens in opened:
                mod = self._state.next()
                self._state.notices.setdefault(each.id, (mod, replace(each, mod=mod)))

    def _untold(self, notice: Notice) -> bool:
        known = self._state.notices.get(notice.id)
        return known is not None and known[1].mod == notice.mod

    def _take(self, session: str | None, notice: Notice) -> Notice | None:
        # Told at most once: against another node that takes it in the same moment.
        if not self._untold(notice):
            return None
        place, _ = self._state.notices[notice.id]
        taken = replace(notice, session=session, mod=self._state.next())
        self._state.notices[notice.id] = place, taken
        return taken

    # Schedules.

    def _change_stands(self, change: Change) -> bool:
        state = self._state
        # Law 2: against another command, and a dispatch that moved the cursor meanwhile.
        known = state.schedules.get(change.id)
        stone = state.tombstones.get(change.id)
        mod = known.mod if known is not None else None if stone is None else stone.mod
        touched = (*change.withdrawn, *change.dropped, *change.queued)
        return (
            mod == change.seen
            and (
                change.cursor_seen is None
                or (known is not None and known.cursor.mod == change.cursor_seen)
            )
            and all(map(self._stands, touched))
            and all(replace(miss, follows=None) in state.misses.values() for miss in change.erased)
        )

    def _apply(self, change: Change) -> None:
        state = self._state
        for job in (*change.withdrawn, *change.dropped):
            self._remove(job)
        for job in change.queued:
            self._update(job)
        for erased in change.erased:
            for seq, miss in list(state.misses.items()):
                if miss == replace(erased, follows=None):
                    del state.misses[seq]
        self._missed(change.misses)
        if change.revision is not None:
            kept = state.revisions.get(change.id, ())
            state.revisions[change.id] = (*kept, change.revision)
        if change.tombstone is not None:
            del state.schedules[change.id]
            state.failing.pop(change.id, None)
            state.tombstones[change.id] = replace(change.tombstone, mod=state.next())
            self._cancel_waiting(change)
        if change.schedule is not None:
            self._put_schedule(change, change.schedule)

    def _cancel_waiting(self, change: Change) -> None:
        now = self._clock.now()
        for job in list(self._open()):
            if change.error is not None and job.schedule_id == change.id and job.state != "running":
                ended = replace(job, state="cancelled", finished_at=now, error=change.error)
                self._update(ended)

    def _put_schedule(self, change: Change, schedule: Schedule) -> None:
        state, before = self._state, self._state.schedules.get(change.id)
        cursor = schedule.cursor
        if before is not None:
            state.schedules.pop(change.id)
            kept = before.cursor if change.cursor_seen is None else cursor
            began = max(before.cursor.history_from, cursor.history_from)
            cursor = replace(kept, history_from=began)
        # Law 2: a dispatch that was decided before is decided anew, also where the cursor stays.
        state.schedules[change.id] = replace(
            schedule, mod=state.next(), ahead=None, cursor=replace(cursor, mod=state.next())
        )
        state.tombstones.pop(change.id, None)
        definition = schedule.definition
        for job in self._intentions(change.id):
            follows = replace(
                job,
                needs=definition.needs,
                alone=definition.alone,
                max_running=definition.max_running,
                max_attempts=definition.retry.max_attempts,
            )
            if follows != job:
                self._update(follows)

    def _dispatch(self, term: Term, plan: Plan) -> bool:
        state = self._state
        # Law 6: against a host that slept, or a wall clock that jumped, between the plan and now.
        if abs(self._clock.now() - plan.at) > term.ttl:
            return False
        schedule = state.schedules.get(plan.schedule_id)
        ids = {job.id for job in plan.jobs}
        # Law 1: against a plan of a cursor that has moved, and by the key of each job; and against
        # a node that judges an intention in the same moment.
        if (
            schedule is None
            or schedule.cursor.mod != plan.seen
            or not all(map(self._stands, (*plan.dropped, *plan.queued)))
            or len(ids) < len(plan.jobs)
            or not ids.isdisjoint(state.jobs)
        ):
            return False
        began = max(schedule.cursor.history_from, plan.cursor.history_from)
        cursor = replace(plan.cursor, history_from=began, mod=state.next())
        state.schedules[plan.schedule_id] = replace(schedule, cursor=cursor)
        for job in plan.dropped:
            self._remove(job)
        for job in plan.queued:
            self._update(job)
        for job in plan.jobs:
            self._insert(job)
        self._notices(plan.notices, self._missed(plan.misses))
        for letter in plan.dead:
            self._letter(letter)
        return True

    # The life of a job.

    def _order_stands(self, order: Order) -> bool:
        state, name = self._state, order.job.schedule_id
        if order.seen is not None:
            schedule = state.schedules.get(name or "")
            if schedule is None or schedule.mod != order.seen:
                return False
        # Overlap: against another trigger, or a slot, in the same moment.
        if order.active is not None and _marks(self._active(name)) != _marks(order.active):
            return False
        return order.dead is None or order.dead in state.letters

    def _admit(self, at: Session, admission: Admission, now: Instant) -> Claim | None:
        candidate = admission.candidate
        if not self._as_read(candidate):
            return self._claimed_before(at, admission)
        for replaced in admission.replaces:
            self._update(replaced)
        if admission.miss is not None:
            if not candidate.job.begun:
                self._remove(candidate.job)
                self._notices(admission.notices, self._missed([admission.miss]))
            return None
        if admission.job is not None:
            self._update(admission.job)
            return None
        most = candidate.job.max_running
        # Against other nodes: no more attempts of a schedule hold a claim than it may have.
        if candidate.definition is None or (
            most is not None and self._running(candidate.job) >= most
        ):
            return None
        self._state.fence += 1
        job = self._update(claimed(candidate, at.node, at.id, self._state.fence, now))
        return Claim(
            job=job, definition=candidate.definition, session=at.id, fence=self._state.fence
        )

    def _as_read(self, candidate: Candidate) -> bool:
        job = candidate.job
        # Law 5: against another node that claimed it, or a command that ended it.
        if not self._stands(job):
            return False
        if candidate.seen is not None:
            schedule = self._state.schedules.get(job.schedule_id or "")
            if schedule is None or schedule.mod != candidate.seen:
                return False
        # Overlap, at the instant: no two attempts of a schedule that runs alone hold a claim.
        active = self._active(job.schedule_id, job.id)
        return not job.alone or _marks(active) == _marks(candidate.active)

    def _claimed_before(self, at: Session, admission: Admission) -> Claim | None:
        """Give the claim that an earlier sending of this admission made."""
        candidate, job = admission.candidate, self._state.jobs.get(admission.candidate.job.id)
        if (
            admission.job is not None
            or admission.miss is not None
            or candidate.definition is None
            or job is None
            or job.fence is None
            or job.session != at.id
            or len(job.attempts) != len(candidate.job.attempts) + 1
        ):
            return None
        return Claim(job=job, definition=candidate.definition, session=at.id, fence=job.fence)

    def _settle(self, settlement: Settlement) -> Job | None:
        state, held = self._state, settlement.claim
        job = state.jobs.get(held.job.id)
        # Law 5: against a late result, and against a node said to be dead that comes back just now.
        if (
            job is None
            or job.state != "running"
            or job.fence != held.fence
            or (settlement.gone and self._alive(held.session))
        ):
            return None
        ended = settlement.job
        if job.cancel_requested_at is not None:
            ended = replace(settlement.cancelled, cancel_requested_at=job.cancel_requested_at)
        else:
            self._tell(settlement)
        if settlement.output is not None:
            state.outputs[ended.id] = settlement.output
        else:
            state.outputs.pop(ended.id, None)
        return self._update(ended)

    def _tell(self, settlement: Settlement) -> None:
        """Write what was given up, and what people are told of this end."""
        if settlement.dead is not None:
            self._letter(settlement.dead)
        self._notices(settlement.notices)
        name, failing = settlement.job.schedule_id or "", settlement.failing
        if failing is not None and name in self._state.schedules:
            # One notice for a change of state: against another job that ends beside it.
            if self._state.failing.get(name, False) != failing:
                self._notices(settlement.changed)
            self._state.failing[name] = failing

    # Retention.

    def _old_jobs(self, limits: Limits) -> list[Job]:
        lines: dict[str, list[Job]] = {}
        for job in self._state.jobs.values():
            if job.settled:
                lines.setdefault(job.schedule_id or f"submit:{job.needs}", []).append(job)
        doomed = []
        for jobs in lines.values():
            jobs.sort(key=lambda job: self._state.places[job.id])
            for rank, job in enumerate(jobs[: max(0, len(jobs) - limits.least)]):
                ended = job.created_at if job.finished_at is None else job.finished_at
                if len(jobs) - rank > limits.most or ended < limits.horizon:
                    doomed.append(job)
        return doomed

    def _move_history(self, job: Job) -> None:
        schedule = self._state.schedules.get(job.schedule_id or "")
        if schedule is None or job.kind != "slot" or job.slot is None:
            return
        began = max(schedule.cursor.history_from, job.slot + SECOND)
        self._state.schedules[schedule.id] = replace(
            schedule, cursor=replace(schedule.cursor, history_from=began)
        )

    def _prune_rest(self, limits: Limits) -> None:
        state = self._state
        for seq, miss in list(state.misses.items()):
            schedule = state.schedules.get(miss.schedule_id)
            if (
                miss.recorded_at < limits.horizon
                if schedule is None
                else miss.last < schedule.cursor.history_from
            ):
                del state.misses[seq]
        for name in list(state.revisions):
            state.revisions[name] = tuple(
                each for each in state.revisions[name] if self._explains(each, limits)
            )
        self._trim(limits)
        for job_id, receipt in list(state.receipts.items()):
            if receipt.at < limits.keys and job_id not in state.open:
                del state.receipts[job_id]

    def _explains(self, revision: Revision, limits: Limits) -> bool:
        state, name = self._state, revision.schedule_id
        if any(
            (job.schedule_id, job.revision) == (name, revision.version)
            for job in state.jobs.values()
        ):
            return True
        schedule = state.schedules.get(name)
        if schedule is None:
            missed = any(miss.schedule_id == name for miss in state.misses.values())
            return revision.at >= limits.horizon or missed
        began = schedule.cursor.history_from
        return not any(
            newer.version > revision.version and newer.cursor <= began and newer.at <= began
            for newer in state.revisions[name]
        )

    def _trim(self, limits: Limits) -> None:
        each: Multiset[str] = Multiset()
        kept = sorted(self._state.letters.values(), key=lambda pair: -pair[0])
        for rank, (_, letter) in enumerate(kept):
            line = letter.schedule_id or f"submit:{letter.needs}"
            each[line] += 1
            if rank >= limits.dead or each[line] > limits.dead_each:
                del self._state.letters[letter.id]
                self._state.trimmed += 1


class _Write:
    """One write: nobody else's is within it, and whoever listens hears of it afterwards."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def __enter__(self) -> None:
        self._memory.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._memory.lock.release()
        for changed in self._memory.listeners:
            changed()


def _rank(job: Job) -> tuple[Instant, str]:
    return job.run_at, job.id


def _place_in_line(job: Job) -> tuple[bool, bool, Instant, str]:
    """What has begun is finished before another begins."""
    return not job.begun, job.state != "queued" and job.begun, job.run_at, job.id


def _asked(job: Job) -> tuple[str, str, Instant, str | None]:
    return job.id, job.needs, job.run_at, job.failed_on


def _marks(jobs: Iterable[Job]) -> set[tuple[str, int]]:
    return {(job.id, job.mod) for job in jobs}


# What a read gives: records with their places in order, and whether the last come first.
_Found = tuple[list[tuple[str, Any]], bool]


def _page(
    found: list[tuple[str, Any]], after: str | None, limit: int, *, newest: bool
) -> Page[Any]:
    ordered = sorted(found, key=lambda pair: pair[0], reverse=newest)
    if after is not None:
        ordered = [each for each in ordered if (each[0] < after if newest else each[0] > after)]
    more = ordered[limit - 1][0] if len(ordered) > limit else None
    return Page(tuple(record for _, record in ordered[:limit]), more)


def _number(place: int) -> str:
    return f"{place:020}"


def _wanted(where: Where, name: str) -> bool:
    return where.ids is None or name in where.ids


def _on_schedule(store: MemoryStore, where: Where, name: str | None) -> bool:
    """Tell whether a record's schedule meets the conditions."""
    if where.schedule is not None and name != where.schedule:
        return False
    if where.pattern is not None and not fnmatch.fnmatchcase(name or "", where.pattern):
        return False
    schedule = store._state.schedules.get(name or "")
    labels = {} if schedule is None else schedule.definition.labels
    return all(labels.get(key) == value for key, value in (where.labels or {}).items())


def _schedules(store: MemoryStore, where: Where) -> list[str]:
    until = where.paused_until
    found = []
    for each in store._state.schedules.values():
        schedule = store._schedule(each.id)
        undecided = schedule.undecided_at
        if (
            _wanted(where, each.id)
            and _on_schedule(store, where, each.id)
            and (where.since is None or each.created_at >= where.since)
            and (
                until is None
                or (each.paused and each.paused_until is not None and each.paused_until <= until)
            )
            and (where.overdue is None or (undecided is not None and undecided < where.overdue))
        ):
            found.append(each.id)
    return found


def _read_jobs(store: MemoryStore, where: Where) -> _Found:
    state = store._state
    return [
        (_number(state.places[job.id]), job)
        for job in state.jobs.values()
        if _wanted(where, job.id)
        and _on_schedule(store, where, job.schedule_id)
        and (where.states is None or job.state in where.states)
        and not (where.decided and job.intention)
        and (where.since is None or job.created_at >= where.since)
    ], True


def _read_misses(store: MemoryStore, where: Where) -> _Found:
    return [
        (_number(miss.last) + _number(seq), miss)
        for seq, miss in store._state.misses.items()
        if _on_schedule(store, where, miss.schedule_id)
        and (where.since is None or miss.recorded_at >= where.since)
    ], True


def _read_letters(store: MemoryStore, where: Where) -> _Found:
    return [
        (_number(place), letter)
        for place, letter in store._state.letters.values()
        if _wanted(where, letter.id)
        and _on_schedule(store, where, letter.schedule_id)
        and (where.since is None or letter.ts >= where.since)
    ], True


def _read_revisions(store: MemoryStore, where: Where) -> _Found:
    return [
        (_number(each.at) + _number(each.version), each)
        for kept in store._state.revisions.values()
        for each in kept
        if _on_schedule(store, where, each.schedule_id)
        and (where.since is None or each.at >= where.since)
    ], True


def _read_nodes(store: MemoryStore, where: Where) -> _Found:
    now, monotonic = store._clock.now(), store._clock.monotonic()
    return [
        (
            seat.node.id,
            replace(
                seat.node,
                live=store._alive(session),
                last_seen_at=now - max(0, monotonic - seat.beat),
            ),
        )
        for session, seat in store._state.seats.items()
        if _wanted(where, seat.node.id)
    ], False


def _read_totals(store: MemoryStore, where: Where) -> _Found:
    state = store._state
    states = Multiset(job.state for job in store._open())
    late = [] if where.overdue is None else _schedules(store, Where(overdue=where.overdue))
    oldest = [store._schedule(name).undecided_at for name in late]
    totals = Totals(
        schedules=len(state.schedules),
        paused=sum(each.paused for each in state.schedules.values()),
        scheduled=states["scheduled"],
        queued=states["queued"],
        running=states["running"],
        dead_letters=len(state.letters),
        dead_letters_trimmed=state.trimmed,
        overdue=len(late),
        oldest_due_at=min((at for at in oldest if at is not None), default=None),
        counters={name: value for name, value in state.counters.items() if value},
        last_tick_at=state.last_tick_at,
        horizon=state.horizon,
    )
    return [("", totals)], False


def _by_name(records: Callable[[MemoryStore], Mapping[str, Any]]) -> Callable[..., _Found]:
    def read(store: MemoryStore, where: Where) -> _Found:
        return [
            (name, record) for name, record in records(store).items() if _wanted(where, name)
        ], False

    return read


_SHELVES: dict[Any, Callable[[MemoryStore, Where], _Found]] = {
    Schedule: lambda store, where: (
        [(name, store._schedule(name)) for name in _schedules(store, where)],
        False,
    ),
    Due: lambda store, where: (
        [(name, store._due(name)) for name in _schedules(store, where)],
        False,
    ),
    Job: _read_jobs,
    Miss: _read_misses,
    DeadLetter: _read_letters,
    Chunk: lambda store, where: (
        [
            (f"{job_id}\0{attempt:09}\0{at:018}", chunk)
            for (job_id, attempt, at), chunk in store._state.chunks.items()
            if _wanted(where, job_id)
        ],
        False,
    ),
    Notice: lambda store, _: (
        [(_number(place), each) for place, each in store._state.notices.values()],
        False,
    ),
    Revision: _read_revisions,
    Node: _read_nodes,
    Totals: _read_totals,
    Term: lambda store, _: ([("", term)] if (term := store._term()) is not None else [], False),
    Tombstone: _by_name(lambda store: store._state.tombstones),
    Output: _by_name(lambda store: store._state.outputs),
    Receipt: lambda store, where: (
        [
            (name, replace(each, new=False))
            for name, each in store._state.receipts.items()
            if _wanted(where, name) and (where.since is None or each.at >= where.since)
        ],
        False,
    ),
    Step: lambda store, where: (
        [
            (f"{job_id}\0{key}", step)
            for (job_id, key), step in store._state.steps.items()
            if _wanted(where, job_id)
        ],
        False,
    ),
}
