"""Whether a job may start: judged at its instant."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.admit import ELSEWHERE, Place, admit, comes_to, foremost
from synccron.model.job import Admission
from synccron.model.time import SECOND
from tests.make import NOW, attempt, candidate, job, schedule

HERE = Place(node="n1", full=False, others=True, lease=5 * SECOND)
FULL = replace(HERE, full=True)
ALONE = schedule(overlap="skip")


def claims(admission: Admission | None) -> bool:
    return admission is not None and admission.job is None and admission.miss is None


def test_a_job_starts_at_its_instant_and_not_before() -> None:
    assert admit(candidate(), NOW - 1, HERE) is None
    assert claims(admit(candidate(), NOW, HERE))


def test_an_intention_is_the_leaders_once_its_window_is_over() -> None:
    assert claims(admit(candidate(), NOW + 5 * SECOND, HERE))
    assert admit(candidate(), NOW + 5 * SECOND + 1, HERE) is None
    short = schedule(misfire_grace=SECOND)
    assert admit(candidate(short), NOW + SECOND + 1, HERE) is None


def test_a_full_node_queues_an_intention_with_the_revision_of_that_moment() -> None:
    admission = admit(candidate(), NOW, FULL)
    assert admission is not None
    assert admission.job is not None
    assert (admission.job.state, admission.job.revision) == ("queued", 1)


def test_a_full_node_leaves_what_is_queued_to_others() -> None:
    assert admit(candidate(each=job(state="queued", revision=1)), NOW, FULL) is None


def test_overlap_skip_makes_a_miss_of_a_slot_that_comes_while_its_schedule_is_busy() -> None:
    for state in ("queued", "running", "scheduled"):
        busy = job(ALONE, NOW - SECOND, state=state, revision=1)
        admission = admit(candidate(ALONE, active=(busy,)), NOW, HERE)
        assert admission is not None
        assert admission.miss is not None
        assert (admission.miss.reason, admission.miss.first) == ("overlap", NOW)
    assert claims(admit(candidate(ALONE), NOW, HERE))


def test_overlap_allow_starts_beside_what_runs() -> None:
    assert claims(admit(candidate(active=()), NOW, HERE))


def test_queued_jobs_of_one_catch_up_run_one_after_another_oldest_first() -> None:
    first = job(ALONE, NOW - 2 * SECOND, state="queued", revision=1)
    second = job(ALONE, NOW - SECOND, state="queued", revision=1)
    assert claims(admit(candidate(ALONE, first, (second,)), NOW, HERE))
    assert admit(candidate(ALONE, second, (first,)), NOW, HERE) is None
    running = replace(first, state="running")
    assert admit(candidate(ALONE, second, (running,)), NOW, HERE) is None


def test_a_retry_leaves_another_node_the_first_fifth_of_a_second() -> None:
    failed = job(
        state="scheduled", revision=1, attempts=(attempt(outcome="failed"),), retry_delay=SECOND
    )
    read = candidate(each=failed)
    assert admit(read, NOW + 199, HERE) is None
    assert claims(admit(read, NOW + 200, HERE))
    assert claims(admit(read, NOW, replace(HERE, node="n2")))
    assert claims(admit(read, NOW, replace(HERE, others=False)))


def test_a_retry_whose_clock_jumped_back_counts_its_delay_anew() -> None:
    waiting = job(
        state="scheduled", revision=1, attempts=(attempt(outcome="failed"),), retry_delay=SECOND
    )
    admission = admit(candidate(each=waiting), NOW - 3600 * SECOND, HERE)
    assert admission is not None
    assert admission.job is not None
    assert admission.job.run_at == NOW - 3600 * SECOND + SECOND


def test_a_job_whose_schedule_is_gone_is_cancelled() -> None:
    read = replace(candidate(each=job(state="queued")), definition=None)
    admission = admit(read, NOW, HERE)
    assert admission is not None
    assert admission.job is not None
    assert (admission.job.state, admission.job.error) == ("cancelled", "unregistered")


NODES = [f"n{n}" for n in range(5)]


def test_a_job_has_one_first_node_and_then_each_other_one_in_turn():
    now = NOW
    firsts = {
        job: [node for node in NODES if comes_to(job, now, NODES, node, now) == now]
        for job in map(str, range(200))
    }
    assert all(len(first) == 1 for first in firsts.values())
    shares = [sum(first == [node] for first in firsts.values()) for node in NODES]
    assert min(shares) > 20
    (first,) = firsts["7"]
    seen = []
    for slot in range(1, 11):
        later = now + slot * ELSEWHERE + 1
        able = [node for node in NODES if comes_to("7", now, NODES, node, later) <= later]
        assert first in able
        assert len(able) <= 2
        seen += [node for node in able if node != first]
    assert set(seen) == set(NODES) - {first}


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 5000), st.integers(0, 9))
def test_a_turn_that_has_not_come_is_the_next_one(late, which):
    node = f"n{which}"
    at = comes_to("job", NOW, NODES, node, NOW + late)
    assert at == NOW or at > NOW + late - ELSEWHERE
    assert comes_to("job", NOW, NODES, node, max(at, NOW + late)) <= max(at, NOW + late)


def test_the_node_that_failed_a_retry_is_the_last_for_it():
    for retry in map(str, range(50)):
        failed = foremost(retry, NODES)
        assert foremost(retry, NODES, failed) not in (failed, None)
        at = comes_to(retry, NOW, NODES, failed or "", NOW, failed)
        assert at == NOW + (len(NODES) - 1) * ELSEWHERE
        assert comes_to(retry, NOW, [failed or ""], failed or "", NOW, failed) == NOW


def test_who_comes_or_goes_changes_the_first_node_of_few_jobs():
    jobs = list(map(str, range(300)))

    def first(job, nodes):
        return next(node for node in nodes if comes_to(job, NOW, nodes, node, NOW) == NOW)

    moved = sum(first(job, NODES) != first(job, [*NODES, "n5"]) for job in jobs)
    assert 20 < moved < 90
