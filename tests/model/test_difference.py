"""What a change is said to mean is what it does."""

from dataclasses import replace

from synccron.model.change import register, unregister
from synccron.model.difference import Difference, difference
from synccron.model.plan import Due
from synccron.model.schedule import Definition
from synccron.model.time import HOUR, MINUTE, Instant
from tests.make import NOW, definition, due, job, schedule


def told(old: Due | None, made: Definition, now: Instant = NOW) -> Difference:
    return difference(made.id, old, register(old, made, now, "me@here", "2026f"))


def test_a_new_schedule_tells_its_first_slots() -> None:
    found = told(None, definition(cron="0 * * * *"))
    assert found.what == "created"
    assert found.before == ()
    assert found.after == (NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR)


def test_the_same_again_is_unchanged() -> None:
    assert told(due(), definition()).what == "unchanged"


def test_a_change_tells_its_fields_as_a_file_has_them() -> None:
    found = told(due(timeout=60_000), definition(run="other", timeout=90_000))
    assert found.what == "updated"
    assert found.fields == {"run": ("true", "other"), "timeout": ("1m", "1m30s")}
    assert found.before == found.after


def test_another_rhythm_tells_the_slots_before_and_after_and_what_is_taken_back() -> None:
    ahead = job(slot=NOW + MINUTE)
    old = replace(due(cursor=NOW + 2 * MINUTE), intentions=(ahead,))
    old = replace(old, schedule=replace(old.schedule, ahead=ahead.run_at))
    found = told(old, definition(cron="30 * * * *"))
    assert found.before[0] == NOW + MINUTE
    assert found.after[0] == NOW + 30 * MINUTE
    assert found.effects == ("1 run written ahead is taken back",)


def test_due_slots_that_a_change_passes_over_are_counted() -> None:
    found = told(due(), definition(cron="30 * * * *"), NOW + 5 * MINUTE)
    assert found.effects == ("5 slots due are passed over (changed)",)


def test_pausing_resuming_and_taking_over_are_said() -> None:
    paused = told(due(), definition(enabled=False))
    assert paused.after == ()
    assert paused.effects == ("is paused",)
    old = Due(schedule=schedule(enabled=False))
    assert told(old, definition()).effects == ("is resumed, with its first slot from now",)
    assert told(old, definition(run="other", enabled=False)).effects == ("stays paused",)
    owned = told(due(owner="web"), definition(owner="ops"))
    assert owned.effects == ("is taken over from web",)


def test_a_removal_is_told_as_one() -> None:
    old = due()
    found = difference("job", old, unregister(old, NOW))
    assert (found.what, found.after) == ("pruned", ())
    assert found.effects[0].startswith("is removed")
