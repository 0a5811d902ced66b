"""The leader's turn: due, plan, dispatch.

When to turn is `loop.py`'s, whether this node leads is `elector.py`'s, what becomes of each slot is
the model's. What is decided here is the pace: jobs are written ahead of their time, so most of it
can wait for a better moment.
"""

from collections.abc import Iterator, Sequence

from synccron import __version__
from synccron.clock import Clock
from synccron.engine.elector import Elector
from synccron.engine.tally import Tally
from synccron.errors import StaleTerm
from synccron.events import Events
from synccron.model.lease import Node, Term
from synccron.model.permit import Offer, covered
from synccron.model.plan import Due, Plan, plan
from synccron.model.schedule import Unreadable
from synccron.model.time import SECOND, Duration, Instant, format_instant
from synccron.store.base import Look, Store
from synccron.store.codec import refusal

BATCH = 500  # schedules that are read at once, at most
FEWEST = 20  # and at least
ROWS = 500  # jobs of one transaction, about: claims go between two of them
TURN = 2 * ROWS  # jobs of one turn, about
# What is due sooner than this is written at once; the rest at half the speed that is possible, and
# away from the whole seconds, at which jobs start. In ms.
URGENT: Duration = SECOND
QUIET_FROM: Duration = 250
QUIET_UNTIL: Duration = 850


class Dispatcher:
    """Turns due slots into jobs while this node leads.

    What is written reaches `ahead` from now; it is written anew when less than half of that is
    left, so that a schedule of every second is one dispatch in half of that time. `_stuck` are the
    schedules that could not be decided in the last turn: they must not fill the batch of the next.
    `_batch` is how many schedules make a turn of about TURN jobs. Until `_rest_until` (monotonic
    ms) nothing is written but what is urgent. `_again` is when a dispatch that failed is next
    tried.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        elector: Elector,
        events: Events,
        tally: Tally,
        ahead: Duration,
    ) -> None:
        self._store = store
        self._clock = clock
        self._elector = elector
        self._events = events
        self._tally = tally
        self._ahead = ahead
        self._stuck: frozenset[str] = frozenset()
        self._batch = BATCH
        self._rest_until = 0
        self._again: Instant | None = None

    def turn(self) -> Duration:
        """Dispatch what is due; ms until more is. Not leading: as long as may be."""
        term = self._elector.term()
        if term is None:
            return SECOND
        now, begun = self._clock.now(), self._clock.monotonic()
        live = [each for each in self._store.read(Node, limit=1000).items if each.live]
        offers = frozenset(each.offer for each in live)
        due = self._due(term, now, offers, min(URGENT, self._ahead // 2))
        hurry = bool(due)
        if not hurry and self._ahead:
            wait = max(self._rest_until - begun, _until_quiet(now))
            if wait > 0:
                return wait
            due = self._due(term, now, offers, self._ahead // 2)
        more = len(due) == self._limit
        if due:
            _make_room(term, due, live)
            self._dispatch(term, due, now, offers)
        self._tally.ticked_at = now
        took = self._clock.monotonic() - begun
        self._rest_until = begun + 2 * took
        if more:
            return 0 if hurry else took
        return self._idle()

    @property
    def _limit(self) -> int:
        return self._batch + len(self._stuck)

    def _due(
        self, term: Term, now: Instant, offers: frozenset[Offer], within: Duration
    ) -> Sequence[Due]:
        offered = frozenset[str]().union(*(each.surely for each in offers))
        look = Look(now=now, until=now + within, overdue=now - term.ttl, offered=offered)
        return self._store.due(look, self._limit)

    def _dispatch(
        self, term: Term, due: Sequence[Due], now: Instant, offers: frozenset[Offer]
    ) -> None:
        plans = {each.schedule.id: self._plan(each, now, term, offers) for each in due}
        self._stuck = frozenset(name for name, decided in plans.items() if decided is None)
        decided = [each for each in plans.values() if each is not None]
        before = {each.schedule.id: each for each in due}
        for piece in _pieces(decided):
            try:
                # Law 4: the store compares the epoch, against a leader that slept since it read.
                answers = self._store.dispatch(term, piece)
            except StaleTerm as error:
                self._elector.lost(term, error.message)
                return
            for each, written in zip(piece, answers, strict=True):
                if written:
                    self._tell(before[each.schedule_id], each)
        self._note(decided, now)

    def _note(self, decided: Sequence[Plan], now: Instant) -> None:
        """Note how large a turn is, and when a dispatch that failed is tried again."""
        rows = sum(map(_rows, decided))
        if rows:
            self._batch = max(FEWEST, min(BATCH, TURN * len(decided) // rows))
        again = [each.cursor.retry_at for each in decided if each.cursor.retry_at is not None]
        if self._again is not None and self._again > now:
            again.append(self._again)
        self._again = min(again, default=None)

    def _plan(self, due: Due, now: Instant, term: Term, offers: frozenset[Offer]) -> Plan | None:
        piece = min(ROWS, self._store.jobs_at_once)
        wanted = due.schedule.definition
        try:
            offered = {wanted.needs} if covered(offers, wanted.needs, wanted.run) else set[str]()
            return plan(due, now, term, offered, ahead=self._ahead, piece=piece)
        except Exception as error:  # noqa: BLE001 - one schedule must not delay the others
            self._events.emit("tick_error", "error", schedule_id=due.schedule.id, error=repr(error))
            return None

    def _idle(self) -> Duration:
        """Give the ms until something may be due: slots are whole seconds.

        Where they are written ahead, the leader looks in the quiet part of each.
        """
        now = self._clock.now()
        wait = _later(now, QUIET_FROM if self._ahead else 0)
        if self._again is not None and self._again > now:
            wait = min(wait, self._again - now)
        return wait

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


def _make_room(term: Term, due: Sequence[Due], live: Sequence[Node]) -> None:
    """End the node, by StoreNewer, where one of another version may read what it cannot.

    With nobody else to lead, such a schedule is given up like one that is damaged.
    """
    if all(each.version == __version__ or each.id == term.node for each in live):
        return
    for each in due:
        definition = each.schedule.definition
        if isinstance(definition, Unreadable) and definition.newer:
            raise refusal(definition)


def _until_quiet(now: Instant) -> Duration:
    """Give the ms until the quiet part of a second; 0: it is now."""
    return 0 if QUIET_FROM <= now % SECOND < QUIET_UNTIL else _later(now, QUIET_FROM)


def _later(now: Instant, at: Duration) -> Duration:
    """Give the ms until the next time that this part of a second comes."""
    return (at - now) % SECOND or SECOND


def _rows(plan: Plan) -> int:
    return 1 + len(plan.jobs) + len(plan.queued) + len(plan.dropped)


def _pieces(plans: Sequence[Plan]) -> Iterator[list[Plan]]:
    """Give plans in pieces of about ROWS rows."""
    piece: list[Plan] = []
    rows = 0
    for each in plans:
        if piece and rows + _rows(each) > ROWS:
            yield piece
            piece, rows = [], 0
        piece.append(each)
        rows += _rows(each)
    if piece:
        yield piece
