"""The life of a job: ordered once, claimed by one, settled by the newest claim alone."""

from dataclasses import replace

import pytest

from synccron.errors import SessionLost
from synccron.model.job import Admission, DeadLetter, Miss, Output, Receipt, Step
from synccron.model.order import repeated, triggered
from synccron.model.plan import Plan
from synccron.model.schedule import Retry
from synccron.model.time import DAY, MINUTE, SECOND
from synccron.store.base import Where

NODE_LEASE = 15 * SECOND


def test_the_same_key_gives_the_first_job_and_runs_nothing(world):
    world.register()
    first = world.trigger(key="a")
    world.clock.advance(1000)
    assert first.new
    assert world.trigger(key="a") == replace(first, new=False)
    assert world.trigger(key="b") != first
    assert len(world.jobs()) == 2


def test_a_key_is_known_when_its_job_has_gone_and_tells_how_it_ended(world):
    at = world.join()
    first = world.submit()
    world.run(at, first.job_id, "failed", error="no")
    term = world.lead(at)
    world.prune(term, horizon=world.clock.now() + 1, least=0)
    assert not world.jobs()
    assert world.submit() == replace(first, state="failed", new=False)


def test_a_key_may_be_used_again_after_its_time(world):
    at = world.join()
    first = world.submit()
    world.run(at, first.job_id)
    world.pass_(MINUTE, at)
    order = world.order()
    again = world.store.enqueue(order, world.clock.now())
    assert again == Receipt(
        job_id=first.job_id, at=world.clock.now(), digest=order.digest, state="queued", new=True
    )
    assert [job.state for job in world.jobs()] == ["queued"]


def test_a_key_stays_as_long_as_its_job_has_not_ended(world):
    first = world.submit()
    world.clock.advance(100 * DAY)
    known = world.store.enqueue(world.order(), world.clock.now())
    assert known == replace(first, new=False)


def test_an_order_is_refused_when_its_schedule_has_moved_or_gone(world):
    order = triggered(world.register(), "k", None, world.clock.now())
    world.register("job", timeout=3)
    assert world.store.enqueue(order, 0) is None
    assert world.store.apply([world.removing()])
    assert world.store.enqueue(order, 0) is None
    assert not world.jobs()


def test_an_order_that_needs_idleness_is_refused_while_a_job_of_the_schedule_is_unsettled(world):
    world.register("job", overlap="skip")
    at = world.join()
    first = world.trigger(key="a")
    assert world.trigger(key="b") is None
    claim = world.claim(at, first.job_id)
    assert world.trigger(key="b") is None
    assert world.trigger(key="c", force=True) is not None
    world.settle(claim)


def test_a_dead_letter_is_replaced_by_its_job_in_one_step_and_once(world):
    at = world.join()
    world.register()
    job = world.run(at, world.trigger().job_id, "failed", error="boom", permanent=True)
    (letter,) = world.store.read(DeadLetter).items
    assert (letter.job_id, letter.message) == (job.id, "boom")
    order = repeated(world.schedule(), None, None, "x", world.clock.now())
    order = replace(order, dead=letter.id)
    assert world.store.enqueue(order, 0) is not None
    assert not world.store.read(DeadLetter).items
    another = repeated(world.schedule(), None, None, "y", world.clock.now())
    assert world.store.enqueue(replace(another, dead=letter.id), 0) is None


def test_jobs_wait_in_order_of_their_instants_and_only_for_who_offers_what_they_need(world):
    now = world.clock.now()
    world.submit("h1", "late", run_at=now + 2000)
    world.submit("h1", "b")
    world.clock.advance(1)
    world.submit("h2", "c")
    world.submit("h1", "d")
    until = now + 3000
    assert [each.job.key for each in world.waiting("h1", "h2", until=until)] == [
        "b",
        "c",
        "d",
        "late",
    ]
    assert [each.job.key for each in world.waiting("h1", until=now + 1999)] == ["b", "d"]
    assert [each.job.key for each in world.waiting("h1", "h2", limit=2)] == ["b", "c"]
    assert world.waiting("h3") == []


