"""A job and its attempts: the values, and the names of their states.

What becomes of a job is decided in `admit.py` (may it start?) and `settle.py` (what follows an
attempt's end?).
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

from synccron.model.deed import Deed
from synccron.model.schedule import Definition, JsonText, Notify, Occasion, Retry
from synccron.model.time import Duration, Instant, slot_name

State = Literal["scheduled", "queued", "running", "completed", "failed", "timed_out", "cancelled"]
Kind = Literal["slot", "manual", "submit", "retry"]
Ending = Literal["completed", "failed", "timed_out", "cancelled", "given_back", "lost"]
Reason = Literal[
    "misfire",
    "overlap",
    "paused",
    "changed",
    "unregistered",
    "no_handler",
    "dispatch_failed",
    "expired",
]
ACTIVE = 8  # so many of what runs, is queued and waits for a retry are read for a decision, of each
STATES: tuple[State, ...] = get_args(State)
SETTLED: frozenset[State] = frozenset({"completed", "failed", "timed_out", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job by one node; `outcome` is None while it runs."""

    attempt: int
    node: str
    fence: int
    started_at: Instant
    finished_at: Instant | None = None
    outcome: Ending | None = None
    exit_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One durable unit of work.

    `id` is the key of law 1. `input` None means the input of its revision. `revision` is None while
    it is an intention. `run_at` is its slot, or when a trigger or a waiting retry is to start;
    `retry_delay` is what the retry waits, in case the wall clock jumps back. `needs` is what a node
    must offer to run it; `alone`: no other attempt of its schedule may hold a claim beside it.
    `replaces`: it still has to replace what is active before it (`overlap: replace`).
    `max_running`: so many attempts of its schedule may hold a claim at once (None: any number).
    `expires_at`: a queued slot that has not begun after this never does.
    `lateness` is how long after `run_at` its first attempt started. `lost` counts the attempts
    whose node died. A job without a schedule has revision 0. `by` is the leader that made a slot's
    job, in its term `epoch`. `mod` is the store's mark of this version.
    """

    id: str
    kind: Kind
    schedule_id: str | None
    state: State
    run_at: Instant
    created_at: Instant
    needs: str
    slot: Instant | None = None
    key: str | None = None
    retry_of: str | None = None
    input: JsonText | None = None
    revision: int | None = None
    alone: bool = False
    replaces: bool = False
    max_running: int | None = None
    expires_at: Instant | None = None
    max_attempts: int = 1
    attempts: tuple[Attempt, ...] = ()
    lost: int = 0
    lateness: Duration | None = None
    retry_delay: Duration | None = None
    session: str | None = None
    finished_at: Instant | None = None
    exit_code: int | None = None
    error: str | None = None
    result: JsonText | None = None
    cancel_requested_at: Instant | None = None
    by: str | None = None
    epoch: int | None = None
    mod: int = 0

    @property
    def intention(self) -> bool:
        """Whether it is a slot's job that was written ahead and never claimed or queued."""
        return self.kind == "slot" and self.state == "scheduled" and self.revision is None

    @property
    def line(self) -> str:
        """What it takes turns with: its schedule, or the jobs submitted to the same handler."""
        return f"submit:{self.needs}" if self.schedule_id is None else self.schedule_id

    @property
    def begun(self) -> bool:
        """Whether an attempt of it was ever started."""
        return bool(self.attempts)

    @property
    def moment(self) -> Instant:
        """When it came up: its slot, or when it was made, if that was later."""
        slot = self.slot if self.kind == "slot" else None
        return max(self.created_at, slot or 0)

    @property
    def settled(self) -> bool:
        """Whether it has ended for good."""
        return self.state in SETTLED

    @property
    def fence(self) -> int | None:
        """The newest fencing token that was handed out for it."""
        return self.attempts[-1].fence if self.attempts else None

    @property
    def node(self) -> str | None:
        """The node that has, or had, its newest attempt."""
        return self.attempts[-1].node if self.attempts else None

    @property
    def failed_on(self) -> str | None:
        """The node whose attempt failed, where it waits for a retry."""
        return self.node if self.retry_delay is not None else None

    @property
    def started_at(self) -> Instant | None:
        """When its first attempt started."""
        return self.attempts[0].started_at if self.attempts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The record of consecutive slots that a rule passed over: first, last and how many.

    `follows` is the slot before `first`: a store joins the entry to the one of the same reason that
    ends there. `by` is who decided it: a leader, in its term `epoch`; a node, at the slot; or who
    gave the command. Of a joined entry, who decided the last of it.
    """

    schedule_id: str
    first: Instant
    last: Instant
    count: int
    reason: Reason
    recorded_at: Instant
    follows: Instant | None = None
    by: str | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An entry in the list of what was given up; it points to a job or a miss."""

    id: str
    kind: Literal["dispatch", "job"]
    schedule_id: str | None
    slot: Instant | None
    key: str | None
    job_id: str | None
    message: str
    attempts: int
    ts: Instant
    node: str | None
    epoch: int | None
    needs: str
    input: JsonText | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that people are to be told, once: `body` is the JSON that `to` gets.

    It is told by the node whose `session` has taken it (None: nobody yet). `opens`: written only
    where an entry of misses begins with this slot, and not where one goes on. `mod` is the store's
    mark of this version.
    """

    id: str
    schedule_id: str
    on: Occasion
    at: Instant
    body: JsonText
    to: Notify
    opens: Instant | None = None
    session: str | None = None
    mod: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The kept end of what a job's newest ended attempt wrote to stdout and stderr, in order."""

    job_id: str
    tail: bytes
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The stored result of one step of a job, which later attempts reuse."""

    job_id: str
    key: str
    value: JsonText


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be made at once (trigger, submit, retry), and what must hold for that.

    `seen` is the schedule's mark as read (None: it has no schedule): it must still stand so.
    `active` is what was active of its schedule as read (None: that does not matter), and must still
    be so.
    `dead` is a dead letter that the job replaces, `deed` tells who asked for it, both in the same
    transaction. `digest` is of the
    input: the same key with another digest is the caller's conflict.
    """

    job: Job
    digest: str
    seen: int | None = None
    active: tuple[Job, ...] | None = None
    dead: str | None = None
    deed: Deed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The record of a key: it outlives its job. `state` is the job's newest known state.

    `new`: the call that gives it made the job.
    """

    job_id: str
    at: Instant
    digest: str
    state: State
    new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A job that a node may start now, and what a decision on it looks at.

    `definition` is that of its pinned revision, or the schedule's current one for an intention
    (whose `version` and `seen` mark are then compared by the claim). None: nothing is left of its
    schedule. `active`: the other jobs of its schedule that are queued, run or wait for a retry, in
    order of their instants, of each the first ACTIVE; read only where `job.alone` is so. `running`:
    how many attempts of its schedule are under way; read only where `job.max_running` is given.
    """

    job: Job
    definition: Definition | None
    version: int | None = None
    seen: int | None = None
    active: tuple[Job, ...] = ()
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What is to become of a candidate; void if it, its schedule or `active` has moved since.

    Exactly one of: `job` without a miss: the record to write instead (queued, waiting anew,
    cancelled); `miss`: the slot's job becomes this miss; neither: it is claimed. `replaces` are the
    records of active jobs whose end is asked for in the same transaction. `notices` tell of the
    miss.
    """

    candidate: Candidate
    job: Job | None = None
    miss: Miss | None = None
    replaces: tuple[Job, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to one attempt: only the newest fence of a job settles it (law 5)."""

    job: Job
    definition: Definition
    session: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended, as its handler saw it (or the reaper: lost).

    `permanent`: another attempt would end the same way. `tail` is the end of its output.
    """

    ending: Ending
    exit_code: int | None = None
    error: str | None = None
    result: JsonText | None = None
    tail: bytes = b""
    truncated: bool = False
    permanent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What follows an attempt's end: the job's new record; `cancelled`, if a cancel was asked for.

    Written only if `claim.fence` is still the job's newest; with `gone`, only if the claim's
    session is still gone. `dead` and what people are told are void if a cancel was asked for.
    `failing` is what the schedule is from now on (None: that stays, or nobody asks); `changed` are
    told if it was otherwise before, `notices` in any case.
    """

    claim: Claim
    job: Job
    output: Output | None = None
    dead: DeadLetter | None = None
    gone: bool = False
    failing: bool | None = None
    changed: tuple[Notice, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def cancelled(self) -> Job:
        """The record if a cancel was asked for: its attempt ended as it did, no more."""
        before = self.claim.job
        return replace(
            self.job,
            state="cancelled",
            finished_at=self.job.attempts[-1].finished_at,
            run_at=before.run_at,
            retry_delay=before.retry_delay,
            lost=before.lost,
            result=before.result,
        )


def slot_key(schedule_id: str, slot: Instant) -> str:
    """Give the key of law 1: `{schedule}:{slot}`, the slot as `20261123T220000Z`."""
    return f"{schedule_id}:{slot_name(slot)}"


def short_id(*parts: object) -> str:
    """Derive an opaque id of 12 characters from what identifies a thing."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def queued(job: Job, definition: Definition, version: int | None, since: Instant) -> Job:
    """Give the record of an intention that waits from now on, with the revision it will run.

    What `start_within` allows counts from `since`.
    """
    within = definition.start_within
    return replace(
        job,
        state="queued",
        revision=version,
        replaces=definition.overlap == "replace",
        expires_at=None if within is None else since + within,
    )


def claimed(candidate: Candidate, node: str, session: str, fence: int, now: Instant) -> Job:
    """Give the record of a candidate that was claimed with this fence: one more attempt runs."""
    job = candidate.job
    attempt = Attempt(attempt=len(job.attempts) + 1, node=node, fence=fence, started_at=now)
    return replace(
        job,
        state="running",
        revision=candidate.version if job.revision is None else job.revision,
        attempts=(*job.attempts, attempt),
        session=session,
        lateness=job.lateness if job.attempts else max(0, now - job.run_at),
        retry_delay=None,
        replaces=False,
        expires_at=None,
    )


def claimed_before(admission: Admission, stands: Job | None, session: str) -> Claim | None:
    """Give the claim that an earlier sending of this admission made, whose answer was lost.

    `stands` is the job as it is now: it is this session's if it has its very next attempt.
    """
    candidate = admission.candidate
    if (
        admission.job is not None
        or admission.miss is not None
        or candidate.definition is None
        or stands is None
        or stands.fence is None
        or stands.session != session
        or len(stands.attempts) != len(candidate.job.attempts) + 1
    ):
        return None
    return Claim(job=stands, definition=candidate.definition, session=session, fence=stands.fence)


def bare(job: Job) -> Definition:
    """Give the definition that a job without a schedule runs: its handler, and every default."""
    return _bare(job.needs, job.max_attempts)


@lru_cache(maxsize=1024)
def _bare(handler: str, max_attempts: int) -> Definition:
    """Make it once for the many jobs that share it."""
    return Definition(
        id=handler, cron="@every 1h", handler=handler, retry=Retry(max_attempts=max_attempts)
    )
