"""Every store that there is, behind one fixture: what these tests promise holds for each of them.

A further store is a further class with `open`, `expire` and `kill`, and its name in BACKENDS.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from synccron.clock import ManualClock
from synccron.model.change import Change, pause, register, unregister
from synccron.model.job import (
    Admission,
    Candidate,
    Claim,
    Ending,
    Job,
    Order,
    Outcome,
    Receipt,
    Settlement,
)
from synccron.model.lease import Node, Session, Term
from synccron.model.order import KEY_KEPT, submitted, triggered
from synccron.model.overlap import passes_over
from synccron.model.plan import Due, Plan, plan
from synccron.model.schedule import Revision, Schedule
from synccron.model.settle import settle
from synccron.model.time import MINUTE, SECOND, Duration, Instant
from synccron.store import open_store
from synccron.store.base import Limits, Look, Store, Where
from synccron.store.etcd.client import Etcd as EtcdCalls
from synccron.store.etcd.mirror import Horizon
from synccron.store.etcd.store import EtcdStore
from synccron.store.sqlite.store import SqliteStore
from tests.make import definition
from tests.simulation.memory.state import Memory
from tests.simulation.memory.store import MemoryStore

LEASE: Duration = 5 * SECOND
NODE_LEASE: Duration = 15 * SECOND


class Backend(Protocol):
    """One kind of store, in a place of its own."""

    @property
    def clock(self) -> ManualClock:
        """The clock of its handles."""

    def open(self) -> Store:
        """Open a further handle of the one store, made if it is not there."""

    def expire(self, session: Session) -> None:
        """Let the store consider this session's lease over, though its process lives."""

    def kill(self, session: Session) -> None:
        """Let the store see what it sees when the session's process is killed."""

    def close(self) -> None:
        """Close all handles."""


class Sqlite:
    """SQLite in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self._path = str(folder / "store" / "synccron.db")
        self._opened: list[SqliteStore] = []

    def open(self) -> Store:
        store = open_store(self._path, create=True, clock=self.clock)
        assert isinstance(store, SqliteStore)
        self._opened.append(store)
        return store

    def expire(self, session: Session) -> None:
        for store in self._opened:
            own = store.sessions._own.get(session.id)
            if own is not None:
                own._words[16] = self.clock.monotonic() - session.ttl

    def kill(self, session: Session) -> None:
        for store in self._opened:
            store.sessions.let_go(session.id)

    def close(self) -> None:
        for store in self._opened:
            store.close()


class InMemory:
    """The store of the simulations: what holds of the others holds of it."""

    def __init__(self, *, cluster: bool) -> None:
        self.clock = ManualClock()
        self._memory = Memory(self.clock, cluster=cluster)

    def open(self) -> Store:
        return MemoryStore(self._memory)

    def expire(self, session: Session) -> None:
        self._memory.expire(session.id)

    def kill(self, session: Session) -> None:
        self._memory.kill(session.id)
        if self._memory.cluster:
            self._memory.expire(session.id)
            self._memory.expire_lead(session.id)

    def close(self) -> None:
        """Nothing is open."""


class LeaseClock(ManualClock):
    """A clock whose time is the leases' time, too: etcd's own cannot be told to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: Callable[[], None] = lambda: None

    def advance(self, ms: int) -> None:
        super().advance(ms)
        self.passed()


