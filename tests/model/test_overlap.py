"""What becomes of a job whose schedule is busy."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.admit import Place, admit
from synccron.model.job import ACTIVE, Admission, Job, State, claimed
from synccron.model.overlap import crowded, first, passes_over, replaced
from synccron.model.schedule import Schedule
from synccron.model.time import SECOND
from tests.make import NOW, attempt, candidate, job, schedule

HERE = Place(node="n1", full=False, others=False, lease=5 * SECOND)
FULL = replace(HERE, full=True)
QUEUE = schedule(overlap="queue")
REPLACE = schedule(overlap="replace")


def running(of: Schedule, ago: int = 1) -> Job:
    return job(of, NOW - ago * SECOND, state="running", revision=1, attempts=(attempt(),))


def retrying(of: Schedule, ago: int = 1, after: int = 60) -> Job:
    failed = job(of, NOW - ago * SECOND, state="scheduled", revision=1, attempts=(attempt(),))
    return replace(failed, run_at=NOW + after * SECOND, retry_delay=60 * SECOND)


def waiting(of: Schedule, ago: int = 1, **fields: object) -> Job:
    return job(of, NOW - ago * SECOND, state="queued", revision=1, **fields)


def queues(admission: Admission | None) -> bool:
    return admission is not None and admission.job is not None and admission.job.state == "queued"


@pytest.mark.parametrize("begun", [running(QUEUE), retrying(QUEUE)], ids=["runs", "retries"])
def test_queue_lets_one_slot_wait_behind_what_has_begun_and_makes_misses_of_further_ones(begun):
    assert queues(admit(candidate(QUEUE, active=(begun,)), NOW, HERE))
    admission = admit(candidate(QUEUE, active=(begun, waiting(QUEUE))), NOW, HERE)
    assert admission is not None
    assert admission.miss is not None
    assert (admission.miss.reason, admission.miss.first) == ("overlap", NOW)


def test_queue_lets_one_slot_wait_behind_the_next_one_that_has_no_node_yet():
    assert queues(admit(candidate(QUEUE, active=(waiting(QUEUE),)), NOW, FULL))
    two = (waiting(QUEUE, 2), waiting(QUEUE, 1))
    admission = admit(candidate(QUEUE, active=two), NOW, FULL)
    assert admission is not None
    assert admission.miss is not None


def test_queue_starts_a_slot_that_meets_nobody():
    assert admit(candidate(QUEUE), NOW, HERE) == Admission(candidate=candidate(QUEUE))


def test_what_waits_starts_when_all_that_has_begun_has_settled():
    late = waiting(QUEUE, 0)
    assert admit(candidate(QUEUE, late, (running(QUEUE),)), NOW, HERE) is None
    assert admit(candidate(QUEUE, late, (retrying(QUEUE),)), NOW, HERE) is None
    assert admit(candidate(QUEUE, late), NOW, HERE) == Admission(candidate=candidate(QUEUE, late))


def test_replace_ends_what_is_before_it_and_waits_for_the_end_of_the_attempt():
    old = (running(REPLACE, 3), retrying(REPLACE, 2), waiting(REPLACE, 1))
    admission = admit(candidate(REPLACE, active=old), NOW, HERE)
    assert admission is not None
    assert queues(admission)
    assert [(each.state, each.cancel_requested_at) for each in admission.replaces] == [
        ("running", NOW),
        ("cancelled", NOW),
        ("cancelled", NOW),
    ]
    assert admission.replaces[1].error == f"replaced by {job(REPLACE).id}"
    assert admission.job is not None
    assert not admission.job.replaces
    asked = (replace(old[0], cancel_requested_at=NOW),)
    assert admit(candidate(REPLACE, admission.job, asked), NOW, HERE) is None
    assert admit(candidate(REPLACE, admission.job), NOW, HERE) is not None


def test_a_trigger_or_a_late_slot_that_was_queued_replaces_too_also_on_a_full_node():
    late = waiting(REPLACE, 0, replaces=True)
    admission = admit(candidate(REPLACE, late, (running(REPLACE),)), NOW, FULL)
    assert admission is not None
    assert admission.job == replace(late, replaces=False)
    assert len(admission.replaces) == 1


def test_what_is_about_to_be_replaced_ends_and_hides_nothing_behind_it():
    early, later = waiting(REPLACE, 2, replaces=True), waiting(REPLACE, 1, replaces=True)
    admission = admit(candidate(REPLACE, early, (later,)), NOW, HERE)
    assert admission is not None
    assert admission.replaces == ()
    assert admission.job is not None
    assert admission.job.state == "cancelled"
    assert later.id in (admission.job.error or "")
    admission = admit(candidate(REPLACE, later, (early,)), NOW, HERE)
    assert admission is not None
    assert [each.id for each in admission.replaces] == [early.id]


def test_replace_asks_once_and_looks_again_while_there_may_be_more_than_it_has_read():
    many = tuple(waiting(REPLACE, ACTIVE + 1 - n) for n in range(ACTIVE))
    admission = admit(candidate(REPLACE, active=many), NOW, HERE)
    assert admission is not None
    assert admission.job is not None
    assert admission.job.replaces
    assert len(admission.replaces) == ACTIVE
    asked = tuple(replace(running(REPLACE, n + 1), cancel_requested_at=NOW) for n in range(ACTIVE))
    assert admit(candidate(REPLACE, admission.job, asked), NOW, HERE) is None
    admission = admit(candidate(REPLACE, admission.job, asked[1:]), NOW, HERE)
    assert admission is not None
    assert admission.job is not None
    assert not admission.job.replaces


def test_a_claim_has_nothing_more_to_replace():
    read = candidate(REPLACE, waiting(REPLACE, 0, replaces=True))
    assert not claimed(read, "n1", "s1", 1, NOW).replaces


quick = settings(deadline=None, derandomize=True, max_examples=150)
STATES = st.sampled_from([running, retrying, waiting])
ACTIVES = st.lists(
    st.tuples(STATES, st.integers(1, 100)), max_size=6, unique_by=lambda each: each[1]
)


@quick
@given(ACTIVES, st.sampled_from(["allow", "skip", "queue", "replace"]))
def test_whatever_is_active_each_policy_keeps_its_promise(actives, overlap):
    of = schedule(overlap=overlap)
    active = tuple(make(of, ago) for make, ago in actives)
    admission = admit(candidate(of, active=active if of.definition.alone else ()), NOW, HERE)
    assert admission is not None
    starts = admission == Admission(candidate=admission.candidate)
    unbegun = [each for each in active if not each.begun]
    busy = bool(active)
    if overlap == "allow":
        assert starts
    elif overlap == "skip":
        assert (admission.miss is not None) == busy
    elif overlap == "queue":
        assert starts == (not busy)
        allowed = len(unbegun) == 0 or (len(unbegun) == 1 == len(active))
        assert (admission.miss is None) == allowed
    else:
        assert starts == (not busy)
        assert {each.id for each in admission.replaces} == {each.id for each in active}


@quick
@given(ACTIVES)
def test_of_all_that_is_active_and_waits_one_at_most_is_the_first(actives):
    active = [make(QUEUE, ago) for make, ago in actives]
    able = [
        each
        for each in active
        if each.state != "running" and first(each, [other for other in active if other != each])
    ]
    runs = any(each.state == "running" for each in active)
    assert len(able) == (0 if runs or not active else 1)


STATES_OF: list[State] = ["queued", "running", "scheduled"]


@pytest.mark.parametrize("state", STATES_OF)
def test_more_may_be_active_when_as_many_of_a_kind_were_read_as_ever_are(state):
    many = [job(slot=NOW + n, state=state, revision=1) for n in range(ACTIVE)]
    last = job(slot=NOW + ACTIVE, state="queued", revision=1)
    assert crowded(last, many)
    assert not crowded(last, many[1:])


def test_what_waits_behind_a_job_that_replaces_does_not_hold_it_up():
    head = waiting(REPLACE, 20, replaces=True)
    behind = tuple(waiting(REPLACE, 10 - n) for n in range(ACTIVE))
    admission = admit(candidate(REPLACE, head, behind), NOW, HERE)
    assert admission is not None
    assert admission.job == replace(head, replaces=False)


def test_a_trigger_is_judged_as_a_slot_is():
    assert not passes_over("queue", [running(QUEUE)])
    assert passes_over("queue", [running(QUEUE), waiting(QUEUE)])
    assert passes_over("skip", [waiting(QUEUE)])
    assert not passes_over("replace", [running(REPLACE), waiting(REPLACE)])
    assert replaced(waiting(REPLACE, 0), [], NOW) == ()
