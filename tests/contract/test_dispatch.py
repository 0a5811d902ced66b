"""What the leader writes: laws 1 to 4."""

from dataclasses import replace

import pytest

from synccron.errors import StaleTerm
from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.time import MINUTE, SECOND
from synccron.store.base import Where

LEASE = 5 * SECOND


def ready(world, name="job", **fields):
    world.register(name, **fields)
    at = world.join()
    world.pass_(MINUTE, at)
    return at, world.lead(at)


def test_law_1_the_same_plan_is_written_once(world):
    _, term = ready(world)
    plans = world.plans(term)
    assert world.store.dispatch(term, plans) == [True]
    assert world.store.dispatch(term, plans) == [False]
    assert len(world.jobs()) == 1


def test_law_1_a_plan_with_a_slot_that_has_a_job_writes_nothing(world):
    _, term = ready(world)
    (plan,) = world.plans(term)
    twice = replace(plan, jobs=(*plan.jobs, *plan.jobs))
    before = world.schedule()
    assert world.store.dispatch(term, [twice]) == [False]
    assert world.jobs() == []
    assert world.schedule() == before


def test_law_1_a_slot_that_was_cancelled_keeps_its_record(world):
    at, term, job = world.dispatched()
    world.store.cancel(job.id, world.clock.now())
    world.register("job", cron="*/2 * * * *")
    world.pass_(MINUTE, at)
    term = world.lead(at)
    world.store.dispatch(term, world.plans(term))
    assert world.job(job.id).state == "cancelled"
    slots = [each.slot for each in world.jobs()]
    assert len(slots) == len(set(slots))


def test_law_2_each_slot_that_the_cursor_passed_has_a_record(world):
    at, term = ready(world)
    world.pass_(5 * MINUTE, at)
    term = world.lead(at)
    first = world.schedule().cursor.next
    assert world.store.dispatch(term, world.plans(term)) == [True]
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    (job,) = world.jobs()
    passed = (world.schedule().cursor.next - first) // MINUTE
    assert miss.count + 1 == passed
    assert job.slot == miss.last + MINUTE


def test_law_3_job_cursor_misses_and_dead_letters_are_written_together(world):
    _, term = ready(world)
    (plan,) = world.plans(term)
    now = world.clock.now()
    miss = Miss(schedule_id="job", first=now, last=now, count=1, reason="misfire", recorded_at=now)
    letter = DeadLetter(
        id="d1",
        kind="dispatch",
        schedule_id="job",
        slot=now,
        key=None,
        job_id=None,
        message="m",
        attempts=5,
        ts=now,
        node="n1",
        epoch=term.epoch,
        needs="run",
    )
    cursor = replace(plan.cursor, failures=2, last_error="m", retry_at=now + SECOND)
    whole = replace(plan, misses=(miss,), dead=(letter,), cursor=cursor)
    assert world.store.dispatch(term, [whole]) == [True]
    assert world.store.read(Miss).items == (miss,)
    assert world.store.read(DeadLetter, Where(ids=["d1"])).items == (letter,)
    written = world.schedule().cursor
    assert replace(written, mod=0) == replace(cursor, mod=0)


def test_law_3_a_refused_plan_does_not_undo_its_neighbours(world):
    world.register("other")
    _, term = ready(world)
    first, second = world.plans(term)
    stale = replace(first, seen=first.seen - 1)
    assert world.store.dispatch(term, [stale, second]) == [False, True]
    assert [job.schedule_id for job in world.jobs()] == [second.schedule_id]


def test_law_3_an_overdue_intention_is_decided_only_as_it_was_read(world):
    at, term, job = world.dispatched()
    world.pass_(2 * LEASE, at)
    term = world.lead(at)
    (plan,) = world.plans(term)
    assert [each.id for each in plan.queued] == [job.id]
    claim = world.claim(at, job.id)
    assert world.store.dispatch(term, [plan]) == [False]
    assert world.job(job.id).fence == claim.fence


def test_an_overdue_intention_is_due_although_its_cursor_is_not(world):
    at, _, job = world.dispatched()
    assert not world.store.due(world.look(), 10)
    world.pass_(2 * LEASE, at)
    (due,) = world.store.due(world.look(), 10)
    assert [each.id for each in due.intentions] == [job.id]
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    kept = world.job(job.id)
    assert (kept.state, kept.revision) == ("queued", 1)


def test_what_is_longest_due_comes_first_and_the_limit_is_kept(world):
    for minutes, name in ((3, "c"), (1, "a"), (2, "b")):
        world.register(name, cron=f"{minutes} * * * *")
    look = world.look(world.clock.now() + 10 * MINUTE)
    assert [each.schedule.id for each in world.store.due(look, 10)] == ["a", "b", "c"]
    assert [each.schedule.id for each in world.store.due(look, 2)] == ["a", "b"]
    assert not world.store.due(world.look(), 10)


def test_a_dispatch_that_is_tried_again_later_is_not_due_before(world):
    _, term = ready(world)
    (plan,) = world.plans(term)
    now = world.clock.now()
    failed = replace(plan, jobs=(), cursor=replace(world.schedule().cursor, retry_at=now + 2000))
    assert world.store.dispatch(term, [failed]) == [True]
    world.clock.advance(1999)
    assert not world.store.due(world.look(now + MINUTE), 10)
    world.clock.advance(1)
    assert world.store.due(world.look(now + MINUTE), 10)


def test_law_4_a_term_that_another_took_over_writes_nothing(world, backend):
    _, old = ready(world)
    plans = world.plans(old)
    backend.clock.advance(LEASE)
    world.store.renew(world.join("n3"))
    second = world.join("n2")
    new = world.lead(second)
    assert new.epoch > old.epoch
    with pytest.raises(StaleTerm):
        world.store.dispatch(old, plans)
    with pytest.raises(StaleTerm):
        world.store.prune(old, world.limits(), None)
    assert world.jobs() == []


def test_law_4_a_leader_that_slept_past_its_lease_writes_nothing_though_nobody_took_over(world):
    at, term = ready(world)
    plans = world.plans(term)
    world.pass_(LEASE, at)
    with pytest.raises(StaleTerm):
        world.store.dispatch(term, plans)
    assert world.jobs() == []


def test_law_4_an_epoch_of_the_same_node_before_is_over_too(world):
    at, old = ready(world)
    world.pass_(LEASE, at)
    new = world.lead(at)
    assert new.epoch > old.epoch
    with pytest.raises(StaleTerm):
        world.store.dispatch(old, world.plans(old))


def test_law_6_a_plan_of_another_time_is_refused(world):
    _, term = ready(world)
    plans = world.plans(term)
    world.clock.jump(LEASE + 1)
    assert world.store.dispatch(term, plans) == [False]
    world.clock.jump(-2 * (LEASE + 1))
    assert world.store.dispatch(term, plans) == [False]
    world.clock.jump(LEASE + 1)
    assert world.store.dispatch(term, plans) == [True]


def test_law_7_what_was_written_is_there_for_who_opens_the_store_anew(world, backend):
    _, _, job = world.dispatched()
    world.store.close()
    assert backend.open().read(Job, Where(ids=[job.id])).items == (job,)
