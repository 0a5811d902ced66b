"""The leader's turn: due, plan, dispatch.

When to turn is `loop.py`'s, whether this node leads is `elector.py`'s, what becomes of each slot is
the model's.
"""

from collections.abc import Sequence

from synccron.clock import Clock
from synccron.engine.elector import Elector
from synccron.engine.tally import Tally
from synccron.errors import StaleTerm
from synccron.events import Events
from synccron.model.lease import Node, Term
from synccron.model.plan import Due, Plan, plan
from synccron.model.time import SECOND, Duration, Instant, format_instant
from synccron.store.base import Store

BATCH = 500  # schedules of one dispatch
# Jobs are written this long before their instant, so that nodes have them in time; in ms. Whatever
# changes meanwhile takes them back, and what can only be known at the instant is judged there.
AHEAD: Duration = 200
FAR: Instant = 1 << 60


class Dispatcher:
    """Turns due slots into jobs while this node leads.

    `_stuck` are the schedules that could not be decided in the last turn: they must not fill the
    batch of the next. `_prompt` are those that are decided at their instant, and not ahead of it.
    """

    def __init__(
        self, store: Store, clock: Clock, elector: Elector, events: Events, tally: Tally
    ) -> None:
        self._store = store
        self._clock = clock
        self._elector = elector
        self._events = events
        self._tally = tally
        self._stuck: frozenset[str] = frozenset()
        self._prompt: frozenset[str] = frozenset()

    def turn(self) -> Duration:
        """Dispatch what is due; ms until more is. Not leading: as long as may be."""
        term = self._elector.term()
        if term is None:
            return SECOND
        now = self._clock.now()
        spare = len(self._stuck) + len(self._prompt)
        due = self._store.due(now + AHEAD, now - term.ttl, BATCH + spare)
        self._stuck = self._prompt = frozenset()
        if due:
            self._dispatch(term, due, now)
        self._tally.ticked_at = now
        if len(due) >= BATCH:
            return 0
        return self._idle(term)

    def _dispatch(self, term: Term, due: Sequence[Due], now: Instant) -> None:
        offered = live_offers(self._store)
        plans = {each.schedule.id: self._plan(each, now, term, offered) for each in due}
        self._prompt = frozenset(
            each.schedule.id
            for each in due
            if plans[each.schedule.id] is None and each.schedule.cursor.due_at > now
        )
        undecided = frozenset(name for name, decided in plans.items() if decided is None)
        self._stuck = undecided - self._prompt
        decided = [each for each in plans.values() if each is not None]
        try:
            # Law 4: the store compares the epoch, against a leader that slept since it read.
            answers = self._store.dispatch(term, decided)
        except StaleTerm as error:
            self._elector.lost(term, error.message)
            return
        before = {each.schedule.id: each for each in due}
        for each, written in zip(decided, answers, strict=True):
            if written:
                self._tell(before[each.schedule_id], each)

    def _plan(self, due: Due, now: Instant, term: Term, offered: frozenset[str]) -> Plan | None:
        # What no node offers is judged at its instant: one may join until then.
        ahead = AHEAD if due.schedule.definition.needs in offered else 0
        try:
            return plan(due, now, term, offered, ahead=ahead, piece=self._store.jobs_at_once)
        except Exception as error:  # noqa: BLE001 - one schedule must not delay the others
            self._events.emit("tick_error", "error", schedule_id=due.schedule.id, error=repr(error))
            return None

    def _idle(self, term: Term) -> Duration:
        now = self._clock.now()
        spare = len(self._stuck) + len(self._prompt)
        waiting = self._store.due(FAR, now - term.ttl, spare + 1)
        wakes = [
            each.schedule.cursor.due_at - (0 if each.schedule.id in self._prompt else AHEAD)
            for each in waiting
            if each.schedule.id not in self._stuck
        ]
        return max(0, min(wakes, default=now + SECOND) - now)

    def _tell(self, due: Due, written: Plan) -> None:
        schedule_id = written.schedule_id
        if due.schedule.cursor.failures and written.at >= (due.schedule.cursor.retry_at or 0):
            self._tally.add("dispatch_retried")
        self._tally.add("dispatch_submitted", len(written.jobs))
        for job in written.jobs:
            self._events.emit(
                "dispatch_submitted",
                schedule_id=schedule_id,
                job_id=job.id,
                slot=format_instant(job.run_at),
            )
        for miss in written.misses:
            self._tally.add("dispatch_skipped", miss.count)
            self._events.emit(
                "dispatch_skipped",
                "warning",
                schedule_id=schedule_id,
                reason=miss.reason,
                first=format_instant(miss.first),
                last=format_instant(miss.last),
                count=miss.count,
            )
        self._tell_failure(written)

    def _tell_failure(self, written: Plan) -> None:
        schedule_id, cursor = written.schedule_id, written.cursor
        if cursor.last_error is not None:
            self._tally.add("dispatch_failed")
            self._events.emit(
                "dispatch_failed",
                "error",
                schedule_id=schedule_id,
                error=cursor.last_error,
                failures=cursor.failures,
            )
        if not written.dead:
            return
        self._tally.add("dispatch_dlq", len(written.dead))
        for letter in written.dead:
            self._events.emit(
                "dispatch_dlq", "error", schedule_id=schedule_id, dead_letter=letter.id
            )
        self._events.emit(
            "dispatch_advanced_after_failures",
            "error",
            schedule_id=schedule_id,
            next=format_instant(cursor.next),
        )


def live_offers(store: Store) -> frozenset[str]:
    """Tell what live nodes can run: `run`, and names of handlers."""
    nodes = store.read(Node, limit=1000).items
    return frozenset(name for node in nodes if node.live for name in node.offers)
