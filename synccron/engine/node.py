"""A node: its registration, its loops, and how it ends.

It puts the pieces together; what they do stands in their files. A node that starts or stops any
number of times leaves nothing behind but its record in the store.
"""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import tzdata

from synccron import __version__
from synccron.clock import Bell, Clock, SystemClock
from synccron.engine.auditor import Auditor
from synccron.engine.dispatcher import Dispatcher
from synccron.engine.elector import Elector
from synccron.engine.figures import Figures, figures
from synccron.engine.glance import Glance
from synccron.engine.health import STILL, Health
from synccron.engine.loop import LONGEST_PAUSE, Loop, StoreState
from synccron.engine.publisher import Publisher
from synccron.engine.reaper import Keeper, Reaper
from synccron.engine.registrar import Registrar
from synccron.engine.skew import Skew
from synccron.engine.sweeper import Sweeper
from synccron.engine.tally import Tally
from synccron.engine.teller import Teller
from synccron.engine.worker import Worker
from synccron.errors import IdTaken, InvalidInput, SessionLost, StoreError
from synccron.events import Event, Events
from synccron.handlers import open_handlers
from synccron.handlers.base import Handlers
from synccron.handlers.environment import passed
from synccron.model.definition import check_labels
from synccron.model.lease import Node as Record
from synccron.model.lease import Session
from synccron.model.plan import MOST_AHEAD
from synccron.model.time import SECOND, Duration, format_duration, format_instant, to_duration
from synccron.store import logs_of, open_store, shortest_lease
from synccron.store.base import Store
from synccron.store.logs import log_name

if TYPE_CHECKING:
    from synccron.engine.tracing import Traces

LOG_BYTES = 4 << 30  # of all logs of this store on this host
HISTORY_BYTES = 256 << 20  # on etcd, whose quota is 2 GiB
LEAD_OVER: Duration = 5 * SECOND  # what is written reaches past two leases by so much
GIVE_BACK: Duration = 15 * SECOND  # for attempts that were told to end, beyond any usual kill_after
SETTLE: Duration = 5 * SECOND  # for the results of what was killed
TELL: Duration = 5 * SECOND  # for notices that are being sent
JOIN_AGAIN: Duration = 200
PATIENCE: Duration = 100  # of loops whose work is not due at an instant
MOMENT: Duration = 20  # of loops that know their instants beforehand: news may wait so long
BLINK: Duration = 1  # of the worker: what many write at one instant is one turn


def default_concurrency() -> int:
    """Give how many attempts a node runs at once unless told: the larger of 16 and 4 a core."""
    return max(16, 4 * (os.cpu_count() or 1))


