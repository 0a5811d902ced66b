"""Names and keys are data in every store: none is a path, a pattern or a statement."""

import pytest

from synccron.model.job import DeadLetter, Job, Receipt
from synccron.model.schedule import Schedule
from synccron.store.base import Where
from tests.contract.conftest import World

KEYS = [
    *("x/../../lease", "..", "/", "//", "../../meta", "%2e%2e%2f", "a=b", "a:b", "@", "+"),
    *("watched/leader", "~h", "job:20260101T000000Z", "=", "_", "k" * 200),
]


@pytest.mark.parametrize("key", KEYS)
def test_whatever_a_key_looks_like_it_names_one_job_and_nothing_else(
    world: World, key: str
) -> None:
    world.register("a")
    world.register("b")
    before = {each.id for each in world.store.read(Schedule).items}
    for name in ("a", "b"):
        world.trigger(name, key=key)
        world.trigger(name, key=key)  # the same again is the same job
    ids = {f"manual:a:{key}", f"manual:b:{key}"}  # of two schedules it is two
    assert {job.id for job in world.store.read(Job).items} == ids
    assert {each.job_id for each in world.store.read(Receipt, Where(ids=sorted(ids))).items} == ids
    at = world.join()
    world.run(at, f"manual:a:{key}", "failed", error="no", tail=b"said")
    assert world.job(f"manual:a:{key}").state == "failed"
    assert world.job(f"manual:b:{key}").state == "queued"
    (letter,) = world.store.read(DeadLetter).items
    assert world.store.discard([letter.id]) == 1
    assert {each.id for each in world.store.read(Schedule).items} == before
    assert world.lead(at).node == "n1"


@pytest.mark.parametrize(
    "asked", ["a' OR 1=1 --", '"; DROP TABLE jobs; --', "a/../b", "%", "a\0", "*", "", "é" * 100]
)
def test_what_is_asked_for_by_name_is_that_or_nothing(world: World, asked: str) -> None:
    world.register("a")
    world.trigger("a")
    by_name = Where(ids=(asked,))
    assert world.store.read(Schedule, by_name).items == ()
    assert world.store.read(Job, by_name).items == ()
    assert world.store.read(DeadLetter, by_name).items == ()
    assert world.store.read(Receipt, by_name).items == ()
    assert world.store.read(Job, Where(schedule=asked)).items == ()
    assert world.store.read(Schedule, Where(pattern=f"z{asked}")).items == ()
    assert world.store.cancel(asked, world.clock.now()) is None
    assert world.store.discard([asked]) == 0
    assert [each.id for each in world.store.read(Schedule).items] == ["a"]
    assert [job.state for job in world.store.read(Job).items] == ["queued"]
