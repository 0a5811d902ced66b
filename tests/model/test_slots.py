"""The slots of expressions: against vectors, brute force, two libraries, and each other."""

import json
import string
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.cron import CronError, parse, timetable
from synccron.model.time import DAY, HOUR, Instant, format_instant, parse_instant, to_datetime
from synccron.model.zone import zone_names

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("cron.json").read_text())
CASES = [
    *VECTORS["cases"],
    *({**each, "tz": "Europe/Berlin", "id": each["expr"]} for each in VECTORS["every"]),
]
INVALID = [*VECTORS["invalid"], *({**each, "kind": "expr"} for each in VECTORS["every_invalid"])]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "America/St_Johns",  # at one minute past midnight, once
    "Pacific/Apia",  # a day was skipped
    "Africa/Casablanca",  # back for a month
    "Antarctica/Troll",  # two hours
    "Asia/Gaza",
    "Asia/Kolkata",
    "America/Caracas",
]
quick = settings(deadline=None, derandomize=True, max_examples=150)


def walk(cron: str, tz: str, after: Instant, number: int) -> list[Instant]:
    table, slots = timetable(cron, tz), []
    for _ in range(number):
        after = table.next(after)
        slots.append(after)
    return slots


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['id']} {case['tz']}")
def test_the_vectors_computed_by_brute_force_hold(case: dict[str, Any]) -> None:
    after = parse_instant(case["after"])
    slots = walk(case["expr"], case["tz"], after, len(case["next"]))
    assert [format_instant(slot) for slot in slots] == case["next"]
    table = timetable(case["expr"], case["tz"])
    assert table.count(after, slots[-1]) == len(slots)
    assert [table.previous(slot) for slot in slots] == slots
    assert [table.previous(slot - 1) for slot in slots[1:]] == slots[:-1]


@pytest.mark.parametrize(
    "case", INVALID, ids=lambda case: f"{case['value'][:20]!a} {case['reason']}"
)
def test_what_cannot_be_meant_is_refused_in_one_line(case: dict[str, Any]) -> None:
    with pytest.raises(CronError) as refused:
        timetable(case["value"]) if case["kind"] == "expr" else timetable("@daily", case["value"])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("cron", "hint"),
    [
        ("5/15 * * * *", "write 5-59/15"),
        ("0 0 * * FRI-SUN", "runs backwards"),
        ("* * * *", "got 4"),
        ("*/90 * * * *", "a step of 1 to 60"),
        ("0 0 30 2 *", "never fires"),
        ("@reboot", "systemd"),
        ("@DAILY", "'@daily'"),
        ("H 3 * * *", "there is none"),
        ("0 0 * JANUARY *", "month 'JANUARY'"),
    ],
)
def test_a_refusal_says_what_was_expected(cron: str, hint: str) -> None:
    with pytest.raises(CronError, match=hint.replace("(", r"\(")):
        timetable(cron)


def test_a_zone_that_is_misspelt_is_refused_with_what_was_meant() -> None:
    with pytest.raises(CronError, match="did you mean 'Europe/Berlin'"):
        timetable("@daily", "europe/berlin")


def test_every_zone_can_be_used_for_the_next_decades() -> None:
    for tz in sorted(zone_names()):
        slots = walk("30 2 * * *", tz, parse_instant("2026-01-01T00:00:00Z"), 400)
        assert all(20 * HOUR <= b - a <= 28 * HOUR for a, b in pairwise(slots)), tz
    for tz in ZONES:
        assert timetable("30 2 * * *", tz).next(parse_instant("2190-06-01T00:00:00Z")) > 0


def test_a_hash_spreads_and_never_changes() -> None:
    assert parse("H H * * *", "backup") == parse("H H * * *", "backup")
    minutes = {parse("H * * * *", f"job-{n}").minutes for n in range(200)}
    assert len(minutes) > 45
    assert parse("H * * * *", "backup").minutes == (34,)
    assert parse("H(10-12) * * * *", "x").minutes[0] in (10, 11, 12)
    assert all(len(parse("H/15 * * * *", f"job-{n}").minutes) == 4 for n in range(50))
    assert all(parse("0 0 H * *", f"job-{n}").days[0] <= 28 for n in range(100))
    assert parse("H 3 * * *", "backup").fixed


def test_an_outage_of_a_century_is_counted_without_walking_it() -> None:
    table = timetable("* * * * * *", "Europe/Berlin")
    assert table.count(0, 36_525 * DAY) == 36_525 * 86_400


fields = st.sampled_from(["*", "*/7", "0", "30", "1,2,3", "0-59/20", "15"])
hours = st.sampled_from(["*", "*/2", "0", "1", "2", "3", "1-3", "2,23", "12"])
days = st.sampled_from(["*", "*/2", "1", "28-31", "L", "13,29"])
months = st.sampled_from(["*", "3,10,11", "*/3", "1-6"])
weekdays = st.sampled_from(["*", "0", "MON-FRI", "1#2", "5L", "*/3", "7,3"])
crons = st.builds("{} {} {} {} {}".format, fields, hours, days, months, weekdays)