class Node:
    """One node on a store: `start`, then `stop`; it can be started once.

    `on_event` gets every `Event`; what it raises is swallowed. Durations are timedeltas, texts such
    as `5s`, or seconds. With `measure`, which is called with the store once it is open, the node
    keeps `figures` too. Raises InvalidInput for options that make no sense, StoreError where the
    store can't be used.
    """

    def __init__(
        self,
        store: str,
        *,
        id: str | None = None,  # noqa: A002 - it is the option's name
        concurrency: int | None = None,
        lease: timedelta | str | float = 5,
        ahead: timedelta | str | float = 20,
        node_lease: timedelta | str | float = 15,
        drain: timedelta | str | float = 30,
        max_skew: timedelta | str | float = 30,
        lead: bool = True,
        work: bool = True,
        only_handlers: bool = False,
        allow_run: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        pass_env: Sequence[str] = (),
        retention: timedelta | str | float = timedelta(days=7),
        retention_jobs: int = 1000,
        history_bytes: int | None = None,
        log_bytes: int = LOG_BYTES,
        on_event: Callable[[Event], object] | None = None,
        measure: Callable[[Store], object] | None = None,
        clock: Clock | None = None,
        luck: Callable[[], float] | None = None,
    ) -> None:
        self.id = id or f"{socket.gethostname()}-{secrets.token_hex(3)}"
        self._url = store
        self._clock = clock or SystemClock()
        self._concurrency = default_concurrency() if concurrency is None else concurrency
        self._lease = to_duration(lease)
        self._ahead = to_duration(ahead)
        self._node_lease = to_duration(node_lease)
        self._drain = to_duration(drain)
        self._max_skew = to_duration(max_skew)
        self._lead, self._work = lead, work
        self._labels = check_labels(labels or {})
        self._pass_env = tuple(pass_env)
        self._allow_run = tuple(allow_run) if only_handlers or allow_run else None
        self._only_handlers = only_handlers
        self._retention = to_duration(retention)
        self._retention_jobs = retention_jobs
        self._history_bytes = HISTORY_BYTES if history_bytes is None else history_bytes
        self._log_bytes = log_bytes
        self._luck = luck or Random().random  # noqa: S311 - a jitter is no secret
        self._check()
        self._tally = Tally()
        self._measure = measure
        self._traces = _traces(self.id)
        listeners = [on_event] if on_event else []
        if self._traces is not None:
            listeners.append(self._traces.hear)
        self._events = Events(self._clock.now, self._count, *listeners)
        self._bell = Bell(self._clock)
        self._heart = Bell(self._clock)
        self._ended = Bell(self._clock)
        self._hurry = self._stopping = False
        self._sure_until = 0  # monotonic ms, of the registration
        self._fatal: StoreError | None = None
        self._loops: list[Loop] = []
        self._session: Session | None = None
        self._store: Store | None = None

    def start(self) -> None:
        """Open the store, register, and start working; returns when it does."""
        # First, as its process begins with a fork: a store may have threads.
        handlers = open_handlers(
            pass_env=self._pass_env,
            store=str(logs_of(self._url).resolve()),
            allow_run=self._allow_run,
        )
        try:
            store = open_store(self._url, create=True, clock=self._clock)
        except BaseException:
            handlers.close()
            raise
        for loop in self.enter(store, handlers):
            loop.start()

    def enter(self, store: Store, handlers: Handlers) -> Sequence[Loop]:
        """Register on an open store, and give the loops: none takes a turn by itself yet.

        `start` starts them; a simulation takes their turns in an order of its own. Where it cannot
        register, handlers and store are closed.
        """
        self._store, self._handlers = store, handlers
        try:
            if self._measure is not None:
                self._measure(store)
            self._build(store, handlers)
            session = self._register()
            store.watch(self._changed)
            self._registrar.turn()
        except BaseException:
            handlers.close()
            store.close()
            raise
        self._events.emit("node_joined", node=self.id, session=session.id)
        return self._loops

    def wait(self) -> None:
        """Wait until the node has ended. Raises the StoreError that it could not go on with."""
        while not self._ended.wait(0, None):
            pass
        if self._fatal is not None:
            raise self._fatal

    def stop(self, drain: timedelta | str | float | None = None) -> None:
        """Hand over, let running jobs end for up to `drain`, give back the rest, and leave."""
        if self._store is None or self._session is None:
            return
        self._stopping = True
        left = self._drain if drain is None else to_duration(drain)
        self._worker.stop_claiming()
        self._quietly(self._elector.resign)
        self._wait_idle(left)
        self._worker.give_back()
        self._wait_idle(GIVE_BACK)
        self._quietly(lambda: self._teller.close(0 if self._hurry else TELL))
        self._handlers.close()
        self._wait_idle(SETTLE, patient=True)
        for loop in self._loops:
            loop.stop()
        for loop in self._loops:
            loop.join()
        self._quietly(lambda: self._registrar.tell(self._registrar.record(self._live().id)))
        self._quietly(lambda: self._opened().leave(self._live()))
        self._events.emit("node_left", node=self.id)
        self._store.close()
        self._store = None
        self._ended.ring()

    def hurry(self) -> None:
        """End at once what a stop in another thread still waits for; its jobs are given back."""
        self._hurry = True
        if self._loops:  # else it is still starting
            self._worker.bell.ring()

    def metrics(self) -> dict[str, object]:
        """Give this node's counters, and what it does now."""
        term = self._elector.term()
        ticked = self._tally.ticked_at
        return {
            **self._tally.counts(),
            "last_tick_at": None if ticked is None else format_instant(ticked),
            "leader": term is not None,
            "epoch": None if term is None else term.epoch,
            "running": self._worker.running,
        }

    def health(self) -> Health:
        """Tell how this node is; cheap, and asks nobody else."""
        started = bool(self._loops)
        term = self._elector.term() if started else None
        return Health(
            still=tuple(loop.name for loop in self._loops if loop.still > STILL),
            store=started and self._state.answers,
            session=self._clock.monotonic() < self._sure_until,
            epoch=None if term is None else term.epoch,
            running=self._worker.running if started else 0,
            stopping=self._stopping,
        )

    def figures(self) -> Figures:
        """Tell the node's numbers and, as it last read them, those of the store.

        None of it before it has started.
        """
        if not self._loops:
            return {}
        return figures(
            self.health(),
            self._tally.counts(),
            {loop.name: loop.still for loop in self._loops},
            self._glance,
            skew=self._skew.off,
            concurrency=self._concurrency,
            now=self._clock.now(),
        )

    def _check(self) -> None:
        if self._concurrency < 1:
            raise InvalidInput(f"concurrency is {self._concurrency}, expected at least 1")
        if self._only_handlers and self._allow_run:
            raise InvalidInput(
                "only-handlers runs no command, and allow-run some: give one of them"
            )
        shortest = shortest_lease(self._url)
        if self._lease < shortest:
            raise InvalidInput(
                f"lease is {format_duration(self._lease)}, expected at least"
                f" {format_duration(shortest)} on this store"
            )
        least = 2 * self._lease + LEAD_OVER
        if self._ahead and not least <= self._ahead <= MOST_AHEAD:
            raise InvalidInput(
                f"ahead is {format_duration(self._ahead)}, expected {format_duration(least)} (twice"
                f" the lease, and {format_duration(LEAD_OVER)}) to {format_duration(MOST_AHEAD)},"
                " or 0: at its instant"
            )
        if self._node_lease < self._lease:
            raise InvalidInput("node-lease is shorter than lease, expected at least as long")

    def _build(self, store: Store, handlers: Handlers) -> None:
        clock, events = self._clock, self._events
        logs = logs_of(self._url)
        place = str(logs)
        self._elector = Elector(
            store,
            clock,
            events,
            self._live,
            lease=self._lease,
            leads=self._lead,
            acquired=self._took_the_lead,
            fit=lambda: self._skew.fit,
        )
        self._skew = Skew(
            store, clock, events, self.id, most=self._max_skew, changed=self._heart.ring
        )
        self._registrar = Registrar(
            store,
            clock,
            self._tally,
            self._record(),
            session=self._live,
            running=lambda: self._worker.running,
            leads=lambda: self._elector.term() is not None,
            works=self._work,
        )

        def log(job_id: str, attempt: int) -> str:
            return f"{place}/{log_name(job_id, attempt)}"

        publisher = Publisher(
            store,
            clock,
            session=self._live,
            log=log,
            running=lambda: self._worker.attempts(),  # noqa: PLW0108 - there is none yet
        )
        self._worker = Worker(
            store,
            clock,
            events,
            self._tally,
            handlers,
            session=self._live,
            offer=self._registrar.offer,
            log=log,
            luck=self._luck,
            concurrency=self._concurrency,
            lease=self._lease,
            fit=lambda: self._skew.fit,
            traces=self._traces,
            ending=publisher.finish,
        )
        shared = self._bell
        self._teller = Teller(
            store,
            clock,
            events,
            handlers,
            session=self._live,
            offer=self._registrar.offer,
            variables=passed(os.environ, self._pass_env),
            bell=shared,
        )
        reaper = Reaper(store, clock, events, self._luck)
        keeper = Keeper(
            store,
            clock,
            self._elector,
            retention=self._retention,
            retention_jobs=self._retention_jobs,
            history_bytes=self._history_bytes,
        )
        dispatcher = Dispatcher(store, clock, self._elector, events, self._tally, self._ahead)
        sweeper = Sweeper(store, clock, logs, self._retention, self._log_bytes)
        turns: list[tuple[str, Callable[[], Duration], Bell, Duration]] = [
            ("heart", self._beat, self._heart, 0),
            ("elector", self._elector.seek, shared, MOMENT),
            ("dispatcher", dispatcher.turn, shared, MOMENT),
            ("worker", self._worker.turn, self._worker.bell, BLINK),
            ("settler", self._worker.settle_ended, self._worker.bell, 0),
            ("canceller", self._worker.watch_cancels, shared, PATIENCE),
            ("reaper", reaper.turn, shared, PATIENCE),
            ("registrar", self._registrar.turn, shared, PATIENCE),
            ("publisher", publisher.turn, shared, PATIENCE),
            ("teller", self._teller.turn, shared, PATIENCE),
            ("skew", self._skew.turn, Bell(clock), 0),
            ("keeper", keeper.turn, Bell(clock), 0),
            ("sweeper", sweeper.turn, Bell(clock), 0),
            ("auditor", Auditor(store, clock, self._elector, events).turn, Bell(clock), 0),
        ]
        self._glance = Glance(store, clock)
        if self._measure is not None:
            turns.append(("glance", self._glance.turn, Bell(clock), 0))
        self._state = StoreState(events, clock)
        # The lease must be kept as soon as that can be done again.
        pauses = {"heart": min(self._lease // 4, SECOND)}
        self._loops = [
            Loop(
                name,
                turn,
                clock=clock,
                bell=bell,
                state=self._state,
                events=events,
                fatal=self._give_up,
                lost=self._heart.ring,
                patience=patience,
                pause=pauses.get(name, LONGEST_PAUSE),
            )
            for name, turn, bell, patience in turns
        ]

    def _record(self) -> Record:
        return Record(
            id=self.id,
            session="",
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=self._clock.now(),
            tzdata=tzdata.IANA_VERSION,
            concurrency=self._concurrency,
            labels=self._labels,
            allow_run=self._allow_run,
        )

    def _beat(self) -> Duration:
        """Renew the session and the lease; nothing else happens in this loop."""
        try:
            self._elector.keep()  # first: its lease is the shorter one
            self._keep()
        except SessionLost:
            self._sure_until = 0
            # Its claims are lost: what must not run beside a new attempt ends before anything else.
            self._handlers.rely(0, 0)
            session = self._register()
            self._events.emit("node_joined", "warning", node=self.id, session=session.id)
        return min(self._lease, self._node_lease) // 3

    def _register(self) -> Session:
        """Begin a session, which ends when nothing is left of what runs under it."""
        session = self._session = self._join(self._registrar.record(secrets.token_hex(16)))
        if session.file is not None:
            self._handlers.hold(session.file)
        self._keep()
        return session

    def _keep(self) -> None:
        """Renew the session, and tell the handlers until when claims stand by that."""
        until = self._sure_until = self._opened().renew(self._live())
        self._handlers.rely(until - self._node_lease // 5, until - self._node_lease // 10)

    def _join(self, record: Record) -> Session:
        store = self._opened()
        until = self._clock.monotonic() + self._node_lease + SECOND
        waiting = Bell(self._clock)
        said = False
        while True:
            try:
                return store.join(record, self._node_lease)
            except IdTaken as error:
                if self._clock.monotonic() >= until or self._hurry:
                    raise
                if not said:
                    self._events.emit("tick_error", "warning", error=f"{error.message}; waiting")
                    said = True
                waiting.wait(0, JOIN_AGAIN)

    def _count(self, event: Event) -> None:
        if event.event == "tick_error":
            self._tally.add("tick_errors")

    def _changed(self) -> None:
        self._worker.bell.ring()  # first: it has jobs to start
        self._bell.ring()

    def _took_the_lead(self) -> None:
        self._tally.add("leader_changes")
        self._bell.ring()

    def _give_up(self, error: StoreError) -> None:
        self._fatal = error
        self._events.emit("store_lost", "error", code=error.code, message=error.message)
        self._ended.ring()

    def _live(self) -> Session:
        if self._session is None:
            raise SessionLost(f"node {self.id} has not joined")
        return self._session

    def _opened(self) -> Store:
        if self._store is None:
            raise StoreError(f"node {self.id} is not running")
        return self._store

    def _wait_idle(self, timeout: Duration, *, patient: bool = False) -> None:
        until = self._clock.monotonic() + timeout
        while not self._worker.idle and (patient or not self._hurry):
            seen = self._worker.bell.rings
            left = until - self._clock.monotonic()
            if left <= 0:
                return
            if not self._worker.idle:
                self._worker.bell.wait(seen, min(left, 100))

    def _quietly(self, step: Callable[[], object]) -> None:
        """Take a step of the farewell; when the store is away, leases end it in time."""
        try:
            step()
        except (StoreError, SessionLost) as error:
            self._events.emit("store_lost", "warning", code=error.code, message=error.message)


def _traces(node: str) -> "Traces | None":
    """Trace, where somebody has configured OpenTelemetry in this process: it is imported, then."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from synccron.engine.tracing import Traces

    return Traces(node)
