"""The judge finds each kind of broken history, and nothing in a whole one."""

from dataclasses import replace

import pytest

from synccron.model.job import Job, Miss
from synccron.model.judge import History, Sighting, judge
from synccron.model.ledger import Violation
from synccron.model.schedule import Definition, Revision, Schedule
from synccron.model.time import MINUTE, Instant
from tests.make import NOW, at, attempt, definition, job, schedule

UNTIL = at("22:05:00")


def done(of: Schedule, slot: Instant, fence: int = 1, **fields: object) -> Job:
    values = {
        "state": "completed",
        "revision": 1,
        "attempts": (attempt(1, fence=fence, started=slot),),
        "finished_at": slot + 10,
        **fields,
    }
    return job(of, slot, **values)


def miss(first: Instant, last: Instant, count: int) -> Miss:
    return Miss(
        schedule_id="job", first=first, last=last, count=count, reason="misfire", recorded_at=last
    )


def revision(made: Definition, version: int, when: Instant, cursor: Instant) -> Revision:
    return Revision(
        schedule_id="job",
        version=version,
        definition=made,
        at=when,
        by="me@here",
        cursor=cursor,
        tzdata="2026f",
    )


def history(jobs: list[Job], misses: list[Miss], until: Instant = UNTIL) -> History:
    """A schedule of every minute from 22:01 on whose cursor stands at `until`."""
    made = schedule()
    return History(
        schedule=replace(made, cursor=replace(made.cursor, next=until)),
        revisions=[revision(made.definition, 1, NOW, at("22:01:00"))],
        jobs=jobs,
        misses=misses,
    )


WHOLE = [done(schedule(), at("22:01:00"), 1), done(schedule(), at("22:04:00"), 2)]
MISSED = [miss(at("22:02:00"), at("22:03:00"), 2)]


def laws(found: tuple[Violation, ...]) -> list[str]:
    return [violation.law for violation in found]


def test_a_whole_history_has_no_violation() -> None:
    assert judge([history(WHOLE, MISSED)], quiet=True) == ()


def test_a_slot_without_a_record_is_found() -> None:
    (found,) = judge([history(WHOLE, [])], quiet=True)
    assert found.law == "no slot vanishes"
    assert "2 slots from 2026-11-23T22:02:00Z" in str(found)


def test_the_last_slots_before_the_cursor_are_looked_at_too() -> None:
    assert laws(judge([history(WHOLE, MISSED, at("22:06:00"))], quiet=True)) == ["no slot vanishes"]


def test_a_slot_with_a_job_and_a_miss_is_found() -> None:
    doubled = [*MISSED, miss(at("22:04:00"), at("22:04:00"), 1)]
    assert "one job per slot" in laws(judge([history(WHOLE, doubled)], quiet=True))


def test_a_slot_with_two_jobs_is_found() -> None:
    twice = [*WHOLE, replace(WHOLE[0], id="another", attempts=(attempt(fence=9),))]
    assert "one job per slot" in laws(judge([history(twice, MISSED)], quiet=True))


def test_a_record_that_counts_wrong_is_found() -> None:
    assert laws(judge([history(WHOLE, [miss(at("22:02:00"), at("22:03:00"), 3)])], quiet=True)) == [
        "no slot vanishes"
    ]


def test_a_change_of_the_cron_is_judged_by_the_cron_of_each_time() -> None:
    sparse = definition(cron="*/10 * * * *")
    whole = history(WHOLE, [*MISSED], at("22:20:00"))
    both = replace(
        whole,
        revisions=[*whole.revisions, revision(sparse, 2, at("22:04:30"), at("22:10:00"))],
        jobs=[*WHOLE, done(schedule(), at("22:10:00"), 3)],
    )
    assert judge([both], quiet=True) == ()
    assert laws(judge([replace(both, jobs=WHOLE)], quiet=True)) == ["no slot vanishes"]


def test_an_entry_of_misses_that_goes_on_over_a_change_of_the_cron_is_whole() -> None:
    sparse = definition(cron="*/10 * * * *")
    passed = miss(at("22:02:00"), at("22:10:00"), 4)  # 22:02, 22:03, 22:04 and 22:10
    both = replace(
        history(WHOLE[:1], [passed], at("22:20:00")),
        revisions=[
            revision(definition(), 1, NOW, at("22:01:00")),
            revision(sparse, 2, at("22:04:30"), at("22:10:00")),
        ],
    )
    assert judge([both], quiet=True) == ()


