"""What the store keeps so that people can see who decided what, and what is overdue."""

from dataclasses import replace

from synccron.client.audit import audit
from synccron.client.why import why
from synccron.model.change import pause, reset, resume
from synccron.model.job import Miss
from synccron.model.lease import Totals
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import DAY, MINUTE, SECOND
from synccron.store.base import Where


def overdue(world, at):
    return [each.id for each in world.store.read(Schedule, Where(overdue=at)).items]


def test_jobs_and_misses_say_which_leader_decided_them_in_which_term(world):
    world.register()
    at = world.join()
    world.pass_(3 * MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    (job,) = world.jobs(schedule="job")
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    assert (job.by, job.epoch) == (miss.by, miss.epoch) == (term.node, term.epoch)


def test_who_paused_is_kept_until_it_is_resumed(world):
    world.register()
    paused = pause(world.due(), world.clock.now(), None, None, "me@here")
    assert world.store.apply([paused])
    found = world.schedule()
    assert (found.paused_by, found.paused_at) == ("me@here", world.clock.now())
    assert world.store.apply([resume(world.due(), world.clock.now(), "you@there")])
    assert world.schedule().paused_by is None


def test_a_schedule_is_overdue_while_its_oldest_slot_is_undecided(world):
    world.register("a")
    world.register("b")
    assert world.store.apply([world.pausing("b")])
    at = world.join()
    slot = world.schedule("a").cursor.next
    world.pass_(MINUTE, at)
    assert overdue(world, slot) == []
    assert overdue(world, slot + 1) == ["a"]
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    assert overdue(world, slot + 1) == ["a"]  # an intention is not decided either
    world.claim(at, world.jobs(schedule="a")[0].id)
    assert overdue(world, slot + 1) == []


def test_a_dispatch_that_waits_to_be_tried_again_is_overdue_all_the_same(world):
    world.register(handler="nowhere:f")
    at = world.join()
    world.pass_(MINUTE, at)
    term = world.lead(at)
    (failed,) = world.plans(term)
    assert failed.cursor.retry_at is not None
    assert world.store.dispatch(term, [failed]) == [True]
    slot = world.schedule().cursor.next
    assert overdue(world, slot + 1) == ["job"]
    seen = world.store.read(Totals, Where(overdue=slot + 1)).items[0]
    assert (seen.overdue, seen.oldest_due_at) == (1, slot)


def test_a_pause_that_should_have_ended_is_overdue(world):
    world.register()
    change = world.pausing()
    until = world.clock.now() + SECOND
    ending = replace(change.schedule, paused_until=until)
    assert world.store.apply([replace(change, schedule=ending)])
    assert overdue(world, until) == []
    assert overdue(world, until + 1) == ["job"]


def stranded(world):
    """A schedule whose cursor and misses a wrong clock has left in the future."""
    world.register()
    at = world.join()
    world.pass_(MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    world.run(at, world.jobs()[0].id)
    now = world.clock.now()
    world.clock.jump(DAY)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    world.run(at, world.jobs()[0].id)
    world.clock.jump(-DAY)
    return now


def resetting(world, now):
    misses = world.store.read(Miss, Where(schedule="job")).items
    revisions = world.store.read(Revision, Where(schedule="job")).items
    return reset(world.due(), revisions, misses, now, "me@here", "2026f")


def test_a_cursor_that_is_reset_takes_back_the_misses_to_come_and_keeps_what_ran(world):
    now = stranded(world)
    change = resetting(world, now)
    assert change is not None
    assert world.store.apply([change])
    schedule = world.schedule()
    assert now < schedule.cursor.next <= now + MINUTE
    assert not [
        miss
        for miss in world.store.read(Miss, Where(schedule="job")).items
        if miss.last >= schedule.cursor.next
    ]
    ahead = [job.slot for job in world.jobs() if job.slot > now]
    assert world.due().taken == frozenset(ahead) != frozenset()
    assert world.store.read(Revision, Where(schedule="job")).items[0].by == "me@here"
    assert resetting(world, now) is None


def test_a_reset_is_refused_when_a_miss_has_changed_since_it_was_read(world):
    now = stranded(world)
    change = resetting(world, now)
    (erased, *_) = change.erased
    grown = replace(change, erased=(replace(erased, count=erased.count + 1),))
    assert not world.store.apply([grown])
    assert world.store.apply([change])


def test_an_audit_finds_that_every_slot_has_its_record_whatever_was_done_to_it(world):
    now = stranded(world)
    assert world.store.apply([resetting(world, now)])
    at = world.join("n2")
    world.pass_(3 * MINUTE, at)
    world.register(cron="*/2 * * * *")
    assert world.store.apply([world.pausing()])
    world.pass_(5 * MINUTE, at)
    world.register(cron="*/3 * * * *")
    assert world.store.apply([resume(world.due(), world.clock.now())])
    world.register("other")
    world.pass_(10 * MINUTE, at)
    term = world.lead(at)
    assert all(world.store.dispatch(term, world.plans(term)))
    found = {each.schedule_id: each for each in audit(world.store)}
    assert [each.violations for each in found.values()] == [(), ()]
    assert (found["other"].jobs, found["other"].missed) == (1, 9)
    (some,) = audit(world.store, ["other"], since=world.clock.now() - 2 * MINUTE)
    assert some.jobs + some.missed == 3


def test_an_audit_asks_for_nothing_that_retention_took(world):
    world.register()
    at = world.join()
    for _ in range(4):
        world.pass_(3 * MINUTE, at)
        term = world.lead(at)
        assert world.store.dispatch(term, world.plans(term)) == [True]
        world.run(at, world.jobs()[0].id)
    world.register(cron="*/2 * * * *")
    world.prune(world.lead(at), horizon=world.clock.now(), least=1)
    assert len(world.jobs()) == 1
    (found,) = audit(world.store)
    assert found.violations == ()


def test_what_is_said_of_a_slot_names_leader_epoch_and_node(world):
    world.register(overlap="skip")
    at = world.join()
    world.pass_(3 * MINUTE, at)
    term = world.lead(at)
    assert world.store.dispatch(term, world.plans(term)) == [True]
    job = world.run(at, world.jobs()[0].id)
    told = why(world.store, "job", None, world.clock.now())
    assert told.last is not None
    assert (told.last.verdict, told.last.job_id) == ("completed", job.id)
    assert (told.last.by, told.last.epoch) == (term.node, term.epoch)
    assert (told.next.verdict, told.next.by) == ("will_run", term.node)
    missed = why(world.store, "job", job.slot - MINUTE, world.clock.now())
    assert missed.last is not None
    assert (missed.last.verdict, missed.last.reason) == ("missed", "misfire")
    assert (missed.last.by, missed.last.epoch) == (term.node, term.epoch)


def test_an_audit_names_slots_whose_record_is_gone(world):
    world.register()
    world.register("whole")
    at = world.join()
    world.pass_(5 * MINUTE, at)
    term = world.lead(at)
    assert all(world.store.dispatch(term, world.plans(term)))
    (miss,) = world.store.read(Miss, Where(schedule="job")).items
    hole = replace(world.pausing(), erased=(miss,))
    assert world.store.apply([hole])
    (found,) = [each for each in audit(world.store) if each.violations]
    assert found.schedule_id == "job"
    (violation,) = found.violations
    assert violation.law == "no slot vanishes"
    assert f"{miss.count} slots from" in violation.message


def test_retention_keeps_the_revisions_that_explain_the_slots_that_are_kept(world):
    at = world.join()
    for cron in ("* * * * *", "*/2 * * * *", "*/3 * * * *"):
        world.register(cron=cron)
        for _ in range(3):
            world.pass_(6 * MINUTE, at)
            term = world.lead(at)
            assert world.store.dispatch(term, world.plans(term)) == [True]
            world.run(at, world.jobs()[0].id)
    # Of nine jobs the oldest four go: all of the first rhythm, and one of the second.
    world.prune(world.lead(at), horizon=0, least=0, most=5)
    kept = [each.version for each in world.store.read(Revision, Where(schedule="job")).items]
    assert kept == [3, 2]
    (found,) = audit(world.store)
    assert (found.violations, found.jobs) == ((), 5)
    assert found.missed > 0
