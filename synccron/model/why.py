"""Say in plain words what the next slot will do, and why a passed one ran, ran late or did not run.

Pure: from the records alone, as they were read. What is not recorded is not guessed; where several
causes leave the same records, all of them are named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from synccron.model.change import stranded
from synccron.model.cron import CronError, timetable
from synccron.model.job import DeadLetter, Job, Miss, Reason, State
from synccron.model.lease import REPORTED, Node, Term
from synccron.model.needs import SHELL, handler_in, in_words
from synccron.model.schedule import Definition, Schedule
from synccron.model.time import SECOND, Duration, Instant, format_duration, format_instant

LATE: Duration = 5 * SECOND  # a slot that is undecided for longer is late
PROMPT: Duration = SECOND  # what starts within it has started on time
OFF: Duration = 30 * SECOND  # a node whose clock is off by more neither leads nor starts slots

# Of a slot to come, then of one that has come: the state of its job, or why it has none.
Prospect = Literal[
    "will_run",
    "paused",
    "late",
    "failing",
    "nobody_leads",
    "no_node",
    "busy",
    "stranded",
    "unreadable",
]
Unrecorded = Literal["undecided", "forgotten", "no_slot", "unknown"]
Verdict = Prospect | State | Literal["missed"] | Unrecorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What becomes, or became, of a slot: in a word and in sentences.

    `reason` is that of a miss. `by`, `epoch` and `decided_at` tell who decided it and when, as far
    as that is recorded; of a slot to come, who leads now.
    """

    slot: Instant | None
    verdict: Verdict
    text: tuple[str, ...]
    reason: Reason | None = None
    job_id: str | None = None
    by: str | None = None
    epoch: int | None = None
    decided_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What an answer on the next slot looks at: the schedule, who lives and leads, what runs.

    `active` are the schedule's jobs that are queued, run or wait for a retry.
    """

    schedule: Schedule
    nodes: Sequence[Node]
    term: Term | None
    active: Sequence[Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is recorded of a slot, and beside it.

    `definition` is what was current then. `beside` are other jobs of the schedule near the slot,
    newest first; `letters` the dead letters that point to it.
    """

    schedule: Schedule
    slot: Instant
    definition: Definition
    job: Job | None
    miss: Miss | None
    beside: Sequence[Job] = ()
    letters: Sequence[DeadLetter] = ()


def coming(at: Now, now: Instant) -> Answer:
    """Say what the next slot will do, if nothing changes."""
    verdict, text = _prospect(at, now)
    answer = Answer(slot=at.schedule.next_run_at, verdict=verdict, text=(*text, *_clocks(at.nodes)))
    if at.term is None:
        return answer
    return replace(answer, by=at.term.node, epoch=at.term.epoch)


def passed(at: Past, now: Instant) -> Answer:
    """Say what became of a slot, and why."""
    if at.job is not None:
        job = at.job
        return Answer(
            slot=at.slot,
            verdict=job.state,
            text=tuple(_ran(at, job)),
            job_id=job.id,
            by=job.by,
            epoch=job.epoch,
            decided_at=job.created_at,
        )
    if at.miss is not None:
        miss = at.miss
        return Answer(
            slot=at.slot,
            verdict="missed",
            text=tuple(_missed(at, miss)),
            reason=miss.reason,
            by=miss.by,
            epoch=miss.epoch,
            decided_at=miss.recorded_at,
        )
    verdict, text = _unrecorded(at, now)
    return Answer(slot=at.slot, verdict=verdict, text=(text,))