@cache
def rules(tz: str) -> ZoneInfo:
    """The rules of the tzdata package, whatever the system has."""
    entry = resources.files("tzdata").joinpath("zoneinfo", *tz.split("/"))
    with entry.open("rb") as content:
        return ZoneInfo.from_file(content, tz)


def near_a_change(tz: str, year: int, luck: float) -> Instant:
    """An instant within two days of a change of the zone's offset in a year, or any."""
    zone = rules(tz)
    start = datetime(year, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(hours=6 * n) for n in range(1460)]
    changes = [
        b
        for a, b in pairwise(moments)
        if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()
    ] or [moments[int(luck * 1400)]]
    chosen = changes[int(luck * len(changes))] + timedelta(minutes=int(luck * 4000) % 2880 - 1440)
    return int(chosen.timestamp()) // 60 * 60_000


def by_brute_force(cron: str, tz: str, after: Instant, until: Instant) -> list[Instant]:
    """Look at each minute of real time, and at each reading: the rule to the letter."""
    expression, zone = parse(cron), rules(tz)
    slots = []
    minute = 60_000
    first = after - 36 * HOUR
    seen: set[datetime] = set()
    before: datetime | None = None
    for instant in range(first, until + 1, minute):
        reading = to_datetime(instant).astimezone(zone).replace(tzinfo=None)
        hit = matches(expression, reading)
        if expression.fixed:
            hit = hit and reading not in seen
            if before is not None:
                skipped = before + timedelta(minutes=1)
                while skipped < reading:
                    hit = hit or (skipped not in seen and matches(expression, skipped))
                    skipped += timedelta(minutes=1)
        if hit and instant > after:
            slots.append(instant)
        seen.add(reading)
        before = reading if before is None else max(before, reading)
    return slots


def matches(expression: Any, reading: datetime) -> bool:
    last = (reading + timedelta(days=1)).day == 1
    weekday = reading.isoweekday() % 7
    by_date = reading.day in expression.days or (last and 0 in expression.days)
    by_weekday = (
        weekday in expression.weekdays
        or (weekday, (reading.day - 1) // 7 + 1) in expression.nth
        or ((weekday, 0) in expression.nth and (reading + timedelta(days=7)).month != reading.month)
    )
    both = by_date and by_weekday if expression.both_days else by_date or by_weekday
    return (
        reading.minute in expression.minutes
        and reading.hour in expression.hours
        and reading.month in expression.months
        and both
    )


@settings(quick, max_examples=80)
@given(
    cron=crons, tz=st.sampled_from(ZONES), year=st.integers(1995, 2060), luck=st.floats(0, 0.999)
)
def test_slots_near_a_change_of_the_zone_are_those_of_brute_force(
    cron: str, tz: str, year: int, luck: float
) -> None:
    after = near_a_change(tz, year, luck)
    until = after + 2 * DAY
    expected = by_brute_force(cron, tz, after, until)
    table = timetable(cron, tz)
    assert [slot for slot in walk(cron, tz, after, len(expected) + 1) if slot <= until] == expected
    assert table.count(after, until) == len(expected)
    newest = table.previous(until)
    assert newest is not None
    assert newest == (expected[-1] if expected else newest)


@quick
@given(cron=crons, tz=st.sampled_from(ZONES), start=st.integers(0, 2**42), steps=st.integers(1, 30))
def test_next_previous_and_count_agree_everywhere(
    cron: str, tz: str, start: Instant, steps: int
) -> None:
    table, slots = timetable(cron, tz), walk(cron, tz, start, steps)
    assert all(a < b for a, b in pairwise(slots))
    assert slots[0] > start
    assert all(slot % 1000 == 0 for slot in slots)
    assert table.count(start, slots[-1]) == steps
    back = [slots[-1]]
    while len(back) < steps:
        before = table.previous(back[-1] - 1)
        assert before is not None
        back.append(before)
    assert back[::-1] == slots


@quick
@given(cron=crons, start=st.integers(0, 2**41))
def test_without_zones_two_libraries_give_the_same(cron: str, start: Instant) -> None:
    moment = to_datetime(start // 1000 * 1000)
    slots = [to_datetime(slot) for slot in walk(cron, "UTC", start // 1000 * 1000, 3)]
    other = CronSim(cron, moment)
    assert slots == [next(other) for _ in range(3)]
    if not set("L#") & set(cron) and not ("*/" in cron.split()[2] or "*/" in cron.split()[4]):
        third = croniter(cron, moment)
        assert slots == [third.get_next(datetime) for _ in range(3)]


@settings(deadline=None, derandomize=True, max_examples=500)
@given(
    st.text(alphabet=string.digits + "*/,-#LH@ \tMONJANevery()hms\u0665\u00e9\n\0", max_size=40)
    | crons.map(lambda cron: cron.replace("*", "**", 1))
    | st.text(max_size=30)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        table = timetable(text, "Europe/Berlin", "some-id")
    except CronError:
        return
    first = table.next(0)
    assert table.next(first) > first
