"""What becomes of a job whose schedule is busy: judged by the model, guarded by the store."""

from dataclasses import replace

import pytest

from synccron.model.admit import Place, admit
from synccron.model.job import Admission, Miss
from synccron.model.schedule import Retry
from synccron.model.time import MINUTE, SECOND
from synccron.store.base import Where

PLACE = Place(node="n1", full=False, others=False, lease=5 * SECOND)


def turn(world, at, place=PLACE):
    """A node's turn: what is waiting is admitted and claimed; its claims."""
    now = world.clock.now()
    admissions = [admit(each, now, place) for each in world.waiting()]
    claims = world.store.claim(at, [each for each in admissions if each is not None], now)
    return [claim for claim in claims if claim is not None]


def slot(world, at):
    """The next slot comes: its job's id."""
    world.pass_(MINUTE, at)
    term = world.lead(at)
    before = {job.id for job in world.jobs()}
    assert world.store.dispatch(term, world.plans(term)) == [True]
    (made,) = {job.id for job in world.jobs()} - before
    return made


def busy(world, **fields):
    """A schedule whose first slot runs, and the node that runs it."""
    world.register("job", **fields)
    at = world.join()
    first = slot(world, at)
    (claim,) = turn(world, at)
    assert claim.job.id == first
    return at, claim


def states(world):
    return {job.id: job.state for job in world.jobs()}


def test_queue_runs_one_after_another_and_lets_one_wait(world):
    at, running = busy(world, overlap="queue")
    second = slot(world, at)
    assert turn(world, at) == []
    third = slot(world, at)
    assert turn(world, at) == []
    assert states(world) == {running.job.id: "running", second: "queued"}
    (miss,) = world.store.read(Miss).items
    assert (miss.reason, miss.count, third.endswith("Z")) == ("overlap", 1, True)
    assert world.waiting() == []
    world.settle(running)
    (claim,) = turn(world, at)
    assert claim.job.id == second


def test_queue_waits_for_the_retries_of_what_has_begun(world):
    at, running = busy(world, overlap="queue", retry=Retry(max_attempts=2, delay=2 * MINUTE))
    assert world.settle(running, "failed").state == "scheduled"
    second = slot(world, at)
    assert turn(world, at) == []
    assert states(world)[second] == "queued"
    assert turn(world, at) == []
    world.pass_(MINUTE, at)
    (claim,) = turn(world, at)
    assert claim.job.id == running.job.id
    world.settle(claim)
    (claim,) = turn(world, at)
    assert claim.job.id == second


def test_what_is_given_back_or_lost_runs_again_before_what_waits(world, backend):
    at, running = busy(world, overlap="queue")
    second = slot(world, at)
    turn(world, at)
    assert world.settle(running, "given_back").state == "queued"
    (claim,) = turn(world, at)
    assert claim.job.id == running.job.id
    other = world.join("n2")
    backend.kill(at)
    assert world.settle(claim, "lost").state == "queued"
    (claim,) = turn(world, other)
    assert claim.job.id == running.job.id
    world.settle(claim)
    (claim,) = turn(world, other)
    assert claim.job.id == second


def test_replace_cancels_what_ran_and_starts_when_it_has_ended(world):
    at, running = busy(world, overlap="replace")
    second = slot(world, at)
    assert turn(world, at) == []
    assert world.store.cancelling(at) == [running.job.id]
    assert world.job(running.job.id).cancel_requested_at == world.clock.now()
    assert states(world) == {running.job.id: "running", second: "queued"}
    assert world.waiting() == []
    assert world.settle(running, "failed").state == "cancelled"
    (claim,) = turn(world, at)
    assert claim.job.id == second


def test_replace_cancels_what_waited_in_the_same_transaction(world):
    at, running = busy(world, overlap="replace")
    second = slot(world, at)
    turn(world, at)
    third = slot(world, at)
    turn(world, at)
    assert states(world) == {running.job.id: "running", second: "cancelled", third: "queued"}
    replaced = world.job(second)
    assert (replaced.error, replaced.finished_at) == (f"replaced by {third}", world.clock.now())
    assert world.job(running.job.id).cancel_requested_at < world.clock.now()
    world.settle(running, "completed")
    (claim,) = turn(world, at)
    assert claim.job.id == third


def test_what_waits_for_a_retry_is_replaced(world):
    at, running = busy(world, overlap="replace", retry=Retry(max_attempts=9, delay=2 * MINUTE))
    world.settle(running, "failed")
    second = slot(world, at)
    turn(world, at)
    (claim,) = turn(world, at)
    assert claim.job.id == second
    assert world.job(running.job.id).state == "cancelled"


def test_a_lost_attempt_that_was_replaced_is_not_run_again(world, backend):
    at, running = busy(world, overlap="replace")
    second = slot(world, at)
    turn(world, at)
    other = world.join("n2")
    backend.kill(at)
    assert turn(world, other) == []
    assert world.settle(running, "lost").state == "cancelled"
    (claim,) = turn(world, other)
    assert claim.job.id == second