def _prospect(at: Now, now: Instant) -> tuple[Prospect, tuple[str, ...]]:  # noqa: PLR0911 - the first cause that holds
    schedule, cursor = at.schedule, at.schedule.cursor
    if schedule.paused:
        return "paused", tuple(_pause(schedule))
    try:
        timetable(schedule.definition.cron, schedule.definition.tz, schedule.id)
    except CronError as error:
        return "unreadable", (f"Its cron cannot be read by this version: {error}.",)
    if stranded(schedule, now):
        return "stranded", (
            "Its cursor lies further in the future than dispatch puts it: a clock was wrong.",
            "Slots before it are not dispatched.",
            f"'synccron reset-cursor {schedule.id}' brings it back.",
        )
    live = [node for node in at.nodes if node.live]
    if at.term is None:
        if live:
            return "nobody_leads", (
                "Nobody leads: it waits until one of the nodes takes the lead.",
            )
        return "nobody_leads", (f"No node runs: {_afterwards(schedule.definition)}.",)
    if cursor.failures:
        return "failing", tuple(_failing(schedule))
    wanted = schedule.definition
    able = [node.id for node in live if node.offer.covers(wanted.needs, wanted.run)]
    if not able:
        return "no_node", (_nobody_offers(schedule.definition),)
    leader = f"leader {at.term.node} (epoch {at.term.epoch})"
    late = now - (schedule.next_run_at or now)
    if late > LATE:
        told = f"It is due since {format_duration(late)}, and {leader} has not decided it yet"
        return "late", (f"{told}: the leader is slow, stopped, or cannot write.",)
    ready = f"{leader} dispatches it, and {_names(able)} {_offer(able)} what it needs."
    if at.active and schedule.definition.alone:
        job = at.active[0]
        since = "" if job.started_at is None else f" since {format_instant(job.started_at)}"
        meets = _meets(schedule.definition, f"Job {job.id} is {job.state}{since}.")
        return "busy", (f"It is to run: {ready}", meets)
    return "will_run", (f"It will run: {ready}",)


def _pause(schedule: Schedule) -> Iterator[str]:
    by = f" by {schedule.paused_by}" if schedule.paused_by else ""
    since = f" since {format_instant(schedule.paused_at)}" if schedule.paused_at else ""
    until = f", until {format_instant(schedule.paused_until)}" if schedule.paused_until else ""
    reason = f": {schedule.pause_reason}" if schedule.pause_reason else ""
    yield f"It is paused{by}{since}{until}{reason}."
    yield "Slots that pass meanwhile are misses (paused); triggers still run."


def _failing(schedule: Schedule) -> Iterator[str]:
    cursor, most = schedule.cursor, schedule.definition.max_dispatch_failures
    again = "" if cursor.retry_at is None else f"; the next try is at {_at(cursor.retry_at)}"
    yield f"Its dispatch has failed {cursor.failures} times in a row{again}."
    if cursor.last_error:
        yield f"The last error: {cursor.last_error}."
    yield f"After {most} failures its due slots become misses (dispatch_failed) and dead letters."


def _nobody_offers(definition: Definition) -> str:
    what = f"No live node offers {_need(definition)}"
    if not definition.strict_handlers:
        return f"{what}: the slot will be a miss (no_handler)."
    return (
        f"{what}: its dispatch will fail and be tried again, and is given up after"
        f" {definition.max_dispatch_failures} failures. Start a node that has it."
    )


def _meets(definition: Definition, told: str) -> str:
    still = f"{told} If it is still under way then,"
    match definition.overlap:
        case "skip":
            return f"{still} the slot is a miss (overlap)."
        case "queue":
            return f"{still} the slot waits for it, unless another one waits already."
        case "replace":
            return f"{still} it is cancelled, and the slot starts when its attempt has ended."
        case _:
            return told


def _afterwards(definition: Definition) -> str:
    grace = format_duration(definition.misfire_grace)
    match definition.misfire:
        case "skip":
            return f"when one starts, the newest slot runs if it is at most {grace} old"
        case "catch_up_one":
            return "when one starts, the newest slot that is due then runs, however old"
        case "catch_up_all":
            return f"when one starts, the newest {definition.max_catch_up_runs} due slots run"


