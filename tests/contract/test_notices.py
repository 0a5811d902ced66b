"""What people are told: written with what it tells of, once a change, told by one node."""

import pytest

from synccron.model.job import Notice
from synccron.model.schedule import Notify
from synccron.model.time import HOUR, MINUTE

PAGER = Notify(on=("failure", "recovery"), command=("page", "me"))
LETTERS = Notify(on=("dead_letter",), webhook="https://chat.example/")
MISSED = Notify(on=("missed",), webhook="https://chat.example/", headers={"X-Team": "ops"})


@pytest.fixture
def at(world):
    return world.join()


def fail(world, at, key, ending="failed"):
    return world.run(at, world.trigger(key=key).job_id, ending)


def told(world):
    return [each.on for each in world.store.read(Notice).items]


def test_a_change_of_state_is_told_once_however_many_jobs_end_so(world, at):
    world.register(notify=(PAGER,))
    for n, ending in enumerate(["completed", "failed", "timed_out", "completed", "completed"]):
        fail(world, at, str(n), ending)
        world.clock.advance(1)
    assert told(world) == ["failure", "recovery"]
    (failure, _) = world.store.read(Notice).items
    assert failure.to == PAGER
    assert (failure.session, failure.schedule_id) == (None, "job")


def test_jobs_that_fail_in_one_write_are_one_change(world, at):
    world.register(notify=(PAGER,))
    ids = [world.trigger(key=key).job_id for key in "abc"]
    settlements = [world.settlement(world.claim(at, each), "failed") for each in ids]
    assert all(world.store.settle(settlements, world.clock.now()))
    assert told(world) == ["failure"]


def test_dead_letters_are_told_each(world, at):
    world.register(notify=(LETTERS,))
    fail(world, at, "a")
    world.clock.advance(1)
    fail(world, at, "b")
    assert told(world) == ["dead_letter", "dead_letter"]


def test_a_job_that_was_cancelled_is_not_told(world, at):
    world.register(notify=(PAGER, LETTERS))
    claim = world.claim(at, world.trigger().job_id)
    world.store.cancel(claim.job.id, world.clock.now())
    assert world.settle(claim, "failed").state == "cancelled"
    assert told(world) == []


def test_law_5_a_late_result_tells_nothing(world, at):
    world.register(notify=(PAGER,))
    claim = world.claim(at, world.trigger().job_id)
    world.settle(claim, "given_back")
    world.claim(at, claim.job.id)
    assert world.settle(claim, "failed") is None
    assert told(world) == []


def test_a_schedule_that_is_registered_anew_is_well(world, at):
    world.register(notify=(PAGER,))
    fail(world, at, "a")
    running = world.claim(at, world.trigger(key="b").job_id)
    assert world.store.apply([world.removing()])
    world.settle(running, "failed")
    world.register(notify=(PAGER,))
    world.clock.advance(1)
    fail(world, at, "c")
    assert told(world) == ["failure", "failure"]


def test_a_change_of_the_definition_keeps_what_people_know(world, at):
    world.register(notify=(PAGER,))
    fail(world, at, "a")
    world.register(notify=(PAGER,), timeout=3)
    fail(world, at, "b")
    assert told(world) == ["failure"]


def test_misses_are_told_when_they_begin_and_not_while_they_go_on(world, at):
    world.register(notify=(MISSED,), strict_handlers=False, handler="nobody", run=None)
    term = world.lead(at)
    for _ in range(3):
        world.pass_(MINUTE, at)
        term = world.lead(at)
        assert world.store.dispatch(term, world.plans(term)) == [True]
    assert told(world) == ["missed"]
    (notice,) = world.store.read(Notice).items
    assert notice.to == MISSED


def test_a_dispatch_that_is_refused_tells_nothing(world, at):
    world.register(notify=(MISSED,))
    world.clock.advance(0)
    world.pass_(HOUR // 20, at)
    term = world.lead(at)
    plans = world.plans(term)
    assert plans[0].notices
    assert world.store.apply([world.pausing()])
    assert world.store.dispatch(term, plans) == [False]
    assert told(world) == []


def test_a_notice_is_taken_by_one_and_removed_when_it_was_told(world, at):
    world.register(notify=(PAGER,))
    fail(world, at, "a")
    (notice,) = world.store.read(Notice).items
    (taken,) = world.store.take(at.id, [notice])
    assert taken.session == at.id
    assert world.store.take("another", [notice]) == [None]
    assert world.store.read(Notice).items == (taken,)
    assert world.store.told([notice]) == [False]
    assert world.store.told([taken]) == [True]
    assert world.store.told([taken]) == [False]
    assert told(world) == []


def test_a_notice_that_is_given_back_may_be_taken_by_another(world, at):
    world.register(notify=(PAGER,))
    fail(world, at, "a")
    (taken,) = world.store.take(at.id, world.store.read(Notice).items)
    (free,) = world.store.take(None, [taken])
    assert free.session is None
    (again,) = world.store.take("another", [free])
    assert again.session == "another"


def test_notices_come_in_the_order_of_what_they_tell(world, at):
    world.register(notify=(PAGER,))
    for n, ending in enumerate(["failed", "completed", "failed"]):
        fail(world, at, str(n), ending)
        world.clock.advance(1)
    assert told(world) == ["failure", "recovery", "failure"]