def test_law_5_a_job_is_claimed_once(world):
    world.submit()
    first, second = world.join("n1"), world.join("n2")
    (candidate,) = world.waiting()
    admission = [Admission(candidate=candidate)]
    (claim,) = world.store.claim(first, admission, world.clock.now())
    assert claim.job.session == first.id
    assert world.store.claim(second, admission, world.clock.now()) == [None]


def test_a_claim_whose_answer_was_lost_is_given_again_to_who_made_it(world):
    world.submit()
    first, second = world.join("n1"), world.join("n2")
    admission = [Admission(candidate=each) for each in world.waiting()]
    (claim,) = world.store.claim(first, admission, world.clock.now())
    assert world.store.claim(first, admission, world.clock.now()) == [claim]
    assert world.store.claim(second, admission, world.clock.now()) == [None]
    world.settle(claim)
    assert world.store.claim(first, admission, world.clock.now()) == [None]


def test_law_5_tokens_grow_over_all_attempts_of_the_store(world):
    at = world.join()
    fences = []
    for n in range(4):
        claim = world.claim(at, world.submit(key=str(n)).job_id)
        fences.append(claim.fence)
        assert claim.job.fence == claim.fence
        world.settle(claim)
    assert fences == sorted(set(fences))


def test_law_5_only_the_newest_token_settles_and_only_once(world):
    at = world.join()
    job_id = world.submit().job_id
    first = world.claim(at, job_id)
    assert world.settle(first, "given_back").state == "queued"
    assert world.settle(first) is None
    second = world.claim(at, job_id)
    assert second.fence > first.fence
    assert world.settle(first) is None
    assert world.settle(second).state == "completed"
    assert world.settle(second, "failed") is None
    assert world.job(job_id).state == "completed"


def test_a_refused_claim_or_settlement_does_not_undo_its_neighbours(world):
    at = world.join()
    a, b = world.submit(key="a"), world.submit(key="b")
    first = world.claim(at, b.job_id)
    world.settle(first, "given_back")
    candidates = world.waiting()
    world.store.cancel(a.job_id, world.clock.now())
    none, claim = world.store.claim(
        at, [Admission(candidate=each) for each in candidates], world.clock.now()
    )
    assert none is None
    assert claim.job.id == b.job_id
    stale = world.settlement(first)
    refused, settled = world.store.settle([stale, world.settlement(claim)], world.clock.now())
    assert refused is None
    assert settled.state == "completed"


def test_jobs_that_run_alone_come_up_one_at_a_time_in_order(world):
    world.register("job", overlap="skip")
    at = world.join()
    ids = [world.trigger(key=str(n)) for n in range(1)]
    jobs = world.jobs()
    term = world.lead(at)
    now = world.clock.now()
    more = tuple(
        replace(jobs[0], id=f"job:{n}", kind="slot", slot=now + n, run_at=now + n, key=None)
        for n in (3, 1, 2)
    )
    plan = Plan(
        schedule_id="job",
        seen=world.schedule().cursor.mod,
        at=now,
        cursor=world.schedule().cursor,
        jobs=more,
    )
    assert world.store.dispatch(term, [plan]) == [True]
    order = []
    while waiting := world.waiting(until=now + MINUTE):
        (candidate,) = waiting
        order.append(candidate.job.id)
        claim = world.store.claim(at, [Admission(candidate=candidate)], now)[0]
        assert world.waiting(until=now + MINUTE) == []
        world.settle(claim)
    assert order == [ids[0].job_id, "job:1", "job:2", "job:3"]


def test_law_5_no_two_jobs_that_run_alone_are_claimed_beside_each_other(world):
    world.register("job", overlap="skip")
    one, two = world.join("n1"), world.join("n2")
    world.trigger(key="a", force=True)
    world.trigger(key="b", force=True)
    world.pass_(MINUTE, one, two)
    term = world.lead(one)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    intention = next(each for each in world.waiting() if each.job.intention)
    assert len(intention.active) == 2
    forced = next(each for each in world.waiting() if each.job.key == "a")
    assert world.store.claim(two, [Admission(candidate=forced)], world.clock.now()) != [None]
    # What ran beside it is not as read any more: the claim that would have been right is refused.
    assert world.store.claim(one, [Admission(candidate=intention)], world.clock.now()) == [None]