def _clocks(nodes: Sequence[Node]) -> Iterator[str]:
    """Tell whose clock is off, by what each told last; nodes of one host have one clock."""
    live = [node for node in nodes if node.live and node.last_seen_at is not None]
    if len({node.host for node in live}) < 2:  # noqa: PLR2004
        return
    middle = median(node.last_seen_at or 0 for node in live)
    for node in live:
        off = round((node.last_seen_at or 0) - middle)
        if abs(off) > OFF + REPORTED:
            way = "ahead of" if off > 0 else "behind"
            yield (
                f"The clock of node {node.id} is {format_duration(abs(off))} {way} the others', so"
                " that it neither leads nor starts slots."
            )


def _ran(at: Past, job: Job) -> Iterator[str]:
    yield _dispatched(at, job)
    if not job.attempts:
        yield _not_started(job)
        return
    first = job.attempts[0]
    late = job.lateness or 0
    started = f"It started {format_duration(late)} after its instant, on {first.node}."
    yield started if late else f"It started at its instant, on {first.node}."
    if late > PROMPT and first.started_at - job.created_at > PROMPT:
        yield _waited(at, job, first.started_at)
    for attempt in job.attempts:
        if attempt.outcome == "lost":
            yield f"Attempt {attempt.attempt} was lost: {attempt.node} died, or lost its claim."
        elif attempt.outcome == "given_back":
            yield f"Attempt {attempt.attempt} was given back, as {attempt.node} was stopped."
        elif attempt.outcome not in (None, "completed"):
            error = f": {attempt.error}" if attempt.error else ""
            yield f"Attempt {attempt.attempt} on {attempt.node} {_ended(attempt.outcome)}{error}."
    yield _settled(job)
    for letter in at.letters:
        yield f"It was given up: dead letter {letter.id} ('synccron dlq retry {letter.id}')."


def _dispatched(at: Past, job: Job) -> str:
    who = "It was dispatched" if job.by is None else f"Leader {job.by} dispatched it"
    term = "" if job.epoch is None else f" in epoch {job.epoch}"
    written = job.created_at - at.slot
    if written <= PROMPT:
        return f"{who}{term}, in time."
    before = next((each for each in at.beside if each.slot and each.slot < at.slot), None)
    why = "until then no leader had decided it: none led, or it was stopped, or its clock jumped"
    if before is not None and None not in (before.epoch, job.epoch) and before.epoch != job.epoch:
        why = f"the lead passed from {before.by} (epoch {before.epoch}) to {job.by} before it"
    return (
        f"{who}{term} at {_at(job.created_at)}, {format_duration(written)} late: {why}."
        f" Its misfire policy ({at.definition.misfire}) let it run all the same."
    )


def _not_started(job: Job) -> str:
    if job.state == "cancelled":
        return f"It was cancelled before it started{_why(job)}."
    if job.intention:
        return "It was written ahead of its time; a node starts it at its instant."
    return f"It is {job.state}: no node that offers {in_words(job.needs)} has had room for it yet."


def _waited(at: Past, job: Job, started: Instant) -> str:
    if job.alone:
        for each in at.beside:
            ended = each.finished_at
            if each.id != job.id and ended is not None and job.run_at < ended <= started:
                return f"It waited for job {each.id}, which ended at {_at(ended)}."
    why = f"those that offer {in_words(job.needs)} were full, stopped or away"
    if job.max_running is not None:
        why += f", or {job.max_running} jobs of the schedule ran already (max_running)"
    return f"No node had taken it before: {why}."


def _settled(job: Job) -> str:
    if job.state == "running":
        return f"It runs, on {job.node}."
    if job.state == "scheduled":
        return f"It waits to be tried again, at {_at(job.run_at)}."
    if job.state == "queued":
        return "It is queued, to be run again."
    at = "" if job.finished_at is None else f" at {_at(job.finished_at)}"
    if job.state == "cancelled":
        asked = "" if job.cancel_requested_at is None else ", as somebody asked for"
        return f"It was cancelled{at}{asked}{_why(job)}."
    return f"It {_ended(job.state)}{at}{_why(job)}."


