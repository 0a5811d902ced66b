"""What commands change: all of it or nothing, if it stands as read."""

from dataclasses import replace

from synccron.model.change import register, resume
from synccron.model.job import Admission, Miss
from synccron.model.schedule import Revision, Schedule, Tombstone
from synccron.model.time import MINUTE
from synccron.store.base import Where
from tests.make import definition


def test_what_is_registered_is_read_back_as_it_was(world):
    fields = {
        "run": ("a", "b c"),
        "labels": {"team": "ops", 'odd"key': "x"},
        "env": {"A": "1"},
        "timeout": 1000,
        "input": '{"a":[1,2]}',
    }
    schedule = world.register("job", **fields)
    assert schedule.definition == definition(id="job", **fields)
    assert (schedule.version, schedule.paused, schedule.ahead) == (1, False, None)
    assert schedule.next_run_at == world.clock.now() + MINUTE


def test_a_change_of_what_has_moved_since_is_refused(world):
    world.register()
    first = world.pausing()
    second = world.pausing()
    assert world.store.apply([first])
    assert not world.store.apply([second])
    assert world.schedule().version == 1


def test_registering_what_another_registered_meanwhile_is_refused(world):
    change = register(None, definition(id="job"), world.clock.now(), "me", "t")
    assert change is not None
    assert world.store.apply([change])
    assert not world.store.apply([change])


def test_one_change_that_does_not_stand_undoes_all_of_them(world):
    world.register("a")
    stale = world.pausing("a")
    assert world.store.apply([world.pausing("a")])
    fresh = register(None, definition(id="b"), world.clock.now(), "me", "t")
    assert fresh is not None
    assert not world.store.apply([fresh, stale])
    assert not world.store.read(Schedule, Where(ids=["b"])).items
    assert not world.store.read(Revision, Where(schedule="b")).items


def test_a_change_that_moves_the_cursor_is_refused_after_a_dispatch(world):
    world.register()
    at = world.join()
    world.pass_(MINUTE, at)
    change = register(
        world.due(), definition(id="job", cron="0 * * * *"), world.clock.now(), "me", "t"
    )
    assert change is not None
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    assert not world.store.apply([change])


def test_a_change_that_keeps_the_cursor_keeps_what_a_dispatch_made_of_it(world):
    world.register()
    at = world.join()
    world.pass_(MINUTE, at)
    change = register(world.due(), definition(id="job", timeout=5), world.clock.now(), "me", "t")
    assert change is not None
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    moved = world.schedule().cursor.next
    assert world.store.apply([change])
    assert world.schedule().cursor.next == moved
    assert world.schedule().definition.timeout == 5


def test_a_dispatch_that_was_decided_before_a_pause_is_refused(world):
    world.register()
    at = world.join()
    world.pass_(MINUTE, at)
    term = world.lead(at)
    plans = world.plans(term)
    assert world.store.apply([world.pausing()])
    assert world.store.dispatch(term, plans) == [False]
    assert world.jobs() == []


def test_a_pause_takes_back_each_intention_as_it_was_read(world):
    at, _, job = world.dispatched()
    change = world.pausing()
    assert [each.id for each in change.queued] == [job.id]
    world.claim(at, job.id)
    assert not world.store.apply([change])


def test_a_paused_schedule_is_not_due_and_goes_on_when_it_is_resumed(world):
    world.register()
    assert world.store.apply([world.pausing()])
    now = world.clock.now()
    assert not world.store.due(world.look(now + MINUTE), 10)
    change = resume(world.due(), now)
    assert change is not None
    assert world.store.apply([change])
    assert [each.schedule.id for each in world.store.due(world.look(now + MINUTE), 10)] == ["job"]


def test_intentions_follow_what_their_schedule_needs_now(world):
    _, _, job = world.dispatched()
    now = world.clock.now()
    changed = definition(id="job", run=None, handler="mod:fn", overlap="skip")
    change = register(world.due(), changed, now, "me", "t")
    assert change is not None
    assert world.store.apply([change])
    kept = world.job(job.id)
    assert (kept.needs, kept.alone, kept.revision) == ("mod:fn", True, None)
    (candidate,) = world.waiting("mod:fn")
    assert candidate.definition == changed
    assert candidate.version == 2


