"""Room for jobs: turns of schedules, how many of one run at once, and what came too late."""

import pytest

from synccron.model.admit import Place, admit
from synccron.model.change import pause
from synccron.model.job import Admission, Miss
from synccron.model.order import triggered
from synccron.model.time import MINUTE, SECOND
from synccron.store.base import Where

PLACE = Place(node="n1", full=False, others=False, lease=5 * SECOND)
FULL = Place(node="n1", full=True, others=False, lease=5 * SECOND)


def turn(world, at, place=PLACE):
    """A node's turn: what is waiting is admitted and claimed; its claims."""
    now = world.clock.now()
    admissions = [admit(each, now, place) for each in world.waiting()]
    claims = world.store.claim(at, [each for each in admissions if each is not None], now)
    return [claim for claim in claims if claim is not None]


def queue(world, name, number, **fields):
    """So many triggers of a schedule, a millisecond apart."""
    if world.find(name) is None:
        world.register(name, **fields)
    made = []
    for n in range(number):
        made.append(world.trigger(name, key=f"{n:03}").job_id)
        world.clock.advance(1)
    return made


def given(world, **options):
    now = world.clock.now()
    found = world.store.waiting(frozenset({"run", "h"}), now, 100, **options)
    return [each.job.id for each in found]


def test_of_a_line_no_more_is_given_than_its_share_and_of_those_that_had_theirs_nothing(world):
    long, short = queue(world, "a", 130), queue(world, "b", 2)
    sent = world.submit().job_id
    assert given(world, each=3) == [*long[:3], *short, sent]
    assert given(world, each=1) == [long[0], short[0], sent]
    assert given(world, each=3, besides=frozenset({"a"})) == [*short, sent]
    assert given(world, besides=frozenset({"a", "b", "submit:h"})) == []
    assert len(given(world)) == 100


def test_what_others_are_to_take_does_not_count_for_a_share(world):
    jobs = queue(world, "a", 6)
    world.clock.advance(1)
    now = world.clock.now()
    found = world.store.waiting(
        frozenset({"run"}), now, 100, lambda job_id, *_: job_id in jobs[3:], each=2
    )
    assert [each.job.id for each in found] == jobs[3:5]


def test_an_intention_is_given_at_its_instant_also_when_its_schedule_had_its_turn(world):
    at, _, job = world.dispatched()
    assert given(world, each=1, besides=frozenset({"job"})) == [job.id]
    assert turn(world, at, FULL) == []
    assert given(world, besides=frozenset({"job"})) == []
    assert given(world) == [job.id]


def test_no_more_attempts_run_at_once_than_a_schedule_may_have(world):
    at = world.join()
    jobs = queue(world, "a", 5, max_running=2)
    assert given(world) == jobs[:2]
    claims = []
    while found := turn(world, at):
        claims += found
    assert [claim.job.id for claim in claims] == jobs[:2]
    assert given(world) == []
    world.settle(claims[0], "failed")
    assert [claim.job.id for claim in turn(world, at)] == [jobs[2]]


def test_nodes_that_decided_at_one_moment_do_not_exceed_it_together(world, backend):
    store = backend.open()
    one, two = world.join("n1"), world.join("n2", store)
    queue(world, "a", 2, max_running=1)
    world.register("b", max_running=1)
    (candidate,) = world.waiting()
    second = triggered(world.schedule("a"), "late", None, 0)
    assert world.store.enqueue(second, 0) is not None
    late = next(each for each in world.waiting() if each.job.key == "late")
    now = world.clock.now()
    (claim,) = world.store.claim(one, [Admission(candidate=candidate)], now)
    assert claim is not None
    assert store.claim(two, [Admission(candidate=late)], now) == [None]
    world.settle(claim)


def test_a_slot_that_finds_its_schedule_at_its_bound_waits_in_the_queue(world):
    at, _, job = world.dispatched(max_running=1)
    (first,) = turn(world, at)
    assert first.job.id == job.id
    world.pass_(MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    assert turn(world, at) == []
    (second,) = world.jobs(states=["queued"])
    assert second.revision == 1
    world.settle(first)
    assert [claim.job.id for claim in turn(world, at)] == [second.id]


def test_a_forced_trigger_runs_beside_the_bound(world):
    at = world.join()
    queue(world, "a", 1, max_running=1)
    (claim,) = turn(world, at)
    forced = world.trigger("a", key="f", force=True)
    assert [each.job.id for each in turn(world, at)] == [forced.job_id]
    world.settle(claim)


def test_intentions_follow_a_change_of_the_bound(world):
    world.register("job", max_running=1)
    at = world.join()
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term, ahead=MINUTE)) == [True]
    world.register("job", max_running=7)
    (job,) = world.jobs()
    assert (job.max_running, job.intention) == (7, True)


