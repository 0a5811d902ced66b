"""Which slots are dispatched, which are misses, and where the cursor goes."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.cron import timetable
from synccron.model.plan import Due, Plan, plan
from synccron.model.time import DAY, HOUR, MINUTE, SECOND, Instant
from tests.make import NOW, OFFERED, TERM, after, at, due, job, schedule

POLICIES = ["skip", "catch_up_one", "catch_up_all"]


def decide(read: Due, now: Instant, **options: object) -> Plan:
    decided = plan(read, now, TERM, OFFERED, **options)  # type: ignore[arg-type]
    assert decided is not None
    return decided


def slots(decided: Plan) -> list[Instant]:
    return [each.run_at for each in decided.jobs]


@pytest.mark.parametrize("misfire", POLICIES)
def test_a_slot_on_time_is_dispatched_under_every_policy(misfire: str) -> None:
    decided = decide(due(cursor=at("22:05:00"), misfire=misfire), at("22:05:00") + 3)
    assert slots(decided) == [at("22:05:00")]
    assert decided.misses == ()
    assert decided.cursor.next == at("22:06:00")


@pytest.mark.parametrize("misfire", POLICIES)
def test_a_fail_over_shorter_than_the_period_skips_no_slot(misfire: str) -> None:
    late = at("22:05:00") + 50 * SECOND
    assert slots(decide(due(cursor=at("22:05:00"), misfire=misfire), late)) == [at("22:05:00")]


def test_nothing_is_decided_before_a_slot_is_due() -> None:
    assert plan(due(cursor=at("22:05:00")), at("22:04:59") + 999, TERM, OFFERED) is None


def test_skip_runs_the_newest_slot_if_it_is_on_time_and_misses_the_others() -> None:
    decided = decide(due(cursor=at("22:01:00")), at("22:05:10"))
    assert slots(decided) == [at("22:05:00")]
    (miss,) = decided.misses
    assert (miss.first, miss.last, miss.count, miss.reason) == (
        at("22:01:00"),
        at("22:04:00"),
        4,
        "misfire",
    )
    assert miss.follows == at("22:00:00")


def test_skip_does_not_run_an_hourly_job_hours_late() -> None:
    decided = decide(due(cursor=at("20:00:00"), cron="0 * * * *"), at("22:30:00"))
    assert slots(decided) == []
    assert [miss.count for miss in decided.misses] == [3]
    assert decided.cursor.next == at("23:00:00")


def test_catch_up_one_runs_the_newest_slot_however_late() -> None:
    read = due(cursor=at("03:00:00"), cron="0 3 * * *", misfire="catch_up_one")
    decided = decide(read, at("21:59:00"))
    assert slots(decided) == [at("03:00:00")]


def test_catch_up_all_runs_the_newest_slots_up_to_its_limit_oldest_first() -> None:
    read = due(cursor=at("22:01:00"), misfire="catch_up_all", max_catch_up_runs=3)
    decided = decide(read, at("22:06:00"))
    assert slots(decided) == [at("22:04:00"), at("22:05:00"), at("22:06:00")]
    assert [(miss.first, miss.count) for miss in decided.misses] == [(at("22:01:00"), 3)]


def test_a_single_slot_on_time_is_judged_by_a_node_and_a_catch_up_is_queued() -> None:
    on_time = decide(due(cursor=at("22:05:00")), at("22:05:00"))
    assert [(each.state, each.revision) for each in on_time.jobs] == [("scheduled", None)]
    catch_up = decide(due(cursor=at("22:04:00"), misfire="catch_up_all"), at("22:05:00"))
    assert [(each.state, each.revision) for each in catch_up.jobs] == [("queued", 1)] * 2


def test_a_catch_up_in_pieces_never_loses_or_doubles_a_slot() -> None:
    read = due(cursor=at("22:00:00"), misfire="catch_up_all", max_catch_up_runs=40)
    now, written, missed = at("22:59:30"), [], 0
    while (decided := plan(read, now, TERM, OFFERED, piece=7)) is not None:
        written += slots(decided)
        missed += sum(miss.count for miss in decided.misses)
        assert all(each.state == "queued" for each in decided.jobs)
        read = after(read, decided)
    assert written == [at(f"22:{minute}:00") for minute in range(20, 60)]
    assert missed == 20


def test_a_slot_that_has_a_job_already_is_stepped_over_and_counted() -> None:
    read = due(
        cursor=at("22:01:00"),
        misfire="catch_up_all",
        max_catch_up_runs=3,
        taken=frozenset({at("22:02:00"), at("22:05:00")}),
    )
    decided = decide(read, at("22:06:00"))
    assert slots(decided) == [at("22:04:00"), at("22:06:00")]
    assert [(m.first, m.last, m.count) for m in decided.misses] == [
        (at("22:01:00"), at("22:01:00"), 1),
        (at("22:03:00"), at("22:03:00"), 1),
    ]


def test_slots_ahead_are_written_as_intentions() -> None:
    decided = decide(due(cursor=at("22:05:00")), at("22:04:50"), ahead=90 * SECOND)
    assert slots(decided) == [at("22:05:00"), at("22:06:00")]
    assert all(each.intention for each in decided.jobs)
    assert decided.cursor.next == at("22:07:00")


def test_an_intention_that_met_no_node_in_its_window_is_decided_in_place() -> None:
    made = schedule()
    late = job(made, at("22:05:00"))
    read = due(made, cursor=at("22:06:00"), intentions=(late,))
    assert plan(read, at("22:05:00") + 5 * SECOND, TERM, OFFERED) is None
    decided = decide(read, at("22:05:06"))
    assert [(each.id, each.state, each.revision) for each in decided.queued] == [
        (late.id, "queued", 1)
    ]
    assert decided.cursor.next == at("22:06:00")


def test_an_intention_that_is_too_late_becomes_a_miss() -> None:
    made = schedule(cron="0 * * * *")
    late = job(made, at("22:00:00"))
    decided = decide(due(made, cursor=at("23:00:00"), intentions=(late,)), at("22:30:00"))
    assert decided.dropped == (late,)
    assert [(miss.first, miss.reason) for miss in decided.misses] == [(at("22:00:00"), "misfire")]


def test_an_outage_of_years_costs_a_handful_of_records() -> None:
    read = due(cursor=NOW, cron="* * * * * *", misfire="catch_up_all", max_catch_up_runs=10)
    decided = decide(read, NOW + 3 * 365 * DAY)
    assert len(decided.jobs) == 10
    (miss,) = decided.misses
    assert miss.count == 3 * 365 * 86_400 + 1 - 10


def test_a_strict_slot_that_nobody_offers_is_tried_again_with_back_off_and_then_given_up() -> None:
    read, now, tries = due(cursor=at("22:05:00"), handler="bill"), at("22:05:00"), []
    decided = plan(read, now, TERM, OFFERED)
    while decided is not None and not decided.dead:
        assert decided.jobs == ()
        assert decided.misses == ()
        assert decided.cursor.next == at("22:05:00")
        assert decided.cursor.retry_at is not None
        tries.append((decided.cursor.failures, decided.cursor.retry_at - now))
        assert plan(after(read, decided), decided.cursor.retry_at - 1, TERM, OFFERED) is None
        read, now = after(read, decided), decided.cursor.retry_at
        decided = plan(read, now, TERM, OFFERED)
    assert tries == [(1, 1000), (2, 2000), (3, 4000), (4, 8000)]
    assert decided is not None
    assert [(m.first, m.reason) for m in decided.misses] == [(at("22:05:00"), "dispatch_failed")]
    (dead,) = decided.dead
    assert (dead.kind, dead.slot, dead.attempts, dead.node, dead.epoch) == (
        "dispatch",
        at("22:05:00"),
        5,
        "n1",
        7,
    )
    assert (decided.cursor.failures, decided.cursor.next) == (0, at("22:06:00"))


def test_a_success_in_between_resets_the_count_of_failures() -> None:
    failing = decide(due(cursor=at("22:05:00"), handler="bill"), at("22:05:00"))
    read = after(due(cursor=at("22:05:00"), handler="bill"), failing)
    decided = plan(read, at("22:05:01"), TERM, frozenset({"bill"}))
    assert decided is not None
    assert (decided.cursor.failures, decided.cursor.retry_at, decided.cursor.last_error) == (
        0,
        None,
        None,
    )
    assert slots(decided) == [at("22:05:00")]


def test_a_schedule_that_is_not_strict_misses_without_a_word() -> None:
    decided = decide(
        due(cursor=at("22:05:00"), handler="bill", strict_handlers=False), at("22:05:00")
    )
    assert [miss.reason for miss in decided.misses] == ["no_handler"]
    assert decided.dead == ()
    assert decided.jobs == ()
    assert decided.cursor.failures == 0


def test_giving_up_leaves_a_dead_letter_for_each_of_the_newest_hundred() -> None:
    read = due(
        cursor=at("18:00:00"),
        handler="bill",
        misfire="catch_up_all",
        max_catch_up_runs=150,
        max_dispatch_failures=1,
    )
    decided = decide(read, at("22:00:00"))
    assert len(decided.dead) == 100
    assert decided.dead[-1].slot == at("22:00:00")
    assert sum(m.count for m in decided.misses if m.reason == "dispatch_failed") == 150
    assert sum(m.count for m in decided.misses if m.reason == "misfire") == 91


def test_a_cron_that_cannot_be_read_is_a_dead_letter_once_and_moves_nothing() -> None:
    made = schedule()
    broken = replace(made, definition=replace(made.definition, tz="Atlantis/Capital"))
    read = due(broken, cursor=NOW)
    decided = decide(read, NOW + SECOND)
    assert len(decided.dead) == 1
    assert decided.cursor.next == NOW
    again = decide(after(read, decided), NOW + HOUR)
    assert again.dead == ()


crons = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "* * * * * *", "@every 90s", "30 2 * * *", "0 0 1 * *"]
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    cron=crons,
    tz=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    misfire=st.sampled_from(POLICIES),
    limit=st.integers(1, 30),
    steps=st.lists(st.integers(1, 3 * DAY), min_size=1, max_size=6),
    ahead=st.sampled_from([0, 20 * SECOND, MINUTE]),
    taken=st.sets(st.integers(0, 100), max_size=5),
)
def test_every_slot_that_the_cursor_passes_has_exactly_one_record(
    cron: str,
    tz: str,
    misfire: str,
    limit: int,
    steps: list[int],
    ahead: int,
    taken: set[int],
) -> None:
    table = timetable(cron, tz, "job")
    read = due(cron=cron, tz=tz, misfire=misfire, max_catch_up_runs=limit)
    start = read.schedule.cursor.next
    slot, has = start, set[Instant]()
    for number in range(101):
        has |= {slot} if number in taken else set()
        slot = table.next(slot)
    now = NOW
    records: list[tuple[Instant, Instant, int]] = []
    for step in steps:
        now += step
        for _ in range(20):
            seen = replace(read, taken=frozenset(s for s in has if s >= read.schedule.cursor.next))
            decided = plan(seen, now, TERM, OFFERED, ahead=ahead, piece=5)
            if decided is None:
                break
            passed = range(read.schedule.cursor.next, decided.cursor.next)
            records += [(s, s, 1) for s in has if s in passed]
            records += [(each.run_at, each.run_at, 1) for each in decided.jobs]
            records += [(m.first, m.last, m.count) for m in decided.misses]
            read = after(read, decided)
    records.sort()
    assert sum(count for _, _, count in records) == table.count(
        start - 1, read.schedule.cursor.next - 1
    )
    for (_, last, _), (first, _, _) in pairwise(records):
        assert last < first


def test_what_a_leader_decides_bears_its_name_and_its_epoch() -> None:
    decided = decide(due(cursor=at("22:01:00")), at("22:05:00"))
    found = [(each.by, each.epoch) for each in decided.jobs]
    found += [(each.by, each.epoch) for each in decided.misses]
    assert found == [(TERM.node, TERM.epoch)] * 2