def test_a_claim_of_an_intention_is_refused_when_its_schedule_has_changed(world):
    at, _, _ = world.dispatched()
    (candidate,) = world.waiting()
    world.register("job", timeout=7)
    assert world.store.claim(at, [Admission(candidate=candidate)], world.clock.now()) == [None]


def test_what_was_removed_leaves_a_tombstone_for_good(world):
    schedule = world.register()
    assert world.store.apply([world.removing()])
    assert not world.store.read(Schedule).items
    (stone,) = world.store.read(Tombstone, Where(ids=["job"])).items
    assert (stone.version, stone.decided_until) == (schedule.version, world.clock.now())
    again = world.register()
    assert again.version == 2
    assert not world.store.read(Tombstone).items


def test_a_removal_cancels_what_has_not_started_and_leaves_what_runs(world):
    world.register()
    at = world.join()
    running, queued = world.trigger(key="a"), world.trigger(key="b")
    claim = world.claim(at, running.job_id)
    assert world.store.apply([world.removing()])
    ended = world.job(queued.job_id)
    assert (ended.state, ended.error) == ("cancelled", "unregistered")
    assert ended.finished_at == world.clock.now()
    assert world.settle(claim).state == "completed"


def test_misses_that_follow_each_other_are_one_entry_and_others_are_not(world):
    now = world.clock.now()
    miss = Miss(
        schedule_id="job",
        first=now,
        last=now,
        count=1,
        reason="paused",
        recorded_at=now,
        follows=now - MINUTE,
    )
    later = replace(miss, first=now + MINUTE, last=now + 2 * MINUTE, count=2, follows=now)
    other = replace(
        later,
        first=now + 3 * MINUTE,
        last=now + 3 * MINUTE,
        count=1,
        reason="changed",
        follows=now + 2 * MINUTE,
    )
    world.register()
    for each in (miss, later, other):
        assert world.store.apply([replace(world.pausing_again(), misses=(each,))])
    newest, oldest = world.store.read(Miss, Where(schedule="job")).items
    assert (oldest.first, oldest.last, oldest.count) == (now, now + 2 * MINUTE, 3)
    assert (newest.reason, newest.count) == ("changed", 1)


def test_pages_go_on_where_the_last_one_ended_and_keep_their_order(world):
    names = [f"job-{n:02}" for n in range(7)]
    for name in names:
        world.register(name)
    read, after = [], None
    while True:
        page = world.store.read(Schedule, after=after, limit=3)
        assert len(page.items) <= 3
        read += [each.id for each in page.items]
        after = page.after
        if after is None:
            break
    assert read == names


def test_schedules_are_found_by_pattern_label_and_end_of_pause(world):
    world.register("web-a", labels={"team": "x", "tier": "1"})
    world.register("web-b", labels={"team": "y"})
    world.register("db")
    now = world.clock.now()

    def found(**where):
        return [each.id for each in world.store.read(Schedule, Where(**where)).items]

    assert found(pattern="web-*") == ["web-a", "web-b"]
    assert found(pattern="web-[!a]") == ["web-b"]
    assert found(labels={"team": "x"}) == ["web-a"]
    assert found(labels={"team": "x", "tier": "2"}) == []
    assert found(pattern="WEB*") == []
    from synccron.model.change import pause

    assert world.store.apply([pause(world.due("db"), now, now + 5, "why")])
    assert found(paused_until=now + 4) == []
    assert found(paused_until=now + 5) == ["db"]


def test_what_schedules_and_unsettled_jobs_need_is_told_once_each(world):
    world.register("a")
    world.register("b")
    world.register("c", run=None, handler="h1")
    world.submit("h2", "k")
    at = world.join()
    world.run(at, world.submit("h", "done").job_id)
    assert world.store.needs() == {"run", "h1", "h2"}


def test_law_2_a_pause_that_was_decided_before_a_dispatch_is_refused(world):
    world.register()
    at = world.join()
    world.pass_(MINUTE, at)
    pausing = world.pausing()
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    assert not world.store.apply([pausing])
    assert world.store.apply([world.pausing()])
    assert not world.due().intentions
