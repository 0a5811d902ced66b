"""The listing of each store shows what its records say."""

from synccron.model.lease import Node
from synccron.model.time import MINUTE
from synccron.store.etcd.listing import EtcdListing
from synccron.store.etcd.store import EtcdStore
from synccron.store.listing import Listed, RecordListing
from synccron.store.sqlite import listing as on_sqlite
from synccron.store.sqlite.store import SqliteStore
from tests.contract.conftest import World


def listings(world: World) -> list[RecordListing | on_sqlite.SqliteListing]:
    made: list[RecordListing | on_sqlite.SqliteListing] = [RecordListing(world.store)]
    if isinstance(world.store, EtcdStore):
        made.append(EtcdListing(world.store))
    if isinstance(world.store, SqliteStore):
        path = str(world.store.files.database)
        made.append(on_sqlite.SqliteListing(path, world.clock, 5000, "FULL"))
    return made


def whole(listing, pattern=None, labels=None) -> list[Listed]:
    found, after = listing.page(pattern, labels or {}, None)
    while after is not None:
        more, after = listing.page(pattern, labels or {}, after)
        found += more
    return [
        one._replace(run=tuple(one.run) if isinstance(one.run, list) else one.run) for one in found
    ]


def test_a_listing_tells_how_each_schedule_stands(world):
    at, _, job = world.dispatched("ran", labels={"team": "money"}, run=("a", "b"))
    world.run(at, job.id, "failed")
    world.register("paused")
    world.store.apply([world.pausing("paused")])
    world.register("waits")
    for listing in listings(world):
        paused, ran, waits = whole(listing)
        assert (paused.id, paused.paused, paused.next_run_at) == ("paused", True, None)
        assert (ran.id, ran.last_state, ran.running) == ("ran", "failed", False)
        assert ran.last_finished_at == world.job(job.id).finished_at
        assert (ran.labels, ran.run) == ({"team": "money"}, ("a", "b"))
        assert waits.next_run_at == world.schedule("waits").next_run_at
        assert waits.last_state is None


def test_a_listing_tells_how_the_last_jobs_ended_the_newest_first(world):
    world.register()
    at = world.join()
    for ending in ("completed", "failed", "timed_out", "completed"):
        world.pass_(MINUTE, at)
        term = world.lead(at)
        assert world.store.dispatch(term, world.plans(term)) == [True]
        (candidate,) = world.waiting()
        world.run(at, candidate.job.id, ending)
    for listing in listings(world):
        (one,), _ = listing.page(None, {}, None, 3)
        assert one.past == ("completed", "timed_out", "failed")
        assert listing.page(None, {}, None)[0][0].past == ()


def test_a_listing_knows_what_runs_and_what_living_nodes_offer(world):
    at, _, job = world.dispatched("x")
    for listing in listings(world):
        assert not whole(listing)[0].running
    world.claim(at, job.id)
    for listing in listings(world):
        assert whole(listing)[0].running
        assert listing.offers() == frozenset(each.offer for each in world.store.read(Node).items)
    world.store.leave(at)
    for listing in listings(world):
        assert listing.offers() is None


def test_a_listing_is_chosen_and_read_by_the_page(world, monkeypatch):
    monkeypatch.setattr("synccron.store.listing.PAGE", 2)
    monkeypatch.setattr(on_sqlite, "PAGE", 2)
    for number in range(5):
        world.register(f"s{number}", labels={"odd": str(number % 2)})
    for listing in listings(world):
        assert [one.id for one in whole(listing)] == ["s0", "s1", "s2", "s3", "s4"]
        assert [one.id for one in whole(listing, "s[!0-2]")] == ["s3", "s4"]
        assert [one.id for one in whole(listing, None, {"odd": "1"})] == ["s1", "s3"]
        assert [one.id for one in whole(listing, "s3")] == ["s3"]
        assert whole(listing, "s") == []


def test_of_a_schedule_with_a_queue_the_last_that_ended_is_shown(world):
    at, _, job = world.dispatched("x")
    world.run(at, job.id, "failed")
    for number in range(6):
        world.pass_(1000, at)
        world.trigger("x", key=f"k{number}")
    for listing in listings(world):
        (x,) = whole(listing)
        assert (x.last_state, x.running) == ("failed", False)