def _missed(at: Past, miss: Miss) -> Iterator[str]:
    yield "It did not run."
    yield from _cause(at, miss)
    if miss.count > 1:
        yield (
            f"It is one of {miss.count} slots from {_at(miss.first)} to {_at(miss.last)} that were"
            " passed over for this reason."
        )
    if miss.epoch is not None:
        yield f"Leader {miss.by} decided so in epoch {miss.epoch}, at {_at(miss.recorded_at)}."
    elif miss.by is not None:
        yield f"{miss.by} decided so, at {_at(miss.recorded_at)}."
    for letter in at.letters:
        yield f"Its dead letter is {letter.id} ('synccron dlq retry {letter.id}' runs it)."


def _cause(at: Past, miss: Miss) -> Iterator[str]:
    definition = at.definition
    match miss.reason:
        case "misfire":
            late = max(0, miss.recorded_at - at.slot)
            grace = format_duration(definition.misfire_grace)
            yield (
                f"Its misfire policy ({definition.misfire}) passed it over: it was decided up to"
                f" {format_duration(late)} late, with a misfire_grace of {grace}, or a newer slot"
                " was due by then."
            )
            yield (
                "Until then no leader had decided it: none led, or it was stopped, or its clock"
                " jumped forward."
            )
        case "overlap":
            yield _overlapped(at)
        case "paused":
            yield "The schedule was paused then."
        case "changed":
            yield "Its cron or time zone was changed before this slot was dispatched."
        case "unregistered":
            yield "The schedule was removed before it was dispatched."
        case "no_handler":
            yield f"No live node offered {_need(definition)}, and strict_handlers is false."
        case "dispatch_failed":
            yield "Its dispatch failed again and again, and was given up."
            yield from (f"The error: {each.message}." for each in at.letters[:1])
            if not at.letters:
                yield f"A strict schedule does when no live node offers {_need(definition)}."
        case "expired":
            within = format_duration(definition.start_within or 0)
            yield (
                f"It could not start within {within} (start_within): nodes were full, or what it"
                " waited for ran on."
            )


def _overlapped(at: Past) -> str:
    for each in at.beside:
        if each.intention or each.run_at >= at.slot:
            continue
        if each.finished_at is None:
            return f"An earlier job was still under way: {each.id}, which is {each.state}."
        if each.finished_at >= at.slot:
            ended = format_instant(each.finished_at)
            return f"An earlier job was still under way: {each.id}, which ended at {ended}."
    return "An earlier job of the schedule was still queued, running or waiting for a retry."


def _unrecorded(at: Past, now: Instant) -> tuple[Unrecorded, str]:
    cursor = at.schedule.cursor
    table = timetable(at.definition.cron, at.definition.tz, at.schedule.id)
    if table.previous(at.slot) != at.slot:
        before, after = table.previous(at.slot), table.next(at.slot)
        near = " and ".join(_at(each) for each in (before, after) if each is not None)
        return "no_slot", f"It is no slot of the schedule; those beside it are {near}."
    if at.slot < cursor.history_from:
        return (
            "forgotten",
            f"The history begins at {_at(cursor.history_from)}: what was is forgotten.",
        )
    if at.slot >= cursor.next:
        late = now - at.slot
        if late <= 0:
            return "undecided", "It has not come yet."
        return "undecided", f"It is {format_duration(late)} past, and not decided yet: see 'next'."
    return "unknown", "It has no record, which must not be: see 'synccron audit'."


def _ended(state: str) -> str:
    return (
        "timed out" if state == "timed_out" else f"was {state}" if state == "cancelled" else state
    )


def _why(job: Job) -> str:
    return f": {job.error}" if job.error else ""


def _need(definition: Definition) -> str:
    words = in_words(definition.needs)
    return f"{'shell commands' if handler_in(definition.needs) == SHELL else 'handler'} {words}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more nodes"  # noqa: PLR2004


def _offer(names: Sequence[str]) -> str:
    return "offers" if len(names) == 1 else "offer"


def _at(instant: Instant) -> str:
    return format_instant(instant)
