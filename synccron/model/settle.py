"""Decide what follows the end of an attempt: done, another attempt, or a dead letter."""

from dataclasses import replace
from typing import assert_never

from synccron.model.job import Claim, DeadLetter, Job, Outcome, Output, Settlement, State, short_id
from synccron.model.notify import failing_after, of_change, of_letters
from synccron.model.schedule import Retry
from synccron.model.time import Duration, Instant

RERUNS = (
    3  # a job whose node died is taken up again so often: one that kills its node must not kill all
)
TAIL = 16 * 1024  # bytes of output that are kept with a job
TAIL_COMPLETED = 4 * 1024


def settle(
    claim: Claim, outcome: Outcome, now: Instant, luck: float, *, gone: bool = False
) -> Settlement:
    """Turn an ending into the job's next record; `luck` in [0, 1) is the jitter of a back-off.

    The attempt keeps its true outcome, also where the store finds that a cancel was asked for.
    `gone`: it holds only if the claim's session is gone (the reaper's).
    """
    ended = _ended(claim.job, outcome, now)
    job = _next(claim, ended, outcome, now, luck)
    dead = _letter(claim, job, now) if job.state in ("failed", "timed_out") else None
    failing = failing_after(claim.definition, job)
    return Settlement(
        claim=claim,
        job=job,
        output=_output(job, outcome),
        dead=dead,
        gone=gone,
        failing=failing,
        changed=() if failing is None else of_change(claim, job, now, failing=failing),
        notices=() if dead is None else of_letters(claim.definition, [dead], now),
    )


def delay(retry: Retry, failures: int, luck: float) -> Duration:
    """Tell how long to wait after this many failures, in ms.

    Fixed, or exponential with full jitter:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    if retry.backoff == "fixed":
        return retry.delay
    longest = min(retry.max_delay, retry.delay << min(failures - 1, 40))
    return round(longest * luck)


def _ended(job: Job, outcome: Outcome, now: Instant) -> Job:
    attempt = replace(
        job.attempts[-1],
        finished_at=now,
        outcome=outcome.ending,
        exit_code=outcome.exit_code,
        error=outcome.error,
    )
    return replace(
        job,
        attempts=(*job.attempts[:-1], attempt),
        session=None,
        exit_code=outcome.exit_code,
        error=outcome.error,
    )


def _next(claim: Claim, ended: Job, outcome: Outcome, now: Instant, luck: float) -> Job:
    match outcome.ending:
        case "completed" | "cancelled" as ending:
            return replace(ended, state=ending, finished_at=now, result=outcome.result)
        case "given_back":
            return replace(ended, state="queued", run_at=now)
        case "lost":
            return _rerun(claim, replace(ended, lost=ended.lost + 1), now)
        case "failed" | "timed_out" as ending:
            failures = sum(each.outcome in ("failed", "timed_out") for each in ended.attempts)
            if outcome.permanent or failures >= ended.max_attempts:
                return _final(ended, ending, now)
            wait = delay(claim.definition.retry, failures, luck)
            return replace(ended, state="scheduled", run_at=now + wait, retry_delay=wait)
        case _:
            assert_never(outcome.ending)


def _rerun(claim: Claim, lost: Job, now: Instant) -> Job:
    if claim.definition.on_lost == "fail" or lost.lost > RERUNS:
        return _final(lost, "failed", now)
    return replace(lost, state="queued", run_at=now)


def _final(ended: Job, state: State, now: Instant) -> Job:
    return replace(ended, state=state, finished_at=now)


def _output(job: Job, outcome: Outcome) -> Output | None:
    if not outcome.tail:
        return None
    kept = outcome.tail[-(TAIL_COMPLETED if job.state == "completed" else TAIL) :]
    cut = outcome.truncated or len(kept) < len(outcome.tail)
    return Output(job_id=job.id, tail=kept, truncated=cut)


def _letter(claim: Claim, job: Job, now: Instant) -> DeadLetter:
    return DeadLetter(
        id=short_id(job.id, claim.fence),
        kind="job",
        schedule_id=job.schedule_id,
        slot=job.slot,
        key=job.key,
        job_id=job.id,
        message=job.error or job.state,
        attempts=len(job.attempts),
        ts=now,
        node=job.node,
        epoch=None,
        needs=job.needs,
        input=job.input,
    )
