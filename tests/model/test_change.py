"""What register, pause, resume and unregister do to a schedule, its cursor and its intentions."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.change import (
    ERASED,
    Change,
    pause,
    register,
    reset,
    resume,
    stranded,
    unregister,
)
from synccron.model.cron import timetable
from synccron.model.job import Miss
from synccron.model.plan import Due
from synccron.model.schedule import Cursor, Revision, Schedule, Tombstone
from synccron.model.time import DAY, SECOND, Instant
from tests.make import NOW, at, definition, due, job, schedule


def changed(read: Due | Tombstone | None, now: Instant, **fields: object) -> Change:
    decided = register(read, definition(**fields), now, "me@here", "2026f")
    assert decided is not None
    return decided


def cursor(decided: Change) -> Cursor:
    assert decided.schedule is not None
    return decided.schedule.cursor


def test_a_new_schedule_starts_after_now_and_never_catches_up_on_the_time_before() -> None:
    decided = changed(None, at("22:00:30"))
    assert (cursor(decided).next, cursor(decided).history_from) == (at("22:01:00"), at("22:00:30"))
    assert (decided.seen, decided.misses) == (None, ())
    assert decided.revision is not None
    assert (decided.revision.version, decided.revision.by) == (1, "me@here")


def test_registering_the_same_again_changes_nothing() -> None:
    assert register(due(), definition(), NOW + DAY, "you@there", "2026g") is None


def test_inputs_that_only_python_calls_equal_are_a_change() -> None:
    assert register(due(input="true"), definition(input="1"), NOW, "me", "2026f") is not None


def test_white_space_and_letter_case_in_a_cron_keep_the_cursor() -> None:
    read = due(cron="0 3 * * MON", cursor=at("22:05:00"))
    decided = changed(read, at("22:07:00"), cron="0  3 * *  mon")
    assert decided.cursor_seen is None
    assert cursor(decided).next == at("22:05:00")


def test_a_change_of_anything_but_the_rhythm_keeps_cursor_and_intentions() -> None:
    made = schedule()
    read = due(made, cursor=at("22:06:00"), intentions=(job(made, at("22:05:00")),))
    decided = changed(read, at("22:04:59"), run="false")
    assert decided.cursor_seen is None
    assert decided.withdrawn == decided.queued == decided.dropped == ()
    assert decided.revision is not None
    assert decided.revision.version == 2


def test_a_change_of_the_cron_records_what_it_leaps() -> None:
    read = due(cursor=at("22:01:00"))
    decided = changed(read, at("22:03:30"), cron="*/10 * * * *")
    assert (cursor(decided).next, decided.cursor_seen) == (at("22:10:00"), 1)
    assert [(m.first, m.last, m.reason) for m in decided.misses] == [
        (at("22:01:00"), at("22:03:00"), "changed")
    ]


def test_a_take_back_deletes_what_lies_ahead_and_decides_what_is_due() -> None:
    made = schedule()
    old, fresh, coming, later = (
        job(made, at(text)) for text in ("22:03:00", "22:04:00", "22:05:00", "22:06:00")
    )
    read = due(made, cursor=at("22:07:00"), intentions=(old, fresh, coming, later))
    decided = pause(read, at("22:04:02"), None, None)
    assert decided is not None
    assert decided.withdrawn == (coming, later)
    assert [each.id for each in decided.queued] == [fresh.id]
    assert decided.dropped == (old,)
    assert [(m.first, m.reason) for m in decided.misses] == [(at("22:03:00"), "paused")]
    assert cursor(decided).next == at("22:05:00")
    assert cursor(decided).decided_until < at("22:05:00")


def test_resume_goes_on_after_now_and_records_the_pause() -> None:
    read = due(replace(schedule(), paused=True), cursor=at("22:01:00"))
    decided = resume(read, at("22:03:30"))
    assert decided is not None
    assert cursor(decided).next == at("22:04:00")
    assert [(m.count, m.reason) for m in decided.misses] == [(3, "paused")]


def test_resume_keeps_a_cursor_that_is_already_after_now() -> None:
    read = due(replace(schedule(), paused=True), cursor=at("22:09:00"))
    decided = resume(read, at("22:03:30"))
    assert decided is not None
    assert (cursor(decided).next, decided.cursor_seen, decided.misses) == (at("22:09:00"), None, ())


def test_pausing_and_resuming_twice_changes_nothing() -> None:
    paused = due(replace(schedule(), paused=True, pause_reason="moving"))
    assert pause(paused, NOW, None, "moving") is None
    assert resume(due(), NOW) is None


def test_enabled_pauses_and_resumes_only_where_it_changes() -> None:
    off = changed(due(), NOW, enabled=False)
    assert off.schedule is not None
    assert off.schedule.paused
    by_hand = due(replace(schedule(), paused=True))
    other = changed(by_hand, NOW, run="false")
    assert other.schedule is not None
    assert other.schedule.paused
    disabled = due(replace(schedule(enabled=False), paused=True), cursor=at("22:01:00"))
    on = changed(disabled, at("22:05:30"), enabled=True)
    assert on.schedule is not None
    assert not on.schedule.paused
    assert [(m.count, m.reason) for m in on.misses] == [(5, "paused")]


def test_unregister_leaves_a_tombstone_and_a_record_for_what_was_due() -> None:
    decided = unregister(due(cursor=at("22:01:00")), at("22:02:30"))
    assert (decided.schedule, decided.error) == (None, "unregistered")
    assert decided.tombstone is not None
    assert decided.tombstone.decided_until == at("22:02:30")
    assert [(m.count, m.reason) for m in decided.misses] == [(2, "unregistered")]


def test_an_id_that_comes_back_starts_after_what_was_decided() -> None:
    tombstone = Tombstone(id="job", version=4, decided_until=at("22:30:00"), mod=9)
    decided = changed(tombstone, at("22:10:00"))  # the clock was set back meanwhile
    assert (decided.seen, cursor(decided).next) == (9, at("22:31:00"))
    assert decided.revision is not None
    assert decided.revision.version == 5


def test_no_slot_is_run_again_after_a_clock_that_jumped_back() -> None:
    made = schedule()
    read = due(made, cursor=at("22:01:00"))
    decided_ahead = replace(made.cursor, next=at("22:31:00"), decided_until=at("22:30:00"), mod=1)
    read = replace(read, schedule=replace(made, cursor=decided_ahead))
    decided = changed(read, at("22:10:00"), cron="*/2 * * * *")
    assert cursor(decided).next == at("22:32:00")


steps = st.lists(
    st.tuples(st.sampled_from(["pause", "resume", "cron"]), st.integers(1, 400)), max_size=8
)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(steps=steps, taken=st.sets(st.integers(0, 40), max_size=4))
def test_every_slot_that_a_change_leaps_has_a_record(
    steps: list[tuple[str, int]], taken: set[int]
) -> None:
    rhythms = ["* * * * *", "*/3 * * * *"]
    has = frozenset(NOW + n * 60 * SECOND for n in taken)
    current: Schedule = schedule(NOW - SECOND)
    now, expected, recorded = NOW, 0, 0
    for what, passed in steps:
        now += passed * SECOND
        seen = frozenset(slot for slot in has if slot >= current.cursor.next)
        read = Due(schedule=current, taken=seen)
        match what:
            case "pause":
                decided = pause(read, now, None, None)
            case "resume":
                decided = resume(read, now)
            case _:
                rhythms.reverse()
                decided = register(read, definition(cron=rhythms[0]), now, "me", "2026f")
        if decided is None or decided.schedule is None:
            continue
        table = timetable(current.definition.cron, "UTC", "job")
        after = decided.schedule.cursor
        if after != current.cursor:
            first, last = current.cursor.next - 1, max(now, current.cursor.decided_until)
            expected += table.count(first, last)
            recorded += sum(miss.count for miss in decided.misses)
            recorded += sum(first < slot <= last and table.previous(slot) == slot for slot in seen)
            assert after.next > now
        current = replace(decided.schedule, mod=1)
    assert recorded == expected


def stray(first: Instant, last: Instant, count: int) -> Miss:
    return Miss(
        schedule_id="job", first=first, last=last, count=count, reason="misfire", recorded_at=last
    )


def kept(made: Schedule) -> list[Revision]:
    return [
        Revision(
            schedule_id=made.id,
            version=1,
            definition=made.definition,
            at=NOW,
            by="me@here",
            cursor=made.cursor.next,
            tzdata="2026f",
        )
    ]


def test_a_stranded_cursor_is_reset_to_the_first_slot_after_now() -> None:
    made = schedule()
    far = NOW + DAY
    read = due(made, cursor=far, intentions=(job(made, far - 60_000),))
    reaching, ahead = (
        stray(at("22:02:00"), at("22:09:00"), 8),
        stray(at("22:11:00"), at("22:20:00"), 10),
    )
    decided = reset(read, kept(made), [ahead, reaching], at("22:05:30"), "me@here", "2026f")
    assert decided is not None
    assert (cursor(decided).next, cursor(decided).decided_until) == (at("22:06:00"), at("22:05:30"))
    assert (decided.withdrawn, decided.cursor_seen) == (read.intentions, 1)
    assert decided.erased == (ahead, reaching)
    assert [(m.first, m.last, m.count) for m in decided.misses] == [
        (at("22:02:00"), at("22:05:00"), 4)
    ]
    assert decided.revision is not None
    assert (decided.revision.version, decided.revision.cursor) == (2, at("22:06:00"))


def test_a_cursor_that_dispatch_ahead_has_moved_is_left_alone() -> None:
    made = schedule(cron="* * * * * *")
    assert reset(due(made, cursor=NOW + 60 * SECOND), kept(made), [], NOW, "me", "2026f") is None
    assert reset(due(made, cursor=NOW + 121 * SECOND), kept(made), [], NOW, "me", "2026f") is None
    assert stranded(due(made, cursor=NOW + 122 * SECOND).schedule, NOW)


def test_very_many_misses_go_before_the_cursor_moves() -> None:
    made = schedule()
    many = [stray(NOW + n * 120_000, NOW + n * 120_000, 1) for n in range(200, 0, -1)]
    decided = reset(due(made, cursor=NOW + DAY), kept(made), many, NOW, "me", "2026f")
    assert decided is not None
    assert (len(decided.erased), decided.cursor_seen) == (ERASED, None)
    assert cursor(decided).next == NOW + DAY


def test_who_paused_stands_in_the_schedule_and_in_the_misses() -> None:
    decided = pause(due(), at("22:00:30"), None, "move", "me@here")
    assert decided is not None
    assert decided.schedule is not None
    assert (decided.schedule.paused_by, decided.schedule.paused_at) == ("me@here", at("22:00:30"))
    again = resume(due(decided.schedule), at("22:03:30"), "you@there")
    assert again is not None
    assert again.schedule is not None
    assert (again.schedule.paused_by, again.misses[0].by) == (None, "you@there")