class Etcd:
    """etcd under a prefix of the test.

    Its leases are long; when the test's clock has passed what was asked for, they are revoked,
    which is what etcd itself does. Handles that follow see each other's writes at once, as one
    horizon is theirs.
    """

    def __init__(self, url: str, *, follows: bool) -> None:
        self.clock = LeaseClock()
        self.clock.passed = self._end_late_ones
        self._url = url
        self._follows = follows
        self._opened: list[EtcdStore] = []
        self._horizon = Horizon()
        self._beaten: dict[int, tuple[int, int]] = {}

    def open(self) -> Store:
        store = open_store(self._url, create=True, clock=self.clock, timeout=30_000)
        assert isinstance(store, EtcdStore)
        self._opened.append(store)
        store.cluster.horizon = self._horizon
        self._patient(store.leases._beats)
        if self._follows:
            store.watch(lambda: None)
        return store

    def expire(self, session: Session) -> None:
        for store in self._opened:
            held = store.leases._sessions.get(session.id)
            if held is not None:
                self._revoke(held.lease)

    def kill(self, session: Session) -> None:
        self.expire(session)
        for store in self._opened:
            held = store.leases._leads.get(session.id)
            if held is not None:
                self._revoke(held.lease)

    def close(self) -> None:
        for store in self._opened:
            store.close()

    def _patient(self, beats: EtcdCalls) -> None:
        grant, keep_alive = beats.grant, beats.keep_alive

        def granted(ttl: int) -> tuple[int, int]:
            lease, _ = grant(3600)
            self._beaten[lease] = (self.clock.monotonic(), ttl * SECOND)
            return lease, ttl

        def kept(lease: int, within: Duration) -> int:
            if not keep_alive(lease, max(within, 30_000)):
                return 0
            _, ttl = self._beaten[lease]
            self._beaten[lease] = (self.clock.monotonic(), ttl)
            return ttl // SECOND

        beats.grant = granted  # type: ignore[method-assign]
        beats.keep_alive = kept  # type: ignore[method-assign]

    def _end_late_ones(self) -> None:
        now = self.clock.monotonic()
        for lease, (at, ttl) in list(self._beaten.items()):
            if now - at >= ttl:
                self._revoke(lease)

    def _revoke(self, lease: int) -> None:
        self._beaten.pop(lease, None)
        etcd = self._opened[0].cluster.etcd
        request = etcd.messages.LeaseTimeToLiveRequest(ID=lease, keys=True)
        had = etcd._call(lambda client: client.leasestub.LeaseTimeToLive, request).keys
        etcd.revoke(lease)
        if had:
            revision = etcd.range(b"nothing").header.revision
            self._horizon.wrote(revision)


BACKENDS = ("sqlite", "memory", "memory-cluster", "etcd", "etcd-following")