def test_between_a_removal_and_a_new_registration_there_are_no_slots() -> None:
    again = at("22:03:00")
    whole = history(WHOLE[1:], [])
    assert whole.schedule is not None
    lived = replace(
        whole,
        schedule=replace(
            whole.schedule,
            created_at=again,
            cursor=replace(whole.schedule.cursor, history_from=again),
        ),
        revisions=[*whole.revisions, revision(definition(), 2, again, at("22:04:00"))],
    )
    assert judge([lived], quiet=True) == ()


def test_a_slot_of_the_cron_before_that_got_its_record_early_is_none_of_the_new_one() -> None:
    sparse = definition(cron="*/10 * * * *")
    early = replace(WHOLE[0], id="early", slot=at("22:11:00"), attempts=(), state="cancelled")
    both = replace(
        history([*WHOLE, early, done(schedule(), at("22:10:00"), 3)], MISSED, at("22:20:00")),
        revisions=[
            revision(definition(), 1, NOW, at("22:01:00")),
            revision(sparse, 2, at("22:04:30"), at("22:10:00")),
        ],
    )
    assert (
        judge([replace(both, jobs=[replace(j, created_at=NOW) for j in both.jobs])], quiet=True)
        == ()
    )


def test_what_retention_took_is_not_asked_for() -> None:
    kept = history([WHOLE[1]], [])
    assert kept.schedule is not None
    cursor = replace(kept.schedule.cursor, history_from=at("22:04:00"))
    assert judge([replace(kept, schedule=replace(kept.schedule, cursor=cursor))], quiet=True) == ()


def test_a_token_that_was_given_twice_is_found() -> None:
    same = [done(schedule(), at("22:01:00"), 1), done(schedule(), at("22:04:00"), 1)]
    assert laws(judge([history(same, MISSED)], quiet=True)) == ["one settlement"]


def test_tokens_that_do_not_grow_are_found() -> None:
    shrunk = replace(WHOLE[0], attempts=(attempt(1, fence=5, outcome="lost"), attempt(2, fence=4)))
    assert laws(judge([history([shrunk, WHOLE[1]], MISSED)], quiet=True)) == ["one settlement"]


def test_two_claims_at_once_are_found_where_overlap_forbids_them() -> None:
    long = attempt(1, fence=1, started=at("22:01:00"), lasted=4 * MINUTE)
    beside = [replace(WHOLE[0], alone=True, attempts=(long,)), replace(WHOLE[1], alone=True)]
    assert laws(judge([history(beside, MISSED)], quiet=True)) == ["no overlap"]


def test_a_job_that_never_settled_is_found_when_all_is_quiet() -> None:
    running = [replace(WHOLE[0], state="running"), WHOLE[1]]
    assert judge([history(running, MISSED)], quiet=False) == ()
    assert laws(judge([history(running, MISSED)], quiet=True)) == ["at least once"]


@pytest.mark.parametrize(
    ("sighting", "law"),
    [
        (Sighting(job_id=WHOLE[0].id, attempt=1, fence=99, ended=True), "one settlement"),
        (Sighting(job_id=WHOLE[0].id, attempt=1, fence=1, ended=False), "at least once"),
    ],
)
def test_what_handlers_did_is_held_against_the_records(sighting: Sighting, law: str) -> None:
    ends = [
        Sighting(job_id=each.id, attempt=1, fence=each.fence or 0, ended=True)
        for each in (WHOLE if law == "one settlement" else WHOLE[1:])
    ]
    assert laws(judge([history(WHOLE, MISSED)], [*ends, sighting], quiet=True)) == [law]


def test_what_was_acknowledged_and_is_gone_is_found() -> None:
    found = judge([history(WHOLE, MISSED)], acknowledged=["manual:job:a"], quiet=True)
    assert laws(found) == ["durable"]


def test_a_violation_says_in_one_line_what_is_wrong() -> None:
    assert str(Violation(law="durable", subject="x", message="is gone")) == "durable: x: is gone"


def test_a_write_of_a_term_that_was_over_is_found() -> None:
    whole = [history(WHOLE, MISSED)]
    assert judge(whole, quiet=True, decided=[1, 1, 2, 2, 3]) == ()
    (found,) = judge(whole, quiet=True, decided=[1, 2, 1, 2])
    assert (found.law, found.subject) == ("a deposed leader changes nothing", "epoch 1")


def test_an_attempt_after_one_that_completed_is_found() -> None:
    again = replace(WHOLE[0], attempts=(attempt(1, fence=5), attempt(2, fence=6)))
    assert laws(judge([history([again, WHOLE[1]], MISSED)], quiet=True)) == ["one settlement"]


