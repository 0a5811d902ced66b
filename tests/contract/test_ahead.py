"""Dispatch ahead: what was written before its time, and all that may change until then.

Each sentence of "Dispatch ahead" in docs/semantics.md, on every store.
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from synccron.model.admit import Place, admit
from synccron.model.change import resume
from synccron.model.job import Admission, DeadLetter, Miss
from synccron.model.schedule import Schedule
from synccron.model.time import HOUR, MINUTE, SECOND, slot_name
from synccron.store.base import Where

LEASE = 5 * SECOND
AHEAD = 20 * SECOND
EVERY_SECOND = "* * * * * *"


def written(world, **fields):
    """A schedule of every second, written twenty seconds ahead."""
    start = world.clock.now()
    world.register(**{"cron": EVERY_SECOND, **fields})
    at = world.join()
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, AHEAD)) == [True]
    return start, at, term


def slots(world, state="scheduled"):
    return sorted(job.slot for job in world.jobs(states=[state]))


def passed(world, *sessions, seconds):
    world.pass_(seconds * SECOND, *sessions)
    return world.clock.now()


def test_law_3_intentions_are_written_with_their_cursor_and_shown_as_what_runs_next(world):
    start, _, _ = written(world)
    assert slots(world) == [start + n * SECOND for n in range(1, 21)]
    assert all(job.intention for job in world.jobs())
    schedule = world.schedule()
    assert (schedule.cursor.next, schedule.next_run_at) == (start + 21 * SECOND, start + SECOND)
    assert schedule.cursor.decided_until == start + 20 * SECOND


def test_a_schedule_that_is_read_besides_its_queue_is_the_same_but_for_what_is_ahead(world):
    written(world)
    where = Where(ids=("job",), besides_queue=True)
    (found,) = world.store.read(Schedule, where).items
    assert replace(found, ahead=world.schedule().ahead) == world.schedule()


def test_a_node_starts_an_intention_at_its_instant_though_nobody_leads(world):
    start, at, term = written(world)
    world.store.resign(term)
    now = passed(world, at, seconds=1)
    (candidate,) = world.waiting(until=now)
    assert candidate.job.slot == start + SECOND
    assert world.claim(at, candidate.job.id).job.lateness == 0


def test_law_2_a_take_back_leaves_no_intention_and_moves_the_cursor_in_one_write(world):
    start, at, _ = written(world)
    now = passed(world, at, seconds=7)
    claim = world.claim(at, world.jobs(states=["scheduled"])[-1].id)
    assert claim.job.slot == start + SECOND
    assert world.store.apply([world.pausing()])
    assert slots(world) == []
    assert slots(world, "queued") == [start + n * SECOND for n in range(2, 8)]
    schedule = world.schedule()
    assert schedule.cursor.next == now + SECOND
    assert (schedule.cursor.decided_until, schedule.next_run_at) == (now, None)


def test_a_take_back_makes_misses_of_what_is_too_old_to_be_started(world):
    start, at, _ = written(world)
    passed(world, at, seconds=8)
    assert world.store.apply([world.pausing()])
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    assert (miss.first, miss.last, miss.reason) == (start + SECOND, start + 2 * SECOND, "paused")
    assert slots(world, "queued") == [start + n * SECOND for n in range(3, 9)]


def test_a_take_back_that_meets_a_claim_is_refused_and_decided_anew(world):
    start, at, _ = written(world)
    passed(world, at, seconds=1)
    change = world.pausing()
    world.claim(at, world.waiting()[0].job.id)
    assert not world.store.apply([change])
    assert world.store.apply([world.pausing()])
    assert slots(world, "running") == [start + SECOND]


def test_a_take_back_that_meets_a_dispatch_is_refused_and_decided_anew(world):
    _, at, term = written(world)
    passed(world, at, seconds=1)
    change = world.pausing()
    assert world.store.dispatch(world.lead(at), world.plans(term, AHEAD)) == [True]
    assert not world.store.apply([change])
    assert world.store.apply([world.pausing()])
    assert slots(world) == []


def test_a_dispatch_that_was_decided_before_a_take_back_is_refused(world):
    _, at, _ = written(world)
    passed(world, at, seconds=1)
    term = world.lead(at)
    plans = world.plans(term, AHEAD)
    assert world.store.apply([world.pausing()])
    assert world.store.dispatch(term, plans) == [False]
    assert slots(world) == []


def test_what_was_taken_back_is_written_again_once(world):
    start, at, _ = written(world)
    now = passed(world, at, seconds=3)
    assert world.store.apply([world.pausing()])
    change = resume(world.due(), now)
    assert change is not None
    assert world.store.apply([change])
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, AHEAD)) == [True]
    every = sorted(job.slot for job in world.jobs())
    assert every == [start + n * SECOND for n in range(1, 24)]


def test_law_2_a_change_of_the_cron_takes_back_and_goes_on_after_now(world):
    start, at, _ = written(world)
    passed(world, at, seconds=2)
    world.register(cron="*/5 * * * * *")
    assert slots(world) == []
    assert world.schedule().cursor.next == start + 5 * SECOND
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, AHEAD)) == [True]
    assert slots(world) == [start + n * SECOND for n in (5, 10, 15, 20)]


def test_a_change_of_the_zone_takes_back(world):
    _, at, _ = written(world, cron="*/10 * * * * *")
    passed(world, at, seconds=1)
    world.register(cron="*/10 * * * * *", tz="Europe/Berlin")
    assert slots(world) == []


def test_a_change_of_the_input_takes_nothing_back_and_is_what_runs(world):
    _, at, _ = written(world, input='{"a":1}')
    before = slots(world)
    world.register(cron=EVERY_SECOND, input='{"a":2}')
    assert slots(world) == before
    passed(world, at, seconds=1)
    claim = world.claim(at, world.waiting()[0].job.id)
    assert (claim.definition.input, claim.job.revision) == ('{"a":2}', 2)


def test_a_change_of_the_handler_takes_nothing_back_and_asks_for_a_node_that_offers_it(world):
    _, at, _ = written(world)
    before = slots(world)
    world.register(cron=EVERY_SECOND, handler="h", run=None)
    assert slots(world) == before
    passed(world, at, seconds=1)
    assert world.waiting("run") == []
    (candidate,) = world.waiting("h")
    assert candidate.definition.handler == "h"


def test_a_claim_of_what_was_read_before_a_change_is_refused(world):
    _, at, _ = written(world)
    passed(world, at, seconds=1)
    (candidate,) = world.waiting()
    world.register(cron=EVERY_SECOND, input="1")
    admission = Admission(candidate=candidate)
    assert world.store.claim(at, [admission], world.clock.now()) == [None]
    assert world.claim(at, candidate.job.id).definition.input == "1"


def test_an_unregistered_schedule_runs_nothing_of_what_was_written(world):
    start, at, _ = written(world)
    passed(world, at, seconds=2)
    assert world.store.apply([world.removing()])
    assert world.waiting(until=world.clock.now() + MINUTE) == []
    assert slots(world) == []
    assert slots(world, "cancelled") == [start + SECOND, start + 2 * SECOND]
    world.register(cron=EVERY_SECOND)
    assert world.schedule().cursor.next == start + 3 * SECOND


def test_overlap_is_decided_at_the_instant_and_not_when_the_job_was_written(world):
    start, at, _ = written(world, overlap="skip")
    passed(world, at, seconds=1)
    world.claim(at, world.waiting()[0].job.id)
    now = passed(world, at, seconds=1)
    (candidate,) = world.waiting()
    here = Place(node="n1", full=False, others=False, lease=LEASE)
    admission = admit(candidate, now, here)
    assert admission is not None
    world.store.claim(at, [admission], now)
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    assert (miss.first, miss.count, miss.reason) == (start + 2 * SECOND, 1, "overlap")


def test_strict_handlers_fail_from_the_slots_instant_on_and_take_all_that_is_due(world):
    start, at, term = written(world, handler="h", max_dispatch_failures=2)
    assert world.plans(term, 0, "run") == []
    now = passed(world, at, seconds=1)
    term = world.lead(at)
    (failed,) = world.plans(term, 0, "run")
    assert (failed.cursor.failures, failed.jobs, failed.dropped) == (1, (), ())
    assert world.store.dispatch(term, [failed]) == [True]
    assert world.plans(term, 0, "run") == []
    passed(world, at, seconds=1)
    term = world.lead(at)
    (given_up,) = world.plans(term, 0, "run")
    assert world.store.dispatch(term, [given_up]) == [True]
    misses = {each.reason: each for each in world.store.read(Miss, Where(schedule="job")).items}
    assert misses["misfire"].first == start + SECOND
    assert misses["dispatch_failed"].first == now + SECOND
    (letter,) = world.store.read(DeadLetter).items
    assert letter.slot == now + SECOND
    assert slots(world) == [start + n * SECOND for n in range(3, 21)]
    assert world.schedule().cursor.next == start + 21 * SECOND


def test_an_intention_that_a_node_offers_is_not_the_leaders(world):
    _, at, _ = written(world)
    passed(world, at, seconds=1)
    assert world.plans(world.lead(at), 0) == []


def test_after_an_outage_of_all_nodes_the_misfire_rule_decides_as_if_nothing_was_written(world):
    start, at, _ = written(world, misfire="catch_up_one", cron="*/10 * * * * *")
    world.clock.advance(HOUR)
    at = world.join("n2")
    term = world.lead(at)
    (plan,) = world.plans(term, 0)
    assert world.store.dispatch(term, [plan]) == [True]
    assert slots(world, "scheduled") == [start + HOUR]
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    assert (miss.first, miss.count, miss.reason) == (start + 10 * SECOND, 359, "misfire")


def test_an_intention_that_met_no_node_is_decided_in_place_and_the_cursor_stays(world):
    start, at, _ = written(world, cron="*/20 * * * * *")
    passed(world, at, seconds=26)
    before = world.schedule().cursor
    term = world.lead(at)
    (plan,) = world.plans(term, 0)
    assert world.store.dispatch(term, [plan]) == [True]
    assert slots(world, "queued") == [start + 20 * SECOND]
    assert world.schedule().cursor.next == before.next


def test_law_6_a_clock_that_jumps_back_runs_no_slot_twice(world):
    _, at, term = written(world)
    now = passed(world, at, seconds=1)
    job = world.run(at, world.waiting()[0].job.id)
    world.clock.jump(-HOUR)
    assert world.waiting() == []
    assert world.plans(world.lead(at), AHEAD) == []
    world.clock.jump(HOUR)
    assert world.waiting() == []
    assert world.job(job.id).state == "completed"
    assert world.schedule().next_run_at == now + SECOND
    assert world.plans(term, 0) == []


def test_law_6_a_clock_that_jumps_forward_is_a_matter_of_the_misfire_rule(world):
    start, at, _ = written(world)
    world.clock.jump(HOUR)
    term = world.lead(at)
    plans = world.plans(term, AHEAD)
    assert world.store.dispatch(term, plans) == [True]
    now = world.clock.now()
    assert [each.job.slot for each in world.waiting()] == [now]
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    assert (miss.first, miss.last) == (start + SECOND, now - SECOND)


def test_law_1_a_slot_that_has_run_beyond_a_cursor_is_stepped_over(world):
    start, at, _ = written(world)
    world.store.cancel(f"job:{slot_name(start + 5 * SECOND)}", world.clock.now())
    assert world.store.apply([world.pausing()])
    change = resume(world.due(), world.clock.now())
    assert change is not None
    assert world.store.apply([change])
    assert world.due().taken == {start + 5 * SECOND}
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, AHEAD)) == [True]
    assert start + 5 * SECOND not in slots(world)
    assert len(world.jobs()) == 20


def test_law_2_a_slot_that_was_missed_beyond_a_cursor_is_stepped_over(world):
    start, at, _ = written(world, overlap="skip")
    passed(world, at, seconds=1)
    world.claim(at, world.waiting()[0].job.id)
    now = passed(world, at, seconds=2)
    early, late = world.waiting()
    here = Place(node="n1", full=False, others=False, lease=LEASE)
    admission = admit(late, now, here)
    assert admission is not None
    world.store.claim(at, [admission], now)
    world.clock.jump(-2 * SECOND)  # `early` lies ahead again, and `late` is a miss already
    assert world.store.apply([world.pausing()])
    assert world.schedule().cursor.next == early.job.slot
    (missed,) = world.due().missed
    assert missed.first == late.job.slot
    change = resume(world.due(), world.clock.now())
    assert change is not None
    assert world.store.apply([change])
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, AHEAD)) == [True]
    assert early.job.slot in slots(world)
    assert late.job.slot not in slots(world)
    assert world.schedule().cursor.next == start + 22 * SECOND


def test_a_schedule_that_failed_is_looked_at_again_in_time_and_not_before(world):
    _, at, _ = written(world, handler="h")
    passed(world, at, seconds=1)
    term = world.lead(at)
    (failed,) = world.plans(term, 0, "run")
    later = replace(failed.cursor, retry_at=world.clock.now() + 3 * SECOND)
    assert world.store.dispatch(term, [replace(failed, cursor=later)]) == [True]
    passed(world, at, seconds=2)
    assert world.store.due(world.look(None, "run"), 10) == []
    passed(world, at, seconds=1)
    assert len(world.store.due(world.look(None, "run"), 10)) == 1


@pytest.mark.parametrize("every", [1, 7])
def test_the_next_dispatch_goes_on_where_the_last_one_ended(world, every):
    start, at, _ = written(world, cron=f"@every {every}s")
    passed(world, at, seconds=4)
    term = world.lead(at)
    world.store.dispatch(term, world.plans(term, AHEAD))
    found = sorted(job.slot for job in world.jobs())
    assert all(after - before == every * SECOND for before, after in pairwise(found))
    assert found[-1] > start + 24 * SECOND - every * SECOND


def test_law_2_no_entry_of_misses_grows_over_a_record_of_the_cron_before(world):
    start, at, _ = written(world)
    passed(world, at, seconds=9)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, 0)) == [True]
    (before,) = world.store.read(Miss, Where(schedule="job")).items
    assert (before.reason, before.last) == ("misfire", start + 3 * SECOND)
    for candidate in world.waiting():
        world.run(at, candidate.job.id)
    world.register(cron="*/3 * * * * *")
    world.clock.advance(60 * SECOND)
    at = world.join("n2")
    term = world.lead(at)
    skipped = Miss(
        schedule_id="job",
        first=start + 12 * SECOND,
        last=start + 12 * SECOND,
        count=1,
        reason="misfire",
        recorded_at=0,
        follows=before.last,
    )
    (plan,) = world.plans(term, 0)
    assert world.store.dispatch(term, [replace(plan, misses=(skipped,))]) == [True]
    kept = world.store.read(Miss, Where(schedule="job")).items
    assert [(each.first, each.last) for each in kept] == [
        (skipped.first, skipped.last),
        (before.first, before.last),
    ]