class World:
    """One store and what happens to it: short words for the long way from a schedule to a job."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.clock = backend.clock
        self.store = backend.open()
        self._sessions = 0

    def register(self, name: str = "job", **fields: Any) -> Schedule:
        change = register(
            self.find(name), definition(id=name, **fields), self.clock.now(), "me@here", "2026f"
        )
        assert change is not None
        assert self.store.apply([change])
        return self.schedule(name)

    def find(self, name: str) -> Due | Any:
        from synccron.model.schedule import Tombstone

        found = self.store.read(Due, Where(ids=[name])).items
        if found:
            return found[0]
        gone = self.store.read(Tombstone, Where(ids=[name])).items
        return gone[0] if gone else None

    def due(self, name: str = "job") -> Due:
        found = self.find(name)
        assert isinstance(found, Due)
        return found

    def schedule(self, name: str = "job") -> Schedule:
        return self.due(name).schedule

    def job(self, job_id: str) -> Job:
        (job,) = self.store.read(Job, Where(ids=[job_id])).items
        return job

    def jobs(self, **where: Any) -> list[Job]:
        return list(self.store.read(Job, Where(**where)).items)

    def pausing(self, name: str = "job") -> Change:
        change = pause(self.due(name), self.clock.now(), None, None)
        assert change is not None
        return change

    def pausing_again(self, name: str = "job") -> Change:
        change = pause(self.due(name), self.clock.now(), None, f"again {self.schedule(name).mod}")
        assert change is not None
        return change

    def removing(self, name: str = "job") -> Change:
        return unregister(self.due(name), self.clock.now())

    def node(self, name: str = "n1", **fields: Any) -> Node:
        self._sessions += 1
        values: dict[str, Any] = {
            "id": name,
            "session": f"{name}-{self._sessions}",
            "host": "here",
            "pid": 1,
            "version": "1",
            "started_at": self.clock.now(),
            "tzdata": "2026f",
            "concurrency": 4,
            "offers": frozenset({"run"}),
        }
        return Node(**{**values, **fields})

    def join(self, name: str = "n1", store: Store | None = None, **fields: Any) -> Session:
        return (store or self.store).join(self.node(name, **fields), NODE_LEASE)

    def lead(self, at: Session, store: Store | None = None) -> Term:
        term = (store or self.store).campaign(at, LEASE)
        assert term is not None
        return term

    def pass_(self, time: Duration, *sessions: Session) -> None:
        """Let time pass, in steps that keep these sessions alive."""
        while time > 0:
            step = min(time, SECOND)
            self.clock.advance(step)
            for session in sessions:
                self.store.renew(session)
            time -= step

    def look(self, until: Instant | None = None, *offered: str) -> Look:
        """What the leader looks for now; of intentions, what is older than its lease."""
        now = self.clock.now()
        return Look(
            now=now,
            until=now if until is None else until,
            overdue=now - LEASE,
            offered=frozenset(offered or ("run",)),
        )

    def plans(self, term: Term, ahead: Duration = 0, *offered: str) -> list[Plan]:
        look = self.look(self.clock.now() + ahead, *offered)
        due = self.store.due(look, 100)
        made = [plan(each, look.now, term, look.offered, ahead=ahead) for each in due]
        return [each for each in made if each is not None]

    def dispatched(self, name: str = "job", **fields: Any) -> tuple[Session, Term, Job]:
        """A schedule with one slot's job, an intention still, and the leader that wrote it."""
        self.register(name, **fields)
        at = self.join()
        self.pass_(MINUTE, at)
        term = self.lead(at)
        assert self.store.dispatch(term, self.plans(term)) == [True]
        (job,) = self.jobs(schedule=name)
        return at, term, job

    def trigger(self, name: str = "job", key: str = "k", **fields: Any) -> Receipt | None:
        schedule = self.schedule(name)
        force = fields.get("force", False)
        active = self.store.active(name) if schedule.definition.alone and not force else None
        if active is not None and passes_over(schedule.definition.overlap, active):
            return None
        order = triggered(schedule, key, None, self.clock.now(), active=active, **fields)
        return self.store.enqueue(order, self.clock.now() - KEY_KEPT)

    def submit(self, handler: str = "h", key: str = "k", **fields: Any) -> Receipt | None:
        order = submitted(handler, key, "null", self.clock.now(), **fields)
        return self.store.enqueue(order, self.clock.now() - KEY_KEPT)

    def order(self, handler: str = "h", key: str = "k") -> Order:
        return submitted(handler, key, "null", self.clock.now())

    def waiting(
        self, *offers: str, limit: int = 100, until: Instant | None = None
    ) -> list[Candidate]:
        return list(
            self.store.waiting(frozenset(offers or ("run", "h")), until or self.clock.now(), limit)
        )

    def claim(self, at: Session, job_id: str, store: Store | None = None) -> Claim:
        (candidate,) = [each for each in self.waiting() if each.job.id == job_id]
        (claim,) = (store or self.store).claim(
            at, [Admission(candidate=candidate)], self.clock.now()
        )
        assert claim is not None
        return claim

    def claim_with_steps(self, at: Session) -> Claim:
        """A job of a handler, whose steps are kept until it has ended."""
        self.submit("h", "steps")
        return self.claim(at, "submit:h:steps")

    def revisions(self, name: str = "job") -> list[Revision]:
        return list(self.store.read(Revision, Where(schedule=name)).items)

    def settlement(self, claim: Claim, ending: Ending = "completed", **fields: Any) -> Settlement:
        outcome = Outcome(ending=ending, **fields)
        return settle(claim, outcome, self.clock.now(), 0.5, gone=ending == "lost")

    def settle(self, claim: Claim, ending: Ending = "completed", **fields: Any) -> Job | None:
        (job,) = self.store.settle([self.settlement(claim, ending, **fields)], self.clock.now())
        return job

    def run(self, at: Session, job_id: str, ending: Ending = "completed", **fields: Any) -> Job:
        job = self.settle(self.claim(at, job_id), ending, **fields)
        assert job is not None
        return job

    def limits(self, **fields: Any) -> Limits:
        return replace(Limits(horizon=0, keys=0), **fields)

    def prune(self, term: Term, **fields: Any) -> int:
        """A whole round; how many pieces it took."""
        after, pieces = self.store.prune(term, self.limits(**fields), None), 1
        while after is not None:
            after, pieces = self.store.prune(term, self.limits(**fields), after), pieces + 1
        return pieces


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made: Backend
    if request.param == "sqlite":
        made = Sqlite(tmp_path)
    elif request.param.startswith("memory"):
        made = InMemory(cluster=request.param == "memory-cluster")
    else:
        url = request.getfixturevalue("etcd").url(f"test/{secrets.token_hex(8)}")
        made = Etcd(url, follows=request.param == "etcd-following")
    yield made
    made.close()


@pytest.fixture
def world(backend: Backend) -> World:
    return World(backend)
