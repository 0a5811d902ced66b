"""Who did what: written with what was done, in one transaction, and kept for a while."""

import secrets
from dataclasses import replace
from typing import Any

from synccron.model.deed import Deed, Verb, named
from synccron.model.job import DeadLetter
from synccron.model.order import KEY_KEPT, triggered
from synccron.model.time import DAY
from synccron.store.base import Where
from tests.contract.conftest import World


def deed(
    world: World, verb: Verb = "pause", schedule_id: str | None = "job", **fields: Any
) -> Deed:
    values: dict[str, Any] = {
        "id": secrets.token_hex(6),
        "at": world.clock.now(),
        "by": "me@here",
        "subject": "job",
    }
    return Deed(**{**values, "verb": verb, "schedule_id": schedule_id, **fields})


def deeds(world: World, **where: Any) -> list[Deed]:
    return list(world.store.read(Deed, Where(**where)).items)


def test_a_deed_is_there_if_its_change_is_and_else_not(world: World) -> None:
    world.register()
    first = deed(world)
    change = world.pausing()
    assert world.store.apply([change], [first])
    assert not world.store.apply([change], [deed(world)])  # it does not stand as read any more
    assert deeds(world) == [first]


def test_a_trigger_leaves_one_deed_however_often_it_is_repeated(world: World) -> None:
    world.register()
    for _ in range(3):
        order = triggered(world.schedule(), "k", None, world.clock.now(), active=None)
        told = deed(world, "trigger", subject=order.job.id)
        world.store.enqueue(replace(order, deed=told), world.clock.now() - KEY_KEPT)
    assert [each.verb for each in deeds(world)] == ["trigger"]


def test_asking_for_an_end_is_a_deed_and_asking_again_is_none(world: World) -> None:
    world.register()
    world.trigger()
    (job,) = world.jobs()
    for _ in range(2):
        world.store.cancel(job.id, world.clock.now(), deed(world, "cancel", subject=job.id))
    assert [(each.verb, each.subject) for each in deeds(world)] == [("cancel", job.id)]


def test_dead_letters_are_removed_with_a_deed_where_there_are_any(world: World) -> None:
    world.register()
    at = world.join()
    for key in ("a", "b"):
        world.trigger(key=key)
        world.run(at, f"manual:job:{key}", "failed", error="no")
    letters = [each.id for each in world.store.read(DeadLetter).items]
    told = deed(world, "remove", None, subject=named(letters), count=2)
    assert world.store.discard([*letters, letters[0], "none"], told) == 2
    assert world.store.discard(letters, deed(world, "remove", None)) == 0
    assert deeds(world) == [told]


def test_deeds_are_read_newest_first_of_all_or_of_one_schedule_since_an_instant(
    world: World,
) -> None:
    for name in ("a", "b"):
        world.register(name)
    made: list[Deed] = []
    for name in ("a", "b", "a"):
        world.clock.advance(1000)
        made.append(deed(world, schedule_id=name, detail=f"no. {len(made)}"))
        change = world.pausing_again(name)
        assert world.store.apply([change], [made[-1]])
    assert deeds(world) == made[::-1]
    assert deeds(world, schedule="a") == [made[2], made[0]]
    assert deeds(world, since=made[1].at) == [made[2], made[1]]
    page = world.store.read(Deed, limit=2)
    assert [*page.items, *world.store.read(Deed, after=page.after).items] == made[::-1]


def test_what_is_too_old_or_too_much_is_forgotten(world: World) -> None:
    world.register()
    at = world.join()
    made: list[Deed] = []
    for _ in range(5):
        world.pass_(1000, at)
        made.append(deed(world))
        assert world.store.apply([world.pausing_again()], [made[-1]])
    world.prune(world.lead(at), horizon=0, keys=made[1].at, deeds=9)
    assert deeds(world) == made[:0:-1]
    world.prune(world.lead(at), horizon=0, keys=0, deeds=2)
    assert deeds(world) == made[:2:-1]
    world.prune(world.lead(at), horizon=0, keys=world.clock.now() + DAY)
    assert deeds(world) == []


def test_of_many_ids_the_first_are_named() -> None:
    assert named(["a"]) == "a"
    assert named([f"s{n}" for n in range(500)]) == "s0, s1, s2, s3, s4 and 495 more"
