"""What follows the end of an attempt."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synccron.model.job import SETTLED, Claim, Ending, Job, Outcome, Settlement
from synccron.model.schedule import Backoff, Retry
from synccron.model.settle import RERUNS, delay, settle
from synccron.model.time import MINUTE, SECOND
from tests.make import NOW, attempt, claim, job, schedule


def end(ending: Ending, of: Claim | None = None, **fields: object) -> Settlement:
    outcome = Outcome(ending=ending, **fields)  # type: ignore[arg-type]
    return settle(of or claim(), outcome, NOW + SECOND, 0.5)


def retrying(times: int, **retry: object) -> Claim:
    """A claim on a job that has failed so often before."""
    made = schedule(retry=Retry(max_attempts=4, **retry))  # type: ignore[arg-type]
    before = tuple(attempt(n + 1, outcome="failed") for n in range(times))
    return claim(made, job(made, attempts=before, revision=1), fence=times + 1)


def test_a_completed_job_keeps_its_result_and_a_short_tail_of_its_output() -> None:
    settled = end("completed", result='{"rows":3}', tail=b"x" * 5000, exit_code=0)
    assert (settled.job.state, settled.job.result) == ("completed", '{"rows":3}')
    assert settled.job.finished_at == NOW + SECOND
    assert settled.output is not None
    assert (len(settled.output.tail), settled.output.truncated) == (4096, True)
    assert settled.dead is None


def test_a_failure_without_attempts_left_is_a_dead_letter() -> None:
    settled = end("failed", exit_code=3, error="exit status 3", tail=b"x" * 20_000)
    assert (settled.job.state, settled.job.exit_code) == ("failed", 3)
    assert settled.dead is not None
    assert (settled.dead.kind, settled.dead.job_id, settled.dead.message) == (
        "job",
        settled.job.id,
        "exit status 3",
    )
    assert settled.output is not None
    assert len(settled.output.tail) == 16 * 1024


@pytest.mark.parametrize("ending", ["failed", "timed_out"])
def test_an_attempt_that_ended_by_itself_is_followed_by_another(ending: Ending) -> None:
    settled = end(ending, retrying(1))
    assert (settled.job.state, settled.job.run_at, settled.job.retry_delay) == (
        "scheduled",
        NOW + 2 * SECOND,
        SECOND,
    )
    assert settled.job.attempts[-1].outcome == ending
    assert settled.dead is None


def test_the_last_attempt_gives_the_job_its_state() -> None:
    assert end("failed", retrying(3)).job.state == "failed"
    assert end("timed_out", retrying(3)).job.state == "timed_out"


def test_what_cannot_pass_by_trying_again_is_not_tried_again() -> None:
    settled = end("failed", retrying(0), permanent=True)
    assert settled.job.state == "failed"
    assert settled.dead is not None


def test_a_job_that_was_given_back_is_queued_at_once_and_nothing_is_held_against_it() -> None:
    settled = end("given_back", retrying(0))
    assert (settled.job.state, settled.job.run_at) == ("queued", NOW + SECOND)
    again = claim(schedule(retry=Retry(max_attempts=2)), settled.job, fence=2)
    failed = settle(again, Outcome(ending="failed"), NOW, 0)
    assert failed.job.state == "failed" if failed.job.max_attempts == 1 else "scheduled"


def test_a_lost_attempt_is_rerun_three_times_and_then_a_dead_letter() -> None:
    running: Job = claim().job
    for number in range(RERUNS):
        settled = end("lost", replace(claim(), job=running))
        assert (settled.job.state, settled.job.lost) == ("queued", number + 1)
        running = claim(each=settled.job, fence=number + 2).job
    settled = end("lost", replace(claim(), job=running))
    assert settled.job.state == "failed"
    assert settled.dead is not None


def test_work_that_must_run_at_most_once_fails_when_it_is_lost() -> None:
    settled = end("lost", claim(schedule(on_lost="fail", retry=Retry(max_attempts=5))))
    assert settled.job.state == "failed"
    assert settled.dead is not None


@pytest.mark.parametrize("ending", get_args(Ending))
def test_a_cancel_that_was_asked_for_ends_the_job_whatever_its_attempt_did(ending: Ending) -> None:
    settled = end(ending, retrying(0))
    assert settled.cancelled.state == "cancelled"
    assert settled.cancelled.attempts[-1].outcome == ending


@given(ending=st.sampled_from(get_args(Ending)), before=st.integers(0, 5), permanent=st.booleans())
def test_every_ending_leads_to_an_end_or_to_another_attempt(
    ending: Ending, before: int, permanent: bool
) -> None:
    settled = end(ending, retrying(min(before, 3)), permanent=permanent)
    if settled.job.state in SETTLED:
        assert settled.job.finished_at is not None
        assert (settled.dead is not None) == (settled.job.state in ("failed", "timed_out"))
    else:
        assert settled.job.finished_at is None
        assert settled.job.session is None


@given(
    backoff=st.sampled_from(["fixed", "exponential"]),
    failures=st.integers(1, 10_000),
    luck=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_longer_than_its_bound(
    backoff: Backoff, failures: int, luck: float
) -> None:
    retry = Retry(backoff=backoff, delay=SECOND, max_delay=MINUTE)
    assert 0 <= delay(retry, failures, luck) <= MINUTE
    assert delay(Retry(), failures, luck) == SECOND


def test_an_exponential_delay_doubles_up_to_its_bound() -> None:
    retry = Retry(backoff="exponential", delay=SECOND, max_delay=6 * SECOND)
    assert [delay(retry, n, 0.999_999_9) for n in (1, 2, 3, 4)] == [1000, 2000, 4000, 6000]
