"""Who follows a job, and the chunks of its output that its node publishes meanwhile."""

from dataclasses import replace

import pytest

from synccron.model.chunk import Chunk
from synccron.store.base import Where


def chunk(job_id, at=0, data=b"\xff\x00one", attempt=1):
    return Chunk(job_id=job_id, attempt=attempt, at=at, data=data, times=((at, 1000), (at + 1, 2)))


def published(world, job_id):
    return list(world.store.read(Chunk, Where(ids=(job_id,))).items)


@pytest.fixture
def at(world):
    return world.join()


@pytest.fixture
def running(world, at):
    return world.claim(at, world.submit().job_id).job.id


def test_a_node_learns_which_of_its_jobs_are_followed_and_no_other_does(world, at, running):
    other = world.join("n2")
    assert world.store.followed(at) == frozenset()
    world.store.follow(running)
    world.store.follow("nobody:1")
    assert world.store.followed(at) == {running}
    assert world.store.followed(other) == frozenset()


def test_a_job_that_waits_may_be_followed_before_it_runs(world, at):
    job_id = world.submit().job_id
    world.store.follow(job_id)
    assert world.store.followed(at) == frozenset()
    world.claim(at, job_id)
    assert world.store.followed(at) == {job_id}


def test_a_job_that_has_ended_is_followed_by_nobody(world, at):
    job_id = world.submit().job_id
    claim = world.claim(at, job_id)
    world.store.follow(job_id)
    world.settle(claim)
    assert world.store.followed(at) == frozenset()


def test_chunks_are_given_as_they_were_published_in_order(world, running):
    assert published(world, running) == []
    first, second = chunk(running), chunk(running, 5, b"two")
    again = chunk(running, 0, b"three", attempt=2)
    world.store.publish([again, first], [])
    world.store.publish([second], [])
    assert published(world, running) == [first, second, again]
    assert published(world, "another:1") == []


def test_chunks_are_removed_when_they_are_old(world, running):
    first, second, third = (chunk(running, at) for at in (0, 5, 10))
    world.store.publish([first, second], [])
    world.store.publish([third], [first])
    assert published(world, running) == [second, third]
    world.store.publish([], [first, second, third])
    assert published(world, running) == []


def test_a_chunk_that_is_published_again_is_one(world, running):
    world.store.publish([chunk(running)], [])
    world.store.publish([replace(chunk(running), data=b"x")], [])
    assert [each.data for each in published(world, running)] == [b"x"]


def test_what_a_dead_node_published_goes_with_its_job(world, at):
    job_id = world.submit().job_id
    claim = world.claim(at, job_id)
    world.store.follow(job_id)
    world.store.publish([chunk(job_id)], [])
    world.settle(claim)
    world.prune(world.lead(at), horizon=world.clock.now() + 1, least=0)
    assert not world.jobs()
    assert published(world, job_id) == []
