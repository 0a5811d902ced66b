"""What nobody else looks after: jobs of dead nodes, pauses that end, history that is too old.

Any node takes up what a dead one ran; the pauses and the history are the leader's.
"""

from collections.abc import Callable

from synccron.clock import Clock
from synccron.engine.elector import Elector
from synccron.errors import StaleTerm
from synccron.events import Events
from synccron.model.change import resume
from synccron.model.job import Outcome
from synccron.model.lease import Term, Totals
from synccron.model.order import KEY_KEPT
from synccron.model.plan import Due
from synccron.model.schedule import Schedule
from synccron.model.settle import settle
from synccron.model.time import MINUTE, SECOND, Duration, Instant
from synccron.store.base import Limits, Store, Where

BATCH = 500
# The horizon of retention moves by at most a day an hour, so that a clock that is wrong for a
# while cannot empty the history.
FASTEST = 24


class Reaper:
    """Takes up what dead nodes left."""

    def __init__(
        self, store: Store, clock: Clock, events: Events, luck: Callable[[], float]
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._luck = luck

    def turn(self) -> Duration:
        """Settle the claims of sessions that are gone; ms until the next look."""
        claims = self._store.lost(BATCH)
        if not claims:
            return SECOND
        now = self._clock.now()
        lost = [
            settle(
                claim,
                Outcome(ending="lost", error=f"node {claim.job.node} died or lost its lease"),
                now,
                self._luck(),
                gone=True,
            )
            for claim in claims
        ]
        # Law 5: the store compares fence and session, against the node that comes back just now.
        written = self._store.settle(lost, now)
        for claim, job in zip(claims, written, strict=True):
            if job is not None:
                self._events.emit(
                    "job_lost",
                    "warning",
                    job_id=job.id,
                    node=claim.job.node,
                    fence=claim.fence,
                    state=job.state,
                )
        return 0 if len(claims) == BATCH else SECOND


class Keeper:
    """The leader's slow work: it ends pauses and forgets what is too old.

    `_after` is where the round of pruning goes on, `_next_round` (monotonic ms) when it starts;
    `_anchor` is where the horizon stood at an instant of monotonic time.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        elector: Elector,
        *,
        retention: Duration,
        retention_jobs: int,
        history_bytes: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._elector = elector
        self._retention = retention
        self._most = retention_jobs
        self._bytes = history_bytes
        self._after: str | None = None
        self._next_round = 0
        self._anchor: tuple[int, Instant] | None = None

    def turn(self) -> Duration:
        """Do a bounded piece; ms until the next."""
        term = self._elector.term()
        if term is None:
            self._anchor = None
            return SECOND
        self._end_pauses(term)
        if self._clock.monotonic() < self._next_round:
            return SECOND
        try:
            self._after = self._store.prune(term, self._limits(term), self._after)
        except StaleTerm as error:
            self._elector.lost(term, error.message)
            return SECOND
        if self._after is not None:
            return 20  # claims go before retention
        self._next_round = self._clock.monotonic() + MINUTE
        return SECOND

    def _end_pauses(self, term: Term) -> None:
        now = self._clock.now()
        ended = self._store.read(Schedule, Where(paused_until=now)).items
        if not ended:
            return
        ids = tuple(schedule.id for schedule in ended)
        for due in self._store.read(Due, Where(ids=ids)).items:
            change = resume(due, now, term.node)
            if change is not None:
                # Law 2: refused if the schedule has moved, against a command in the same moment.
                self._store.apply([change])

    def _limits(self, term: Term) -> Limits:
        now = self._clock.now()
        wanted = now - self._retention
        if self._anchor is None:
            totals = self._store.read(Totals).items[0]
            self._anchor = (self._clock.monotonic(), totals.horizon or wanted)
        since, horizon = self._anchor
        passed = self._clock.monotonic() - since + term.ttl
        return Limits(
            horizon=min(wanted, horizon + FASTEST * passed),
            keys=now - KEY_KEPT,
            most=self._most,
            bytes=self._bytes,
        )