def test_a_replacement_that_met_another_change_writes_nothing(world):
    at, running = busy(world, overlap="replace")
    second = slot(world, at)
    (candidate,) = world.waiting()
    now = world.clock.now()
    admission = admit(candidate, now, PLACE)
    assert admission is not None
    assert len(admission.replaces) == 1
    world.settle(running)
    assert world.store.claim(at, [admission], now) == [None]
    assert world.job(running.job.id).state == "completed"
    assert world.job(second).intention


def test_a_person_who_asked_first_keeps_the_time_of_asking(world):
    at, running = busy(world, overlap="replace")
    world.store.cancel(running.job.id, 77)
    slot(world, at)
    (candidate,) = world.waiting()
    assert candidate.active[0].cancel_requested_at == 77
    turn(world, at)
    assert world.job(running.job.id).cancel_requested_at == 77
    assert world.settle(running).cancel_requested_at == 77


def test_slots_of_one_catch_up_are_one_queue_and_the_newest_replaces_the_rest(world):
    for name, overlap in (("a", "skip"), ("b", "queue"), ("c", "replace")):
        world.register(name, overlap=overlap, misfire="catch_up_all")
    at = world.join()
    world.pass_(3 * MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True, True, True]
    order = []
    for _ in range(12):
        for claim in turn(world, at):
            order.append(claim.job.id)
            world.settle(claim)
    slots = {
        name: sorted(job.id for job in world.jobs(schedule=name, states=["completed"]))
        for name in "abc"
    }
    for name in "ab":
        assert [each for each in order if each.startswith(name)] == slots[name]
        assert len(slots[name]) == 3
    ended = sorted(world.jobs(schedule="c"), key=lambda job: job.slot)
    assert [job.state for job in ended] == ["cancelled", "cancelled", "completed"]


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_forced_triggers_run_beside_and_make_a_schedule_busy(world, overlap):
    world.register("job", overlap=overlap)
    at = world.join()
    first, second = world.trigger(key="a", force=True), world.trigger(key="b", force=True)
    claims = turn(world, at)
    assert [claim.job.id for claim in claims] == [first.job_id, second.job_id]
    made = world.trigger(key="c")
    if overlap == "skip":
        assert made is None
        return
    assert turn(world, at) == []
    expected = [] if overlap == "queue" else [first.job_id, second.job_id]
    assert sorted(world.store.cancelling(at)) == expected
    for claim in claims:
        world.settle(claim)
    (claim,) = turn(world, at)
    assert claim.job.id == made.job_id


def test_a_trigger_under_queue_is_refused_while_one_waits(world):
    at, running = busy(world, overlap="queue")
    waits = world.trigger(key="a")
    assert waits.new
    assert world.trigger(key="b") is None
    assert world.trigger(key="a") is None  # the caller looks for the first job of its key itself
    world.settle(running)
    (claim,) = turn(world, at)
    assert claim.job.id == waits.job_id
    assert world.trigger(key="b").new


def test_a_trigger_under_replace_ends_what_runs_when_a_node_sees_it(world):
    at, running = busy(world, overlap="replace")
    first = world.trigger(key="a")
    second = world.trigger(key="b")
    while turn(world, at):
        pass
    for _ in range(3):
        assert turn(world, at) == []
    assert world.store.cancelling(at) == [running.job.id]
    assert states(world)[first.job_id] == "cancelled"
    world.settle(running)
    (claim,) = turn(world, at)
    assert claim.job.id == second.job_id


def test_more_jobs_than_one_decision_reads_are_all_replaced(world):
    at = world.join()
    world.register("job")
    for n in range(20):
        world.trigger(key=f"{n:02}")
    world.register("job", overlap="replace")
    made = world.trigger(key="last")
    full = replace(PLACE, full=True)
    for _ in range(6):
        assert turn(world, at, full) == []
    waiting = world.jobs(states=["queued"])
    assert [job.id for job in waiting] == [made.job_id]
    (claim,) = turn(world, at)
    assert claim.job.id == made.job_id


def test_an_order_that_was_judged_by_other_active_jobs_is_refused(world):
    from synccron.model.order import triggered

    at, running = busy(world, overlap="queue")
    seen = world.store.active("job")
    assert [job.id for job in seen] == [running.job.id]
    order = triggered(world.schedule(), "k", None, world.clock.now(), active=seen)
    world.trigger(key="other")
    assert world.store.enqueue(order, 0) is None
    assert not world.store.read(Miss, Where(schedule="job")).items
    assert len(world.jobs()) == 2
    del at


def test_law_5_two_nodes_that_judged_at_one_moment_do_not_start_two(world, backend):
    store = backend.open()
    at, running = busy(world, overlap="queue")
    slot(world, at)
    turn(world, at)
    other = world.join("n2", store)
    world.settle(running)
    (candidate,) = world.waiting()
    admission = [Admission(candidate=candidate)]
    now = world.clock.now()
    claims = world.store.claim(at, admission, now), store.claim(other, admission, now)
    assert [claim is not None for (claim,) in claims] == [True, False]
