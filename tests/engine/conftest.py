"""A node's parts on a real store and a clock that the test moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from synccron.clock import ManualClock
from synccron.engine.dispatcher import Dispatcher
from synccron.engine.elector import Elector
from synccron.engine.reaper import Keeper, Reaper
from synccron.engine.tally import Tally
from synccron.engine.worker import Worker
from synccron.events import Event, Events
from synccron.handlers.base import Invocation
from synccron.model.change import Change, register
from synccron.model.job import Ending, Job, Outcome
from synccron.model.lease import Node, Session
from synccron.model.permit import Offer
from synccron.model.plan import Due
from synccron.model.schedule import Schedule
from synccron.model.time import DAY, SECOND, Instant
from synccron.store import open_store
from synccron.store.base import Store, Where
from tests.make import definition

LEASE = 5 * SECOND
AHEAD = 20 * SECOND


@dataclass
class ScriptedRun:
    """An attempt that ends when the test says so, or is told to stop."""

    invocation: Invocation
    ended: Callable[[Outcome], None]
    stops: list[Ending] = field(default_factory=list)

    def stop(self, why: Ending) -> None:
        self.stops.append(why)

    def end(self, ending: Ending = "completed", **fields: object) -> None:
        self.ended(Outcome(ending=ending, **fields))  # type: ignore[arg-type]


class ScriptedHandlers:
    """Handlers that start nothing: the test ends what was started."""

    def __init__(self) -> None:
        self.runs: list[ScriptedRun] = []

    def start(self, invocation: Invocation, ended: Callable[[Outcome], None]) -> ScriptedRun:
        self.runs.append(ScriptedRun(invocation, ended))
        return self.runs[-1]

    def rely(self, term_at: int, kill_at: int) -> None:
        """Nothing runs."""

    def hold(self, _file: str) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing runs."""


class Bench:
    """One node taken apart: each of its turns is taken by hand."""

    def __init__(self, store: Store, clock: ManualClock, name: str, concurrency: int = 4) -> None:
        self.store, self.clock, self.name = store, clock, name
        self.told: list[Event] = []
        self.tally = Tally()
        self.handlers = ScriptedHandlers()
        self.offers = frozenset({"run"})
        self.allow_run: tuple[str, ...] | None = None
        events = Events(clock.now, self.told.append)
        self.session = self.join()
        self.elector = Elector(
            store,
            clock,
            events,
            lambda: self.session,
            lease=LEASE,
            leads=True,
            acquired=lambda: self.tally.add("leader_changes"),
        )
        self.dispatcher = Dispatcher(store, clock, self.elector, events, self.tally, AHEAD)
        self.worker = Worker(
            store,
            clock,
            events,
            self.tally,
            self.handlers,
            session=lambda: self.session,
            offer=lambda: Offer(self.offers, self.allow_run),
            log=lambda job_id, attempt: f"/nowhere/{job_id}/{attempt}",
            luck=lambda: 0.5,
            concurrency=concurrency,
            lease=LEASE,
        )
        self.reaper = Reaper(store, clock, events, lambda: 0.5)
        self.keeper = Keeper(store, clock, self.elector, retention=7 * DAY, retention_jobs=1000)

    def join(self) -> Session:
        return self.store.join(self.record(), 15 * SECOND)

    def record(self) -> Node:
        return Node(
            id=self.name,
            session=f"session-of-{self.name}",
            host="here",
            pid=1,
            version="0",
            started_at=self.clock.now(),
            tzdata="2026f",
            concurrency=4,
            offers=self.offers,
            allow_run=self.allow_run,
        )

    def events(self, name: str) -> list[Event]:
        return [event for event in self.told if event.event == name]

    def register(self, **fields: object) -> Change | None:
        made = definition(**fields)
        old = self.store.read(Due, Where(ids=(made.id,))).items
        change = register(old[0] if old else None, made, self.clock.now(), "me@here", "2026f")
        assert change is None or self.store.apply([change])
        return change

    def schedule(self, schedule_id: str = "job") -> Schedule:
        return self.store.read(Schedule, Where(ids=(schedule_id,))).items[0]

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        return list(reversed(self.store.read(Job).items))

    def jobs_of(self, slot: Instant) -> list[Job]:
        """The jobs of a slot, of whatever schedule."""
        jobs = self.store.read(Job, limit=100_000).items
        return [job for job in jobs if job.slot == slot]

    def advance_to(self, instant: Instant) -> None:
        """Let time pass as for nodes that live: their leases are renewed on the way."""
        while self.clock.now() < instant:
            self.clock.advance(min(SECOND, instant - self.clock.now()))
            self.store.renew(self.session)
            self.elector.keep()

    def run_due(self) -> list[ScriptedRun]:
        """Dispatch and start what is due; what was started."""
        before = len(self.handlers.runs)
        self.dispatcher.turn()
        self.worker.turn()
        return self.handlers.runs[before:]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with open_store(str(tmp_path / "synccron.db"), create=True, clock=clock) as opened:
        yield opened


@pytest.fixture
def node(store: Store, clock: ManualClock) -> Bench:
    made = Bench(store, clock, "n1")
    made.elector.seek()
    return made


@pytest.fixture
def make_node(store: Store, clock: ManualClock) -> Callable[[str], Bench]:
    return lambda name: Bench(store, clock, name)