def test_an_admission_that_passes_a_slot_over_turns_its_job_into_the_miss(world):
    at, _, job = world.dispatched()
    (candidate,) = world.waiting()
    now = world.clock.now()
    miss = Miss(
        schedule_id="job", first=job.slot, last=job.slot, count=1, reason="overlap", recorded_at=now
    )
    admission = Admission(candidate=candidate, miss=miss)
    assert world.store.claim(at, [admission], now) == [None]
    assert not world.jobs()
    assert world.store.read(Miss).items == (miss,)
    assert world.store.claim(at, [admission], now) == [None]
    assert world.store.read(Miss).items == (miss,)


def test_an_admission_with_a_record_writes_it_and_is_no_claim(world):
    at, _, job = world.dispatched()
    (candidate,) = world.waiting()
    queued = replace(job, state="queued", revision=1)
    now = world.clock.now()
    assert world.store.claim(at, [Admission(candidate=candidate, job=queued)], now) == [None]
    kept = world.job(job.id)
    assert (kept.state, kept.revision, kept.fence) == ("queued", 1, None)
    assert kept.mod != job.mod


def test_a_claimed_slot_runs_the_revision_of_its_claim_to_its_end(world):
    at, _, job = world.dispatched(retry=Retry(max_attempts=2))
    claim = world.claim(at, job.id)
    assert claim.job.revision == 1
    world.register("job", timeout=99)
    assert world.settle(claim, "failed").state == "scheduled"
    world.pass_(2 * SECOND, at)
    (candidate,) = world.waiting()
    assert candidate.definition == claim.definition
    assert candidate.job.attempts[0].outcome == "failed"


def test_law_6_a_retry_that_a_clock_jump_moved_far_ahead_is_seen(world):
    at = world.join()
    world.register("job", retry=Retry(max_attempts=2))
    world.run(at, world.trigger().job_id, "failed")
    assert world.waiting() == []
    world.clock.jump(-DAY)
    (candidate,) = world.waiting()
    assert candidate.job.run_at > world.clock.now() + candidate.job.retry_delay


def test_a_session_that_has_ended_claims_nothing(world):
    at = world.join()
    world.submit()
    (candidate,) = world.waiting()
    world.store.leave(at)
    with pytest.raises(SessionLost):
        world.store.claim(at, [Admission(candidate=candidate)], world.clock.now())
    assert world.job(candidate.job.id).state == "queued"


def test_claims_of_a_killed_node_are_lost_at_once(world, backend):
    at = world.join()
    claim = world.claim(at, world.submit().job_id)
    assert world.store.lost(10) == []
    backend.kill(at)
    assert world.store.lost(10) == [claim]
    job = world.settle(claim, "lost")
    assert (job.state, job.lost) == ("queued", 1)
    assert world.store.lost(10) == []


def test_a_lost_claim_is_not_settled_as_lost_while_its_session_lives(world, backend):
    at = world.join()
    claim = world.claim(at, world.submit().job_id)
    backend.expire(at)
    assert world.store.lost(10) == [claim]
    world.store.renew(at)
    assert world.store.lost(10) == []
    assert world.settle(claim, "lost") is None
    assert world.settle(claim).state == "completed"


def test_law_5_a_node_that_wakes_after_its_claim_was_taken_is_refused(world):
    at, other = world.join("n1"), world.join("n2")
    job_id = world.submit().job_id
    claim = world.claim(at, job_id)
    world.clock.advance(NODE_LEASE)
    world.store.renew(other)
    world.settle(claim, "lost")
    newer = world.claim(other, job_id)
    assert world.settle(claim) is None
    with pytest.raises(SessionLost):
        world.store.renew(at)
    assert world.settle(newer).state == "completed"


def test_lost_claims_are_given_up_to_the_limit(world, backend):
    at = world.join()
    for n in range(3):
        world.claim(at, world.submit(key=str(n)).job_id)
    backend.kill(at)
    assert len(world.store.lost(2)) == 2
    assert len(world.store.lost(10)) == 3


