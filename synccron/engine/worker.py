"""A node's work: waiting, admit, claim, start; and the end of each attempt: settle.

What an admission or a settlement is, the model decides; that only the newest fence settles a job,
the store. Results are held until the store takes or refuses them.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synccron.clock import Bell, Clock
from synccron.engine.share import Punctuality, Share
from synccron.engine.sieve import Sieve
from synccron.engine.tally import Tally
from synccron.errors import StoreError
from synccron.events import Events
from synccron.handlers.base import Handlers, Invocation, Run
from synccron.model.admit import Place, admit
from synccron.model.job import Admission, Candidate, Claim, Ending, Job, Outcome, Settlement, Step
from synccron.model.lease import Node, Session
from synccron.model.permit import Offer
from synccron.model.schedule import JsonText
from synccron.model.settle import settle
from synccron.model.time import SECOND, Duration, Instant, format_instant
from synccron.model.turns import Round, in_turn
from synccron.store.base import Store, Where

if TYPE_CHECKING:
    from synccron.engine.tracing import Attempted, Traces

AT_ONCE = 4  # jobs of other nodes that it takes over at once
PACE: Duration = 50  # and how often it does, in ms
SPARE = 16  # candidates looked at beyond the free places: some wait for others
MORE = 64  # of one line, at most, that are read beyond the free places, and
FRESH: Duration = 25  # for how long they may be begun, in ms, as who comes meanwhile waits, or
TIMES = 4  # for so many times what the read took, where that is more
LOOK: Duration = 100  # how often it looks who else is there, in ms
CLAIMED_FIRST, CLAIMED_NEXT = 8, 256  # jobs of the first claims of many; more each time after
FULL_PAUSE: Duration = 100  # how often a full node looks what it has to queue, in ms
SETTLED_AT_ONCE = 500


@dataclass(slots=True)
class _Attempt:
    claim: Claim
    run: Run | None = None
    stopped: Ending | None = None
    traced: "Attempted | None" = None


class Worker:
    """Runs jobs on this node, at most `concurrency` at once.

    `_attempts` are those under way by token and `_ended` those to be settled; the lock guards both
    against the threads of handlers that end. `_unsure` are claims whose answer was lost: they are
    asked for again before anything else, as nobody else knows of them. `_others` are the nodes as
    they were at `_looked_at`, `_held` candidates whose instant is to come and `_spare` those for
    which there was no place, as they were at `_read_at` (both monotonic ms); the latter stand until
    `_fresh_until`, and `_started` is how many attempts have begun since then.
    `ending` is told of the attempts (ids of jobs, and numbers) that are about to be settled.
    `_round` is who had his turn, `_told` are jobs that could not be judged. `_hastes`: more is to
    begin at once than one claim takes; what has ended meanwhile is settled after that, not beside
    it.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        tally: Tally,
        handlers: Handlers,
        *,
        session: Callable[[], Session],
        offer: Callable[[], Offer],
        log: Callable[[str, int], str],
        luck: Callable[[], float],
        concurrency: int,
        lease: Duration,
        fit: Callable[[], bool] = lambda: True,
        traces: "Traces | None" = None,
        ending: Callable[[Sequence[tuple[str, int]]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._tally = tally
        self._handlers = handlers
        self._session = session
        self._offer = offer
        self._log = log
        self._luck = luck
        self._concurrency = concurrency
        self._lease = lease
        self._fit = fit
        self._traces = traces
        self._ending = ending
        self._lock = threading.Lock()
        self._attempts: dict[int, _Attempt] = {}
        self._ended: deque[Settlement] = deque()
        self._unsure: Sequence[Admission] = ()
        self._others: Sequence[Node] = ()
        self._looked_at: int | None = None
        self._helped_at = 0
        self._held: Sequence[Candidate] = ()
        self._spare: Sequence[Candidate] = ()
        self._read_at = self._fresh_until = -FULL_PAUSE
        self._started = 0
        self._punctuality = Punctuality(clock)
        self._round = Round()
        self._sieve = Sieve(clock)
        self._told: set[str] = set()
        self._hastes = False
        self._claiming = True
        self._giving_back = False
        self.bell = Bell(clock)  # rings when an attempt has ended, or the store has changed

    @property
    def running(self) -> int:
        """How many attempts are under way on this node."""
        return len(self._attempts)

    @property
    def _free(self) -> int:
        """How many places are free; less than none after a claim that was given again."""
        return self._concurrency - len(self._attempts)

    def attempts(self) -> dict[str, int]:
        """Tell what is under way on this node: ids of jobs, and the numbers of their attempts."""
        with self._lock:
            held = [each.claim.job for each in self._attempts.values()]
            return {job.id: len(job.attempts) for job in held}

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and every result has been settled or refused."""
        with self._lock:
            return not self._attempts and not self._ended

    def turn(self) -> Duration:
        """Claim and start what may start; ms until something else may."""
        if self._unsure:
            self._claim(self._unsure)
        if not self._claiming:
            return SECOND
        self._begin_held()
        now, full = self._clock.now(), self._free <= 0
        full_for = self._read_at + FULL_PAUSE - self._clock.monotonic()
        if full and full_for > 0:
            return max(0, min([full_for, *(each.job.run_at - now for each in self._held)]))
        return 0 if self._spare and not full else self._begin_read(now)

    def _begin_read(self, now: Instant) -> Duration:
        """Read what may start, and start it; ms until something else may."""
        self._look()
        offer, left_to_others = self._offer(), self._sieve.lines
        share = Share(
            self._session().node,
            self._punctuality.among(self._others),
            now,
            bound=offer.allow_run is not None,
        )
        free = self._free
        self._read_at = self._clock.monotonic()
        # A read costs by how long a queue is: where attempts are short, it is for as many places
        # as became free since the last.
        more, self._started = min(MORE, self._started), 0
        read = self._store.waiting(
            offer.needs,
            now + SECOND,
            max(0, free) + more + SPARE,
            self._sieve.mine(share.first),
            each=max(1, free) + more,
            besides=self._round.besides | left_to_others,
        )
        moment = self._clock.monotonic()
        self._fresh_until = moment + max(FRESH, TIMES * (moment - self._read_at))
        candidates = self._sieve.sift(read, offer)
        admissions, self._spare = self._take(candidates, now, free)
        self._held = [each for each in candidates if each.job.run_at > now]
        again = self._next_round(candidates, now)
        if self._punctuality.judge(share, now):
            return 0
        free = self._free
        if share.late and free > 0:
            share.next = self._help(share, now, free)
        if free <= 0:
            return FULL_PAUSE
        if again or self._sieve.lines > left_to_others:
            return 0
        later = [each.job.run_at for each in candidates if each.job.run_at > now]
        waiting = len(candidates) - len(admissions) - len(later)
        later += [at for at in (share.next, self._punctuality.judges_at) if at is not None]
        return max(0, min([*later, now + (FULL_PAUSE if waiting else SECOND)]) - self._clock.now())

    def _begin_held(self) -> None:
        """Start what was read before its instant, or before there was a place for it.

        Each claim compares what was read (laws 1 and 5): what has changed since is refused, and
        found by the read that follows.
        """
        now, waits = self._clock.now(), self._round.besides
        fresh = self._clock.monotonic() < self._fresh_until
        ready = [each for each in self._held if each.job.run_at <= now]
        self._held = [each for each in self._held if each.job.run_at > now]
        ready += [each for each in self._spare if fresh and each.job.line not in waits]
        _, self._spare = self._take(ready, now, self._free)

    def _help(self, share: Share, now: Instant, free: int) -> Instant:
        """Take a few of the jobs that others have left; when to do so again.

        A few at a time and looked at twice, as those others may be taking them just now.
        """
        moment = self._clock.monotonic()
        if moment - self._helped_at >= PACE:
            self._helped_at = moment
            offer = self._offer()
            read = self._store.waiting(
                offer.needs,
                now,
                min(free, AT_ONCE),
                self._sieve.mine(share.left),
                besides=self._round.besides | self._sieve.lines,
            )
            left = self._sieve.sift(read, offer)
            ids = [each.job.id for each in left]
            mods = {job.id: job.mod for job in self._store.read(Job, Where(ids=ids)).items}
            still = [each for each in left if mods.get(each.job.id) == each.job.mod]
            self._take(still, now, free)
            for each in still:
                self._punctuality.left(share.foremost(each.job))
        return now + PACE

    def watch_cancels(self) -> Duration:
        """End the attempts that somebody asked to cancel; ms until the next look."""
        if self._attempts:
            for job_id in self._store.cancelling(self._session()):
                self._stop(job_id, "cancelled")
        return SECOND

    def settle_ended(self) -> Duration:
        """Settle what has ended; what the store does not take now is kept."""
        if self._hastes:
            return SECOND
        with self._lock:
            batch = [self._ended[n] for n in range(min(len(self._ended), SETTLED_AT_ONCE))]
        if not batch:
            return SECOND
        with suppress(StoreError):  # who follows a job can do without, its end cannot
            self._ending([(each.claim.job.id, len(each.claim.job.attempts)) for each in batch])
        # Law 5: the store compares each fence, against whoever took the job up meanwhile.
        written = self._store.settle(batch, self._clock.now())
        with self._lock:
            for _ in batch:
                self._ended.popleft()
        for settlement, job in zip(batch, written, strict=True):
            if job is None:
                self._events.emit(
                    "job_lost",
                    "warning",
                    job_id=settlement.job.id,
                    fence=settlement.claim.fence,
                    reason="a newer attempt has it: this result was refused",
                )
                continue
            self._events.emit(
                "job_settled",
                "info" if job.state in ("completed", "scheduled", "queued") else "warning",
                job_id=job.id,
                state=job.state,
                attempt=len(job.attempts),
                outcome=job.attempts[-1].outcome,
                duration_ms=_took(job),
                error=job.error,
            )
        return 0

    def stop_claiming(self) -> None:
        """Take no further job."""
        self._claiming = False

    def give_back(self) -> None:
        """End all attempts that are under way; their jobs are queued again."""
        with self._lock:
            self._giving_back = True  # what a turn in hand still starts, too
            under_way = {each.claim.job.id for each in self._attempts.values()}
        for job_id in under_way:
            self._stop(job_id, "given_back")

    def _look(self) -> None:
        """Look who is there, now and then."""
        now = self._clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK:
            self._others, self._looked_at = self._store.read(Node, limit=1000).items, now

    def _take(
        self, candidates: Sequence[Candidate], now: Instant, free: int
    ) -> tuple[Sequence[Admission], Sequence[Candidate]]:
        """Do with candidates what is to be done now; that, and for which there was no place."""
        admissions, left = self._admit(candidates, now, free)
        many = len(admissions) > 2 * CLAIMED_FIRST
        first = admissions[:CLAIMED_FIRST] if many else admissions
        rest = admissions[len(first) :]
        if first:
            self._claim(first)
            self._punctuality.began(first[0].candidate.job.run_at, self._clock.now())
        if rest:
            self._claim_rest(rest)
        return admissions, left

    def _claim_rest(self, admissions: Sequence[Admission]) -> None:
        self._hastes = True
        try:
            begin, size = 0, CLAIMED_NEXT
            while begin < len(admissions):
                self._claim(admissions[begin : begin + size])
                begin, size = begin + size, 4 * size
        finally:
            self._hastes = False
            self.bell.ring()

    def _admit(
        self, candidates: Sequence[Candidate], now: Instant, free: int
    ) -> tuple[list[Admission], list[Candidate]]:
        mine = self._session().id
        others = any(each.live and each.offers and each.session != mine for each in self._others)
        admissions: list[Admission] = []
        left: list[Candidate] = []
        for candidate in in_turn(candidates, self._round.served):
            place = Place(
                node=self._session().node,
                full=free <= 0,
                others=others,
                lease=self._lease,
                skewed=not self._fit(),
            )
            admission = self._judge(candidate, now, place)
            if admission is not None:
                admissions.append(admission)
                free -= admission.job is None and admission.miss is None
            elif free <= 0 and candidate.job.run_at <= now:
                left.append(candidate)
        return admissions, left

    def _judge(self, candidate: Candidate, now: Instant, place: Place) -> Admission | None:
        """Judge one; what nobody can decide, in a record that somebody spoilt, is told once."""
        try:
            return admit(candidate, now, place)
        except Exception as error:  # noqa: BLE001 - one job must not delay the others
            if candidate.job.id not in self._told:
                self._told.add(candidate.job.id)
                self._events.emit("tick_error", "error", job_id=candidate.job.id, error=repr(error))
            return None

    def _next_round(self, candidates: Sequence[Candidate], now: Instant) -> bool:
        """Tell whether those who had their turn before are to be looked at again."""
        waited = {each.job.line for each in candidates if each.job.run_at <= now}
        return self._round.next(waited, full=self._free <= 0)

    def _claim(self, admissions: Sequence[Admission]) -> None:
        self._unsure = admissions
        begun = self._begun()
        # Law 5: each claim gets a new fence; laws 1 and 5: what has moved since is refused. Its
        # time is after the read, also when it is sent again: what was seen to have ended did so
        # before this begins.
        claims = self._store.claim(self._session(), admissions, self._clock.now())
        self._unsure = ()
        for admission, claim in zip(admissions, claims, strict=True):
            if claim is not None:
                # Law 5: one claim is one attempt, also where what was read is older than our own
                # claim, and the store gives it again as one whose answer may have been lost.
                if claim.fence not in begun:
                    self._start(claim)
            elif admission.miss is not None:
                miss = admission.miss
                self._tally.add("dispatch_skipped")
                self._events.emit(
                    "dispatch_skipped",
                    "warning",
                    schedule_id=miss.schedule_id,
                    reason=miss.reason,
                    first=format_instant(miss.first),
                    last=format_instant(miss.last),
                    count=miss.count,
                )

    def _begun(self) -> set[int]:
        """Tell the fences of all attempts that have begun here and whose end is not settled.

        Asked before a claim: one that is settled after this is not given again any more.
        """
        with self._lock:
            return {*self._attempts, *(each.claim.fence for each in self._ended)}

    def _start(self, claim: Claim) -> None:
        job = claim.job
        self._round.served.add(job.line)
        self._started += 1
        with self._lock:
            attempt = _Attempt(claim=claim, stopped="given_back" if self._giving_back else None)
            self._attempts[claim.fence] = attempt
        self._events.emit(
            "job_started",
            job_id=job.id,
            schedule_id=job.schedule_id,
            attempt=len(job.attempts),
            fence=claim.fence,
            lateness_ms=job.lateness if len(job.attempts) == 1 and job.kind == "slot" else None,
        )
        if self._traces is not None:
            attempt.traced = self._traces.begin(job)
        variables = {} if attempt.traced is None else attempt.traced.variables
        run = self._handlers.start(
            self._invocation(claim, variables), lambda outcome: self._end(attempt, outcome)
        )
        with self._lock:
            attempt.run, why = run, attempt.stopped
        if why is not None:
            run.stop(why)

    def _invocation(self, claim: Claim, variables: Mapping[str, str]) -> Invocation:
        job, definition = claim.job, claim.definition
        number = len(job.attempts)
        steps = (
            {step.key: step.value for step in self._store.read(Step, Where(ids=(job.id,))).items}
            if number > 1 and definition.handler is not None
            else {}
        )

        def remember(key: str, value: JsonText) -> JsonText | None:
            return self._store.remember(claim, key, value)

        return Invocation(
            job_id=job.id,
            schedule_id=job.schedule_id,
            slot=job.slot,
            attempt=number,
            fence=claim.fence,
            input=definition.input if job.input is None else job.input,
            run=definition.run,
            handler=definition.handler,
            env={**variables, **definition.env},
            cwd=definition.cwd,
            user=definition.user,
            timeout=definition.timeout,
            kill_after=definition.kill_after,
            limits=definition.limits,
            stops=definition.stops,
            log=self._log(job.id, number),
            steps=steps,
            remember=remember,
        )

    def _end(self, attempt: _Attempt, outcome: Outcome) -> None:
        now = self._clock.now()
        if attempt.traced is not None:
            attempt.traced.end(outcome, now)
        settlement = settle(attempt.claim, outcome, now, self._luck())
        with self._lock:
            self._attempts.pop(attempt.claim.fence, None)
            self._ended.append(settlement)
        if not self._hastes:  # else whoever does rings when he is done
            self.bell.ring()

    def _stop(self, job_id: str, why: Ending) -> None:
        """End what is under way of a job: one attempt, or one more whose claim others had taken."""
        with self._lock:
            ending = [
                each
                for each in self._attempts.values()
                if each.claim.job.id == job_id and each.stopped is None
            ]
            for each in ending:
                each.stopped = why
        for each in ending:
            if each.run is not None:
                each.run.stop(why)


def _took(job: Job) -> Duration | None:
    """Tell how long the newest attempt took, by the wall clock."""
    newest = job.attempts[-1]
    if newest.finished_at is None:
        return None
    return max(0, newest.finished_at - newest.started_at)
