"""A copy has all of a store, whichever kind it is of, and another store goes on from it."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synccron.errors import Refused, StoreDamaged
from synccron.model.copy import KINDS, Base, Key, Record, raised
from synccron.model.deed import Deed
from synccron.model.job import Job
from synccron.model.judge import judge
from synccron.model.schedule import Notify, Retry, Schedule
from synccron.model.time import DAY, HOUR, MINUTE
from synccron.store import open_store
from synccron.store.base import Store
from synccron.store.codec import encode
from synccron.store.history import read_history
from tests.contract.conftest import Etcd, Sqlite, World

Open = Callable[[], World]


@pytest.fixture(params=["to-sqlite", "to-etcd"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A store that has nothing yet, of either kind."""
    if request.param == "to-sqlite":
        made: Sqlite | Etcd = Sqlite(tmp_path / "other")
    else:
        url = request.getfixturevalue("etcd").url(f"test/{secrets.token_hex(8)}")
        made = Etcd(url, follows=False)
    yield World(made)
    made.close()


def fill(world: World) -> None:
    """Some of everything: but nothing that runs, as a restored store has none."""
    at, term, _ = world.dispatched("often", cron="* * * * *", misfire="catch_up_all")
    world.pass_(3 * MINUTE, at)
    term = world.store.campaign(at, 5000) or term
    world.store.dispatch(term, world.plans(term))
    world.register("skips", overlap="skip", env={"A": "ü"})
    world.register("paused", misfire="skip")
    paused = Deed(
        id="d1",
        at=world.clock.now(),
        by="me@here",
        verb="pause",
        schedule_id="paused",
        subject="paused",
    )
    world.store.apply([world.pausing("paused")], [paused])
    world.register("gone")
    world.store.apply([world.removing("gone")])
    world.register("often", cron="*/5 * * * *")
    world.register("tells", notify=(Notify(webhook="https://example.com/"),))
    world.trigger("tells")
    world.run(at, "manual:tells:k", "failed", error="told")
    world.register("retries", run="false", retry=Retry(max_attempts=3, delay=HOUR))
    world.trigger("skips", "a/b=c")
    world.run(at, "manual:skips:a/b=c", tail=b"\x00\xffsaid", truncated=True)
    world.trigger("skips", "k2")
    world.trigger("retries", "r")
    world.run(at, "manual:retries:r", "failed", error="no")
    world.trigger("often", "d")
    world.run(at, "manual:often:d", "failed", error="dead")
    world.submit("h:f", "x:y")
    claim = world.claim_with_steps(at)
    world.store.remember(claim, "first/step", '{"a":1}')
    world.settle(claim, "given_back")
    world.pass_(10 * MINUTE, at)
    term = world.store.campaign(at, 5000) or term
    world.store.dispatch(term, world.plans(term, ahead=5 * MINUTE))
    world.store.tally({"trigger_rejected": 2})
    world.store.leave(at)


def dumped(store: Store) -> list[Record]:
    return list(store.dump())


def moved(world: World, other: World) -> None:
    """The other store goes on from a copy of the first, at the same time."""
    fill(world)
    other.clock.advance(world.clock.now() - other.clock.now())
    other.store.load(dumped(world.store))


def said(records: list[Record]) -> list[str]:
    """Everything but the base, whatever its order."""
    return sorted(
        f"{type(each).__name__} {encode(each)}" for each in records if not isinstance(each, Base)
    )


def base_of(records: list[Record]) -> Base:
    first = records[0]
    assert isinstance(first, Base)
    return first


def test_a_copy_has_some_of_every_kind_in_their_order(world: World) -> None:
    fill(world)
    kinds = [type(each) for each in dumped(world.store)]
    assert set(kinds) == set(KINDS)
    assert kinds == sorted(kinds, key=KINDS.index)


def test_what_is_restored_is_copied_the_same_again(world: World, other: World) -> None:
    fill(world)
    copy = dumped(world.store)
    other.store.load(copy)
    again = dumped(other.store)
    assert said(again) == said(copy)
    assert base_of(again).counters == base_of(copy).counters
    assert base_of(again).fence >= base_of(copy).fence


def test_jobs_are_listed_newest_first_in_the_other_store_too(world: World, other: World) -> None:
    moved(world, other)
    made = [job.created_at for job in other.jobs(schedule="often")]
    assert made == sorted(made, reverse=True)
    assert [each.version for each in other.revisions("often")] == [2, 1]


def test_what_waits_is_claimed_in_the_other_store(world: World, other: World) -> None:
    moved(world, other)
    at = other.join()
    assert other.run(at, "manual:skips:k2").state == "completed"
    again = other.trigger("skips", "a/b=c")
    assert again is not None
    assert not again.new
    assert other.job("manual:skips:a/b=c").state == "completed"


def test_tokens_and_epochs_go_on_above_those_that_may_have_been_given_since(
    world: World, other: World
) -> None:
    fill(world)
    copied_at, copy = world.clock.now(), dumped(world.store)
    at = world.join()
    world.trigger("often", "later")
    newest, term = world.claim(at, "manual:often:later").fence, world.lead(at)
    other.clock.advance(world.clock.now() - other.clock.now() + HOUR)
    first = raised(base_of(copy), copied_at, other.clock.now())
    other.store.load([first, *copy[1:]])
    there = other.join()
    assert other.claim(there, "manual:skips:k2").fence > newest
    assert other.lead(there).epoch > term.epoch


def test_slots_since_the_copy_fall_under_the_misfire_rules(world: World, other: World) -> None:
    moved(world, other)
    other.clock.advance(DAY)
    at = other.join()
    term = other.lead(at)
    while plans := other.plans(term):
        assert all(other.store.dispatch(term, plans))
    histories = [read_history(other.store, name) for name in ("often", "skips", "retries")]
    assert judge(histories, quiet=False) == ()
    assert other.schedule("often").cursor.next > other.clock.now()


def test_a_copy_is_of_one_instant_though_it_is_read_for_long(world: World) -> None:
    world.register("a")
    reading = world.store.dump()
    next(reading)
    world.register("b")
    world.trigger("a")
    rest = list(reading)
    assert [each.id for each in rest if isinstance(each, Schedule)] == ["a"]
    assert not any(isinstance(each, Job) for each in rest)


def test_a_store_that_has_something_takes_no_copy(world: World, other: World) -> None:
    world.register("a")
    copy = dumped(world.store)
    other.register("b")
    before = said(dumped(other.store))
    with pytest.raises(Refused, match="not empty"):
        other.store.load(copy)
    assert said(dumped(other.store)) == before
    other.register("c")


def test_a_restore_that_breaks_off_leaves_no_half_of_a_store(world: World, other: World) -> None:
    fill(world)

    def broken() -> Iterator[Record]:
        for record in dumped(world.store):
            if isinstance(record, Key):
                raise OSError("the disk is gone")
            yield record

    with pytest.raises(OSError, match="gone"):
        other.store.load(broken())
    if not isinstance(other.backend, Etcd):
        assert said(dumped(other.store)) == []
        other.store.load(dumped(world.store))
    else:
        with pytest.raises(StoreDamaged, match="has not finished") as caught:
            open_store(other.backend._url, create=True, clock=other.clock)
        assert "restore again" in (caught.value.hint or "")


def test_jobs_keep_their_tokens_as_they_were(world: World, other: World) -> None:
    moved(world, other)
    (job,) = [each for each in dumped(world.store) if isinstance(each, Job) and each.key == "d"]
    assert other.job(job.id).attempts == job.attempts