def test_a_slot_that_found_no_room_in_time_becomes_a_miss_and_never_runs(world):
    at, _, job = world.dispatched(start_within=10 * SECOND)
    assert turn(world, at, FULL) == []
    assert world.job(job.id).expires_at == job.slot + 10 * SECOND
    world.pass_(10 * SECOND, at)
    assert turn(world, at, FULL) == []
    assert world.job(job.id).state == "queued"
    world.pass_(SECOND, at)
    assert turn(world, at) == []
    assert world.jobs() == []
    (miss,) = world.store.read(Miss).items
    assert (miss.first, miss.count, miss.reason) == (job.slot, 1, "expired")
    assert world.waiting() == []
    assert world.due().taken == frozenset()


def test_a_late_intention_is_a_miss_within_the_window_too(world):
    at, _, job = world.dispatched(start_within=2 * SECOND)
    world.pass_(3 * SECOND, at)
    assert turn(world, at) == []
    (miss,) = world.store.read(Miss).items
    assert (miss.first, miss.reason) == (job.slot, "expired")


@pytest.mark.parametrize("overlap", ["queue", "skip"])
def test_what_waits_hidden_behind_another_expires_too_and_the_queue_goes_on(world, overlap):
    world.register(
        "job", overlap=overlap, start_within=10 * SECOND, misfire="catch_up_all", misfire_grace=1000
    )
    at = world.join()
    world.pass_(2 * MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    (claim,) = turn(world, at)
    (second,) = world.jobs(states=["queued"])
    assert world.waiting() == []
    world.pass_(11 * SECOND, at)
    assert turn(world, at) == []
    assert [job.id for job in world.jobs()] == [claim.job.id]
    (miss,) = world.store.read(Miss).items
    assert (miss.first, miss.reason) == (second.slot, "expired")
    world.settle(claim)
    again = world.trigger()
    assert [each.job.id for each in turn(world, at)] == [again.job_id]


def test_a_catch_up_counts_from_when_it_was_queued(world):
    world.register("job", start_within=10 * SECOND, misfire="catch_up_all", misfire_grace=1000)
    at = world.join()
    world.pass_(3 * MINUTE + 5 * SECOND, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    assert len(turn(world, at)) == 3
    assert not world.store.read(Miss).items


def test_what_has_begun_and_what_was_triggered_never_expire(world):
    at, _, job = world.dispatched(start_within=SECOND)
    (claim,) = turn(world, at)
    made = world.trigger()
    world.pass_(2 * SECOND, at)
    assert world.settle(claim, "given_back").expires_at is None
    assert {each.job.id for each in turn(world, at)} == {job.id, made.job_id}


def test_a_miss_that_met_a_claim_writes_nothing(world):
    at, _, job = world.dispatched(start_within=10 * SECOND)
    turn(world, at, FULL)
    world.pass_(10 * SECOND, at)
    (candidate,) = world.waiting()
    claim = world.claim(at, job.id)
    late = admit(candidate, world.clock.now() + 1, PLACE)
    assert late is not None
    assert late.miss is not None
    assert world.store.claim(at, [late], world.clock.now()) == [None]
    assert world.job(job.id).state == "running"
    assert not world.store.read(Miss, Where(schedule="job")).items
    world.settle(claim)


def test_a_pause_lets_what_waits_keep_the_time_that_it_has(world):
    at, _, job = world.dispatched(start_within=10 * SECOND)
    change = pause(world.due(), world.clock.now(), None, None)
    assert change is not None
    assert world.store.apply([change])
    assert world.job(job.id).expires_at == job.slot + 10 * SECOND
    assert [each.job.id for each in turn(world, at)] == [job.id]


def test_what_needs_labels_of_its_node_is_given_to_who_offers_them(world):
    world.register("job", node_labels={"gpu": "a100"})
    made = world.trigger()
    assert world.store.needs() == {"run?gpu=a100"}
    assert world.waiting("run") == []
    assert [each.job.id for each in world.waiting("run", "run?gpu=a100")] == [made.job_id]
