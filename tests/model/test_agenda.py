"""The coming slots of all schedules, in bounds."""

from dataclasses import replace

from synccron.model.agenda import NAMED, Agenda
from synccron.model.schedule import Schedule
from synccron.model.time import HOUR, MINUTE
from tests.make import NOW, at, schedule


def agenda(*made: Schedule, most: int = 4) -> Agenda:
    found = Agenda(NOW, most)
    for each in made:
        found.add(each)
    return found


def lines(found: Agenda) -> list[tuple[int, list[str]]]:
    return [((each.slot - NOW) // MINUTE, each.ids) for each in found.entries()]


def test_schedules_that_meet_stand_at_one_instant() -> None:
    found = agenda(
        schedule(id="a", cron="*/20 * * * *"),
        schedule(id="b", cron="*/30 * * * *"),
        schedule(id="c", cron="40 * * * *"),
    )
    assert lines(found) == [(20, ["a"]), (30, ["b"]), (40, ["a", "c"]), (60, ["a", "b"])]


def test_the_order_in_which_they_come_makes_no_difference() -> None:
    made = [schedule(id=f"s{n:02}", cron=f"{n // 2} * * * *") for n in range(2, 60)]
    assert lines(agenda(*made)) == lines(agenda(*reversed(made)))


def test_what_fires_all_the_time_is_named_once() -> None:
    found = agenda(schedule(id="a", cron="* * * * * *"), schedule(id="b", cron="0 23 * * *"))
    assert (found.often, found.often_count) == ({"a": 3600}, 1)
    assert [ids for _, ids in lines(found)] == [["b"]] * 4


def test_a_paused_schedule_has_no_slot_to_come() -> None:
    assert lines(agenda(replace(schedule(), paused=True))) == []


def test_nothing_is_looked_for_before_the_cursor_or_the_instant_asked_for() -> None:
    made = schedule(cron="*/30 * * * *")
    later = replace(made, cursor=replace(made.cursor, next=at("23:00:00")))
    assert lines(agenda(later, most=2)) == [(60, ["job"]), (90, ["job"])]
    found = Agenda(NOW + 2 * HOUR, 1)
    found.add(made)
    assert lines(found) == [(150, ["job"])]


def test_an_instant_of_very_many_names_some_and_counts_all() -> None:
    found = agenda(*(schedule(id=f"s{n}", cron="0 * * * *") for n in range(NAMED + 50)), most=1)
    (entry,) = found.entries()
    assert (entry.slot - NOW, entry.count, len(entry.ids)) == (HOUR, NAMED + 50, NAMED)
