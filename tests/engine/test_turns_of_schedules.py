"""A node that is full: schedules take turns, whatever is queued of one of them."""

from typing import Any

import pytest

from synccron.clock import ManualClock
from synccron.engine.worker import FRESH
from synccron.model.change import unregister
from synccron.model.job import Job
from synccron.model.order import triggered
from synccron.model.plan import Due
from synccron.model.time import SECOND
from synccron.store.base import Store, Where
from tests.engine.conftest import Bench

BACKLOG = 5_000


def catch_up(node: Bench, name: str, slots: int) -> None:
    """Queue so many slots of a schedule, as after an outage."""
    node.register(
        id=name, cron="* * * * * *", misfire="catch_up_all", max_catch_up_runs=10_000,
        misfire_grace=SECOND,
    )  # fmt: skip
    node.clock.advance(slots * SECOND)
    node.store.renew(node.session)
    node.elector.keep()
    node.elector.seek()
    while node.dispatcher.turn() == 0:
        pass


def lines(node: Bench, seen: int) -> list[str | None]:
    """The schedules whose jobs began since so many had."""
    return [run.invocation.schedule_id for run in node.handlers.runs[seen:]]


def end_oldest(node: Bench) -> None:
    """The oldest attempt under way ends, and what may start then does."""
    found = node.store.read(Job, Where(states=("running",))).items
    under_way = {job.id for job in found}
    run = next(each for each in node.handlers.runs if each.invocation.job_id in under_way)
    run.end()
    node.worker.settle_ended()
    while node.worker.turn() == 0:
        pass


@pytest.fixture
def desk(store: Store, clock: ManualClock) -> Bench:
    made = Bench(store, clock, "n1", concurrency=2)
    made.elector.seek()
    return made


def test_a_new_slot_starts_with_the_next_free_place_though_thousands_wait_of_another(
    desk: Bench,
) -> None:
    catch_up(desk, "backlog", BACKLOG)
    desk.worker.turn()
    assert lines(desk, 0) == ["backlog"] * 2
    desk.register(id="new", cron="* * * * * *")
    desk.clock.advance(SECOND)
    desk.store.renew(desk.session)
    desk.elector.keep()
    desk.dispatcher.turn()
    desk.worker.turn()  # it finds the node full, and waits in the queue
    end_oldest(desk)
    assert lines(desk, 2) == ["new"]
    end_oldest(desk)
    assert lines(desk, 3) == ["backlog"]


def test_several_backlogs_take_turns_and_all_of_them_are_worked_off(desk: Bench) -> None:
    for name in ("a", "b", "c"):
        catch_up(desk, name, 12)
    desk.worker.turn()
    for _ in range(36):
        end_oldest(desk)
    begun = [line for line in lines(desk, 0) if line is not None]
    assert sorted(begun[:6]) == ["a", "a", "b", "b", "c", "c"]
    assert {line: begun.count(line) for line in "abc"}.keys() == {"a", "b", "c"}
    assert all(begun.count(line) >= 12 for line in "abc")


def test_a_long_queue_of_short_jobs_is_read_for_more_than_the_places_that_are_free(
    desk: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(desk, "a", 40)
    reads, waiting = [], desk.store.waiting

    def counted(*asked: Any, **named: Any) -> Any:
        reads.append(asked)
        return waiting(*asked, **named)

    monkeypatch.setattr(desk.store, "waiting", counted)
    desk.worker.turn()
    for _ in range(38):
        end_oldest(desk)
    begun = [run.invocation.job_id for run in desk.handlers.runs]
    assert len(set(begun)) == len(begun) == 40
    assert len(reads) < 15


def test_what_waits_for_a_place_and_is_taken_back_or_old_meanwhile_is_not_begun(
    desk: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up(desk, "a", 20)
    desk.worker.turn()
    for _ in range(4):
        end_oldest(desk)
    before = len(desk.handlers.runs)
    (read,) = desk.store.read(Due, Where(ids=("a",))).items
    assert desk.store.apply([unregister(read, desk.clock.now())])
    end_oldest(desk)
    assert len(desk.handlers.runs) == before
    catch_up(desk, "b", 20)
    desk.worker.turn()
    for _ in range(4):
        end_oldest(desk)
    monkeypatch.setattr(desk.store, "waiting", lambda *_, **__: [])
    before = len(desk.handlers.runs)
    end_oldest(desk)
    assert len(desk.handlers.runs) == before + 1
    desk.clock.advance(FRESH)
    end_oldest(desk)
    assert len(desk.handlers.runs) == before + 1


def test_the_oldest_of_a_schedule_comes_first(desk: Bench) -> None:
    catch_up(desk, "a", 6)
    desk.worker.turn()
    for _ in range(4):
        end_oldest(desk)
    slots = [run.invocation.slot for run in desk.handlers.runs]
    assert slots == sorted(slots, key=lambda slot: slot or 0)


def test_a_forced_run_that_was_given_back_and_the_slot_that_came_meanwhile_both_run(
    store: Store, clock: ManualClock
) -> None:
    narrow = Bench(store, clock, "n1", concurrency=1)
    narrow.elector.seek()
    narrow.register(cron="* * * * *", overlap="queue")
    schedule = narrow.schedule()
    assert store.enqueue(triggered(schedule, "k", None, clock.now(), force=True), 0) is not None
    (forced,) = narrow.run_due()
    narrow.advance_to(schedule.cursor.next)
    assert narrow.run_due() == []
    assert {job.state for job in narrow.jobs()} == {"running", "queued"}
    clock.advance(1)
    forced.end("given_back")
    narrow.worker.settle_ended()
    while narrow.worker.turn() == 0:
        pass
    end_oldest(narrow)
    assert len(lines(narrow, 1)) == 2