def test_a_settled_job_with_an_attempt_under_way_is_found() -> None:
    under_way = attempt(1, fence=5, outcome=None, finished_at=None)
    open_ended = replace(WHOLE[0], attempts=(under_way,))
    assert laws(judge([history([open_ended, WHOLE[1]], MISSED)], quiet=True)) == ["one settlement"]


def noted(job: Job, began: int, ended: int) -> list[Sighting]:
    """What a handler of a job's only attempt writes down."""
    sighting = Sighting(job_id=job.id, attempt=1, fence=job.fence or 0, ended=False, at=began)
    return [sighting, replace(sighting, ended=True, at=ended)]


def test_two_attempts_that_ran_at_once_are_found_whatever_the_wall_clocks_said() -> None:
    stopping = definition(overlap="skip")
    lone = [replace(each, alone=True) for each in WHOLE]
    both = replace(history(lone, MISSED), revisions=[revision(stopping, 1, NOW, at("22:01:00"))])
    apart = [*noted(lone[0], 0, 10), *noted(lone[1], 10, 20)]
    assert judge([both], apart, quiet=True, clocks_agreed=False) == ()
    beside = [*noted(lone[0], 0, 11), *noted(lone[1], 10, 20)]
    assert laws(judge([both], beside, quiet=True, clocks_agreed=False)) == ["no overlap"]
    goes_on = replace(stopping, on_disconnect="continue")
    going = replace(both, revisions=[revision(goes_on, 1, NOW, at("22:01:00"))])
    assert judge([going], beside, quiet=True, clocks_agreed=False) == ()


def test_an_attempt_that_was_begun_twice_is_found() -> None:
    sightings = [*noted(WHOLE[0], 0, 10), *noted(WHOLE[1], 20, 30), *noted(WHOLE[1], 20, 30)]
    assert laws(judge([history(WHOLE, MISSED)], sightings, quiet=True)) == ["one settlement"]


def test_an_attempt_that_somebody_saw_gone_did_not_end_by_itself() -> None:
    sightings = noted(WHOLE[0], 0, 10) + noted(WHOLE[1], 20, 30)
    killed = [*sightings[:3], replace(sightings[3], gone=True)]
    assert laws(judge([history(WHOLE, MISSED)], killed, quiet=True)) == ["at least once"]


def test_a_job_that_was_begun_and_is_gone_is_found_unless_retention_may_have_taken_it() -> None:
    sightings = noted(WHOLE[0], 0, 10) + noted(WHOLE[1], 20, 30)
    less = [history(WHOLE[:1], [*MISSED, miss(at("22:04:00"), at("22:04:00"), 1)])]
    assert judge(less, sightings, quiet=True) == ()
    assert laws(judge(less, sightings, quiet=True, whole=True)) == ["no slot vanishes"]


def test_what_runs_on_is_found() -> None:
    found = judge([history(WHOLE, MISSED)], quiet=True, left=["4711 sleep 600"])
    assert laws(found) == ["nothing is left behind"]


def test_a_failed_job_without_a_dead_letter_is_found() -> None:
    failed = [replace(WHOLE[0], state="failed"), WHOLE[1]]
    lost = history(failed, MISSED)
    assert laws(judge([lost], quiet=True, whole=True)) == ["at least once"]
    again = replace(WHOLE[1], id="retry:job:x", kind="retry", slot=None, retry_of=failed[0].id)
    again = replace(again, attempts=(attempt(fence=9),))
    assert judge([replace(lost, jobs=[*failed, again])], quiet=True, whole=True) == ()


def test_what_was_registered_and_cancelled_is_held_against_the_records() -> None:
    whole = [history(WHOLE, MISSED)]
    assert judge(whole, quiet=True, registered=[("job", 1)], cancelled=["other"]) == ()
    assert laws(judge(whole, quiet=True, registered=[("job", 2)])) == ["durable"]
    assert laws(judge(whole, quiet=True, cancelled=[WHOLE[0].id])) == ["durable"]


def test_a_slot_that_is_missed_though_nothing_is_in_the_way_is_found() -> None:
    whole = [history(WHOLE, MISSED)]
    assert judge(whole, quiet=True, well=(at("22:03:30"), at("22:05:01"))) == ()
    missed = judge(whole, quiet=True, well=(at("22:02:00"), at("22:05:00")))
    assert laws(missed) == ["service goes on"]
    late = judge(whole, quiet=True, well=(at("22:04:00"), at("22:05:03")))
    assert laws(late) == ["service goes on"]


def test_what_a_removed_schedule_has_left_is_judged_too() -> None:
    gone = replace(history([replace(WHOLE[0], state="running")], []), schedule=None)
    assert laws(judge([gone], quiet=True)) == ["at least once"]
