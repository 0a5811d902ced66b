"""All that people see on stdout: tables and pages as lines of text.

The same lines go to a terminal (relative times, colour) and to a pipe (absolute times, full width);
`Paper` knows the difference. Nothing is read here: what is shown is given.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synccron.cli.paper import Paper, visible
from synccron.cli.table import in_words, what_runs
from synccron.model.time import format_duration, to_duration

if TYPE_CHECKING:
    from synccron.client import (
        DeadLetter,
        Deed,
        Job,
        Miss,
        Node,
        Notify,
        Revision,
        Schedule,
        Status,
    )
    from synccron.client.values import DurationLike

Lines = Iterable[str]

_MISS_HEADER = ("FIRST", "TO", "COUNT", "REASON", "DECIDED BY")
_MISSES = 15  # entries of misses that a terminal shows of a schedule
_NAMED = 100  # schedules that a registration names one by one; of more it tells the number


def registered(paper: Paper, done: Mapping[str, Sequence[str]]) -> Lines:
    """Tell what a registration did: a line each for what is new (if few), one for the whole."""
    for word in ("created", "updated", "pruned"):
        for one in done[word] if len(done[word]) <= _NAMED else ():
            yield f"{paper.word(word)} {visible(one)}"
    counts = [f"{len(done[word])} {word}" for word in ("created", "updated", "unchanged")]
    if done["pruned"]:
        counts.append(f"{len(done['pruned'])} pruned")
    yield paper.tint(", ".join(counts), "dim")


def changed(paper: Paper, found: Sequence["Schedule"], word: str) -> Lines:
    """Tell what a pause or a resume did."""
    for one in found:
        after = "" if one.next_run_at is None else f", runs next {paper.both(one.next_run_at)}"
        yield f"{word} {visible(one.id)}{after}"


def schedule_whole(
    paper: Paper,
    one: "Schedule",
    state: str,
    jobs: Sequence["Job"],
    misses: Sequence["Miss"],
    revisions: Sequence["Revision"],
) -> Lines:
    """Show one schedule whole."""
    yield f"{paper.tint(visible(one.id), 'bold')}  {paper.word(state)}"
    yield from fields(paper, _definition(one))
    yield from fields(
        paper,
        {
            "next": _paused(paper, one) if one.paused else paper.both(one.next_run_at),
            "last slot": one.last_slot_at and paper.both(one.last_slot_at),
            "failed dispatches": one.consecutive_failures
            and f"{one.consecutive_failures} in a row",
            "last error": one.last_error and visible(one.last_error),
            "history from": paper.both(one.history_from),
        },
    )
    if jobs:
        yield from ("", paper.tint("recent jobs", "bold"))
        yield from job_table(paper, jobs)
    if misses:
        yield from ("", paper.tint("misses", "bold"))
        shown = misses if paper.width is None else misses[:_MISSES]
        yield from paper.columns(_MISS_HEADER, (_miss_row(paper, miss) for miss in shown))
        if len(shown) < len(misses):
            yield paper.tint(f"and {len(misses) - len(shown)} before them", "dim")
    if revisions:
        yield from ("", paper.tint("revisions", "bold"))
        header = ("VERSION", "AT", "BY", "CHANGED")
        changes = (
            (str(each.version), paper.when(each.at), visible(each.by), _changed(each))
            for each in revisions
        )
        yield from paper.columns(header, changes)


def _miss_row(paper: Paper, miss: "Miss") -> tuple[str, ...]:
    epoch = "" if miss.epoch is None else f", epoch {miss.epoch}"
    by = "-" if miss.by is None else f"{visible(miss.by)}{epoch}"
    return paper.when(miss.first), paper.when(miss.last), str(miss.count), miss.reason, by


def _changed(revision: "Revision") -> str:
    if revision.changed is None:
        return "registered" if revision.version == 1 else "-"
    return ", ".join(revision.changed) or "its cursor, reset"


def _definition(one: "Schedule") -> dict[str, object]:
    catch_up = f", at most {one.max_catch_up_runs} runs" if one.misfire == "catch_up_all" else ""
    return {
        "when": f"{visible(one.cron)}  ({in_words(one.cron, one.id)}; {visible(one.tz)})",
        "runs": what_runs(one),
        "input": None if one.input is None else json.dumps(one.input),
        "misfire": f"{one.misfire}{catch_up}, grace {span(one.misfire_grace)}",
        "start within": one.start_within and span(one.start_within),
        "overlap": one.overlap
        + ("" if one.max_running is None else f", {one.max_running} at once"),
        "timeout": one.timeout and f"{span(one.timeout)}, then {span(one.kill_after)} to end",
        "retry": _retry(one),
        "on lost": one.on_lost,
        "on disconnect": one.on_disconnect,
        "env": visible(" ".join(f"{key}={value}" for key, value in one.env.items())),
        "cwd": one.cwd and visible(one.cwd),
        "user": one.user and visible(one.user),
        "limits": ", ".join(f"{name} {_amount(name, one)}" for name in one.limits),
        "labels": visible(" ".join(f"{key}={value}" for key, value in one.labels.items())),
        "on nodes": visible(" ".join(f"{key}={value}" for key, value in one.node_labels.items())),
        "handlers": None if one.strict_handlers else "not strict",
        "notify": "; ".join(visible(_told(each)) for each in one.notify),
    }


def _amount(name: str, one: "Schedule") -> str:
    value = one.limits[name]
    if name == "memory" and isinstance(value, int) and value % (1 << 20) == 0:
        return f"{value >> 20}M"
    return f"{value}s" if name == "cpu" else f"{value}"


def _paused(paper: Paper, one: "Schedule") -> str:
    by = f" by {visible(one.paused_by)}" if one.paused_by else ""
    since = f" since {paper.both(one.paused_at)}" if one.paused_at else ""
    until = f" until {paper.both(one.paused_until)}" if one.paused_until else ""
    reason = f": {visible(one.pause_reason)}" if one.pause_reason else ""
    return f"paused{by}{since}{until}{reason}"


def _told(given: "Notify | Mapping[str, Any]") -> str:
    from synccron.client import Notify

    one = given if isinstance(given, Notify) else Notify(**given)
    on = one.on if isinstance(one.on, str) else ", ".join(one.on)
    if one.webhook is not None:
        # its path is what many chat programs know their users by
        return f"{on}: {'/'.join(one.webhook.split('/')[:3])}"
    return f"{on}: {one.command if isinstance(one.command, str) else shlex.join(one.command or ())}"


def _retry(one: "Schedule") -> str | None:
    from synccron.client import Retry

    retry = one.retry if isinstance(one.retry, Retry) else Retry(**one.retry)
    if retry.max_attempts == 1:
        return None
    longest = f" up to {span(retry.max_delay)}" if retry.backoff == "exponential" else ""
    return f"{retry.max_attempts} attempts, {retry.backoff} {span(retry.delay)}{longest}"


def fields(paper: Paper, values: Mapping[str, object]) -> Iterator[str]:
    """Lay out names and values; what has no value is left out."""
    for name, value in values.items():
        if value not in (None, "", 0):
            yield f"  {paper.tint(name.ljust(17), 'dim')}  {value}"


def span(duration: "DurationLike | None") -> str:
    """Tell a duration: `1h30m`, `-` for none."""
    return "-" if duration is None else format_duration(to_duration(duration))


def job_table(paper: Paper, jobs: Sequence["Job"]) -> Lines:
    """Lay out the table of jobs."""
    header = ("JOB", "STATE", "AT", "TOOK", "TRY", "NODE", "ERROR")
    return paper.columns(header, (_job_row(paper, job) for job in jobs))


def _job_row(paper: Paper, job: "Job") -> tuple[str, ...]:
    tries = str(job.attempt) if job.max_attempts == 1 else f"{job.attempt}/{job.max_attempts}"
    node = visible(job.node) if job.node else "-"
    return visible(job.id), job.state, paper.when(job.run_at), took(job), tries, node, _error(job)


def took(job: "Job") -> str:
    """Tell how long a job took, as far as it has ended."""
    return span(job.duration)


def _error(job: "Job") -> str:
    if job.error:
        return visible(job.error)
    if job.cancel_requested_at is not None and job.finished_at is None:
        return "cancel requested"
    return "-"


def job_line(paper: Paper, job: "Job") -> str:
    """Tell how a job stands, in a line that does not depend on its neighbours."""
    parts = [visible(job.id), paper.word(job.state)]
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    if job.finished_at is not None:
        parts.append(f"after {took(job)}")
    if _error(job) != "-":
        parts.append(_error(job))
    return "  ".join(parts)


def job_lines(paper: Paper, jobs: Iterable["Job"]) -> Lines:
    """Tell how each of some jobs stands."""
    return (job_line(paper, job) for job in jobs)


def triggered(paper: Paper, job: "Job") -> str:
    """Tell what a trigger made, or found."""
    known = "  (not run again: the key was used before)" if job.deduplicated else ""
    return job_line(paper, job) + known


def ended(paper: Paper, job: "Job") -> str:
    """Tell how a job ended, for whoever waited."""
    return job_line(paper, job)


def job_whole(paper: Paper, job: "Job", *, truncated: bool, has_output: bool) -> Lines:
    """Show one job whole, up to the heading of its output."""
    yield f"{paper.tint(visible(job.id), 'bold')}  {paper.word(job.state)}"
    yield from fields(
        paper,
        {
            "kind": job.kind,
            "schedule": job.schedule_id and visible(job.schedule_id),
            "slot": job.slot and paper.both(job.slot),
            "key": job.key and visible(job.key),
            "retry of": job.retry_of and visible(job.retry_of),
            "created": f"{paper.both(job.created_at)}{_by(job)}",
            "to run": paper.both(job.run_at),
            "started": job.started_at
            and f"{paper.both(job.started_at)}, {span(job.lateness)} late",
            "finished": job.finished_at and f"{paper.both(job.finished_at)}, took {took(job)}",
            "node": job.node and f"{visible(job.node)}, fence {job.fence}",
            "exit code": None if job.exit_code is None else str(job.exit_code),
            "error": job.error and visible(job.error),
            "result": None if job.result is None else json.dumps(job.result),
            "cancel requested": job.cancel_requested_at and paper.both(job.cancel_requested_at),
        },
    )
    if len(job.attempts) > 1:
        yield from ("", paper.tint(f"attempts ({job.max_attempts} at most)", "bold"))
        header = ("TRY", "OUTCOME", "STARTED", "FINISHED", "NODE", "ERROR")
        yield from paper.columns(
            header,
            (
                (
                    str(one.attempt),
                    one.outcome or "running",
                    paper.when(one.started_at),
                    paper.when(one.finished_at),
                    visible(one.node),
                    visible(one.error) if one.error else "-",
                )
                for one in job.attempts
            ),
        )
    if has_output:
        yield from ("", paper.tint("output" + (", its end" if truncated else ""), "bold"))


def _by(job: "Job") -> str:
    return "" if job.by is None else f", by leader {visible(job.by)}, epoch {job.epoch}"


def dead_table(paper: Paper, found: Sequence["DeadLetter"]) -> Lines:
    """Lay out the table of dead letters; nothing for none."""
    if not found:
        return ()
    header = ("ID", "KIND", "SCHEDULE", "SLOT OR KEY", "WHEN", "TRIES", "MESSAGE")
    return paper.columns(
        header,
        (
            (
                one.id,
                one.kind,
                visible(one.schedule_id or "-"),
                visible(one.key) if one.slot is None and one.key else paper.when(one.slot),
                paper.when(one.ts),
                str(one.attempts),
                visible(one.message),
            )
            for one in found
        ),
    )


def deed_table(paper: Paper, found: Sequence["Deed"]) -> Lines:
    """Lay out the table of who did what; nothing for none."""
    if not found:
        return ()
    return paper.columns(
        ("WHEN", "BY", "DID", "TO", "WHAT ELSE"),
        (
            (
                paper.when(one.at),
                visible(one.by),
                one.verb,
                visible(one.subject),
                visible(one.detail or "-"),
            )
            for one in found
        ),
    )


def dead_whole(paper: Paper, one: "DeadLetter") -> Lines:
    """Show one dead letter."""
    what = "its dispatch failed" if one.kind == "dispatch" else "its job was given up"
    yield f"{paper.tint(one.id, 'bold')}  {what}"
    yield from fields(
        paper,
        {
            "schedule": one.schedule_id and visible(one.schedule_id),
            "slot": one.slot and paper.both(one.slot),
            "key": one.key and visible(one.key),
            "job": one.job_id and visible(one.job_id),
            "message": visible(one.message),
            "attempts": one.attempts,
            "given up": paper.both(one.ts),
            "node": one.node and visible(one.node),
            "epoch": one.epoch,
        },
    )


def node_table(paper: Paper, found: Sequence["Node"]) -> Lines:
    """Lay out the table of nodes; nothing for none."""
    if not found:
        return ()
    header = ("NODE", "ROLE", "HOST", "PID", "RUNNING", "STARTED", "SEEN", "VERSION", "OFFERS")
    return paper.columns(
        header,
        (
            (
                visible(one.id),
                f"leader, epoch {one.epoch}" if one.leader else "-",
                visible(one.host),
                str(one.pid),
                f"{one.running}/{one.concurrency}",
                paper.when(one.started_at),
                paper.when(one.last_seen_at),
                visible(one.version),
                visible(" ".join(one.handlers)) or "-",
            )
            for one in found
        ),
    )


def status_lines(paper: Paper, status: "Status") -> Lines:
    """Show the whole at a glance."""
    if status.leader is None:
        yield f"leader       {paper.tint('nobody leads: nothing is dispatched', 'red')}"
    else:
        yield f"leader       {visible(status.leader)}, epoch {status.epoch}"
    yield f"nodes        {status.nodes}"
    yield f"schedules    {status.schedules}, {status.paused} paused"
    jobs = f"{status.running} running, {status.queued} queued, {status.scheduled} waiting"
    yield f"jobs         {jobs}"
    names = ", ".join(map(visible, status.overdue_ids))
    more = ", …" * (status.overdue > len(status.overdue_ids) > 0)
    overdue = f"{status.overdue}, the longest since {paper.when(status.oldest_due_at)}"
    overdue += f": {names}{more}" if names else ""
    yield f"overdue      {paper.tint(overdue, 'magenta') if status.overdue else 'none'}"
    dead = f"{status.dead_letters}, see 'synccron dlq ls'"
    gone = f" ({status.dead_letters_trimmed} had to make room)" * bool(status.dead_letters_trimmed)
    yield f"dead letters {paper.tint(dead, 'red') if status.dead_letters else 'none'}{gone}"
    yield ""
    for name, value in status.to_json()["counters"].items():
        yield f"{name.ljust(20)}  {'-' if value is None else value}"