def test_a_step_keeps_its_first_result_for_later_attempts(world):
    at = world.join()
    job_id = world.submit().job_id
    claim = world.claim(at, job_id)
    assert world.store.remember(claim, "a", "1") == "1"
    assert world.store.remember(claim, "a", "2") == "1"
    world.settle(claim, "given_back")
    assert world.store.remember(claim, "b", "1") is None
    again = world.claim(at, job_id)
    assert world.store.remember(again, "a", "3") == "1"
    assert world.store.read(Step, Where(ids=[job_id])).items == (
        Step(job_id=job_id, key="a", value="1"),
    )
    world.settle(again)
    assert not world.store.read(Step, Where(ids=[job_id])).items


def test_the_output_is_that_of_the_newest_attempt(world):
    at = world.join()
    job_id = world.submit().job_id
    world.run(at, job_id, "given_back", tail=b"\xffone", truncated=True)
    assert world.store.read(Output, Where(ids=[job_id])).items == (
        Output(job_id=job_id, tail=b"\xffone", truncated=True),
    )
    world.run(at, job_id, "completed")
    assert not world.store.read(Output, Where(ids=[job_id])).items


def test_a_job_that_has_not_started_is_cancelled_here_and_never_starts(world):
    at, _, job = world.dispatched()
    (candidate,) = world.waiting()
    now = world.clock.now()
    ended = world.store.cancel(job.id, now)
    assert (ended.state, ended.finished_at) == ("cancelled", now)
    assert world.store.claim(at, [Admission(candidate=candidate)], now) == [None]
    assert world.waiting() == []
    assert world.schedule().ahead is None


def test_a_running_job_is_asked_to_end_and_ends_cancelled_with_its_true_outcome(world):
    at = world.join()
    claim = world.claim(at, world.submit().job_id)
    world.store.cancel(claim.job.id, world.clock.now())
    asked = world.clock.now()
    assert world.store.cancelling(at) == [claim.job.id]
    world.clock.advance(5)
    world.store.cancel(claim.job.id, world.clock.now())
    job = world.settle(claim, "failed", error="boom", permanent=True)
    assert (job.state, job.cancel_requested_at) == ("cancelled", asked)
    assert job.attempts[-1].outcome == "failed"
    assert not world.store.read(DeadLetter).items
    assert world.store.cancelling(at) == []


def test_a_lost_attempt_of_a_cancelled_job_is_not_rerun(world, backend):
    at = world.join()
    claim = world.claim(at, world.submit().job_id)
    world.store.cancel(claim.job.id, world.clock.now())
    backend.kill(at)
    assert world.settle(claim, "lost").state == "cancelled"


def test_cancelling_what_has_ended_or_is_not_there_changes_nothing(world):
    at = world.join()
    job = world.run(at, world.submit().job_id)
    assert world.store.cancel(job.id, world.clock.now()) == job
    assert world.store.cancel("nobody", world.clock.now()) is None


def test_dead_letters_are_removed_by_id_and_counted(world):
    at = world.join()
    for n in range(3):
        world.run(at, world.submit(key=str(n)).job_id, "failed", permanent=True)
    letters = world.store.read(DeadLetter).items
    assert world.store.discard([letters[0].id, letters[1].id, "none"]) == 2
    assert world.store.read(DeadLetter).items == letters[2:]


def test_jobs_come_newest_first_by_schedule_state_and_time(world):
    at = world.join()
    world.register("a")
    world.trigger("a", "1")
    world.clock.advance(10)
    late = world.clock.now()
    world.run(at, world.submit(key="2").job_id)
    world.trigger("a", "3")
    assert [job.key for job in world.jobs()] == ["3", "2", "1"]
    assert [job.key for job in world.jobs(schedule="a")] == ["3", "1"]
    assert [job.key for job in world.jobs(states=["completed"])] == ["2"]
    assert [job.key for job in world.jobs(since=late)] == ["3", "2"]


def test_what_was_only_written_ahead_is_left_out_where_decided_jobs_are_asked_for(world):
    world.dispatched("a")
    world.trigger("a", "1")
    assert [job.kind for job in world.jobs()] == ["manual", "slot"]
    assert [job.kind for job in world.jobs(decided=True)] == ["manual"]
