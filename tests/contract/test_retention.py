"""What the leader forgets, and what it never does."""

from typing import Any

from synccron.model.job import DeadLetter, Job, Miss, Output, Receipt, Step
from synccron.model.judge import judge
from synccron.model.lease import Totals
from synccron.model.schedule import Revision
from synccron.model.time import MINUTE
from synccron.store.base import Where
from synccron.store.history import read_history


def slots(world, at, count):
    """Run the slots of the next minutes."""
    for _ in range(count):
        world.pass_(MINUTE, at)
        term = world.lead(at)
        assert world.store.dispatch(term, world.plans(term)) == [True]
        (candidate,) = world.waiting()
        world.run(at, candidate.job.id, tail=b"x")


def test_old_jobs_go_but_for_the_newest_and_take_their_output_with_them(world):
    world.register()
    at = world.join()
    slots(world, at, 6)
    kept = [job.id for job in world.jobs()[:2]]
    world.prune(world.lead(at), horizon=world.clock.now() + 1, least=2)
    assert [job.id for job in world.jobs()] == kept
    assert len(world.store.read(Output).items) == 2


def test_what_is_younger_than_the_horizon_stays_up_to_the_most(world):
    world.register()
    at = world.join()
    slots(world, at, 5)
    third = world.jobs()[2]
    world.prune(world.lead(at), horizon=third.finished_at, least=0)
    assert [job.id for job in world.jobs()][-1] == third.id
    world.prune(world.lead(at), horizon=0, least=0, most=1)
    assert len(world.jobs()) == 1


def test_the_history_begins_after_what_was_forgotten(world):
    world.register()
    at = world.join()
    slots(world, at, 4)
    began = world.schedule().cursor.history_from
    dropped = world.jobs()[1]
    world.prune(world.lead(at), horizon=0, least=0, most=1)
    moved = world.schedule().cursor.history_from
    assert began < dropped.slot < moved <= world.jobs()[0].slot


def test_a_history_is_whole_though_retention_moves_it_while_it_is_read(world):
    world.register()
    at = world.join()
    slots(world, at, 4)

    class Forgetting:
        """The store, of which the leader forgets something right before its jobs are read."""

        def read(self, kind, *given, **named):
            if kind is Job:
                world.prune(world.lead(at), horizon=0, least=0, most=1)
            return world.store.read(kind, *given, **named)

    forgetting: Any = Forgetting()
    history = read_history(forgetting, world.schedule().id)
    assert len(history.jobs) == 1
    assert judge([history], quiet=True) == ()


def test_a_decision_from_before_does_not_bring_the_history_back(world):
    world.register()
    at = world.join()
    slots(world, at, 3)
    world.pass_(MINUTE, at)
    term = world.lead(at)
    plans = world.plans(term)
    world.prune(term, horizon=0, least=0, most=1)
    moved = world.schedule().cursor.history_from
    assert world.store.dispatch(term, plans) == [True]
    assert world.schedule().cursor.history_from == moved


def test_what_has_not_settled_is_never_forgotten(world):
    at = world.join()
    world.register()
    claim = world.claim(at, world.submit(key="running").job_id)
    world.store.remember(claim, "s", "1")
    world.submit(key="queued")
    world.trigger(key="queued")
    far = world.clock.now() + 10**9
    world.prune(world.lead(at), horizon=far, keys=far, least=0, most=0)
    assert len(world.jobs()) == 3
    assert len(world.store.read(Receipt).items) == 3
    assert len(world.store.read(Step).items) == 1


def test_jobs_of_removed_schedules_and_of_handlers_are_forgotten_too(world):
    at = world.join()
    world.register()
    world.run(at, world.trigger().job_id)
    world.run(at, world.submit().job_id)
    assert world.store.apply([world.removing()])
    world.prune(world.lead(at), horizon=world.clock.now() + 1, least=0)
    assert not world.jobs()
    assert len(world.store.read(Receipt).items) == 2


def test_keys_are_forgotten_in_their_time(world):
    at = world.join()
    world.run(at, world.submit().job_id)
    made = world.clock.now()
    world.pass_(5, at)
    term = world.lead(at)
    world.prune(term, keys=made)
    assert len(world.store.read(Receipt).items) == 1
    world.prune(term, keys=made + 1)
    assert not world.store.read(Receipt).items


def test_misses_before_the_history_are_forgotten(world):
    world.register()
    at = world.join()
    world.pass_(5 * MINUTE, at)
    slots(world, at, 3)
    assert len(world.store.read(Miss).items) == 1
    world.prune(world.lead(at), horizon=0, least=0, most=1)
    assert not world.store.read(Miss).items


def test_revisions_stay_as_long_as_they_explain_what_is_kept(world):
    world.register()
    at = world.join()
    slots(world, at, 2)
    world.register("job", timeout=1)
    world.register("job", timeout=2)
    world.prune(world.lead(at))
    assert len(world.store.read(Revision).items) == 3
    slots(world, at, 2)
    world.prune(world.lead(at), horizon=0, least=0, most=1)
    assert [each.version for each in world.store.read(Revision, Where(schedule="job")).items] == [3]


def test_dead_letters_are_trimmed_of_one_schedule_and_of_all_and_counted(world):
    at = world.join()
    for n in range(4):
        world.run(at, world.submit(key=str(n)).job_id, "failed", permanent=True)
    world.register()
    world.run(at, world.trigger(key="x").job_id, "failed", permanent=True)
    newest = world.store.read(DeadLetter).items
    term = world.lead(at)
    world.prune(term, dead_each=2)
    assert world.store.read(DeadLetter).items == newest[:3]
    world.prune(term, dead=1)
    assert world.store.read(DeadLetter).items == newest[:1]
    assert world.store.read(Totals).items[0].dead_letters_trimmed == 4


def test_a_round_is_many_small_pieces_and_comes_to_its_end(world):
    at = world.join()
    orders = [world.order(key=str(n)) for n in range(1203)]
    for order in orders:
        world.store.enqueue(order, 0)
        world.store.cancel(order.job.id, world.clock.now())
    term = world.lead(at)
    pieces = world.prune(term, horizon=world.clock.now() + 1, least=3)
    assert len(world.jobs()) == 3
    assert pieces >= 3
