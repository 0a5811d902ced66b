"""What a node publishes of its jobs' output, and when it stops."""

from pathlib import Path

import pytest

from synccron.clock import ManualClock
from synccron.engine.publisher import KEPT, LINGER, MOST, PACE, Publisher
from synccron.handlers.log import LogWriter
from synccron.model.chunk import Chunk
from synccron.model.time import SECOND
from synccron.store.base import FOLLOWED, Store, Where
from synccron.store.logs import log_path
from tests.engine.conftest import Bench


class Job:
    """A job that runs on the node and writes what the test says."""

    def __init__(self, node: Bench, store: Store, clock: ManualClock, folder: Path) -> None:
        self.store, self.clock, self.node = store, clock, node
        node.register(cron="@every 1m")
        node.advance_to(node.schedule().cursor.next)
        (self.run,) = node.run_due()
        self.id = self.run.invocation.job_id
        self.whole = b""
        self.publisher = Publisher(
            store,
            clock,
            session=lambda: node.session,
            log=lambda job_id, attempt: str(log_path(folder, job_id, attempt)),
            running=node.worker.attempts,
        )
        node.worker._ending = self.publisher.finish
        self._log = LogWriter(str(log_path(folder, self.id, 1)))

    def write(self, data: bytes) -> None:
        self._log.write(data, len(self.whole), self.clock.now())
        self.whole += data

    def end(self) -> None:
        self.run.end()
        self.node.worker.settle_ended()

    def chunks(self) -> list[Chunk]:
        return list(self.store.read(Chunk, Where(ids=(self.id,))).items)

    def stored(self) -> bytes:
        return b"".join(each.data for each in self.chunks())


@pytest.fixture
def job(node: Bench, store: Store, clock: ManualClock, tmp_path: Path) -> Job:
    return Job(node, store, clock, tmp_path / "logs")


def test_nothing_is_published_for_nobody(job: Job) -> None:
    job.write(b"one\n")
    assert job.publisher.turn() == SECOND
    job.end()
    assert job.chunks() == []


def test_who_follows_gets_what_was_written_before_and_what_comes_with_its_times(
    job: Job, clock: ManualClock
) -> None:
    job.write(b"one\n")
    began = clock.now()
    job.store.follow(job.id)
    assert job.publisher.turn() == PACE
    clock.advance(1500)
    job.write(b"two\n")
    assert job.publisher.turn() == PACE
    first, second = job.chunks()
    assert (first.at, first.data, len(first.times)) == (0, b"one\n", 1)
    assert (second.at, second.data, second.times) == (4, b"two\n", ((4, began + 1500),))


def test_what_a_job_wrote_is_published_before_its_end_is_settled(job: Job) -> None:
    job.store.follow(job.id)
    job.publisher.turn()
    job.write(b"the end\n")
    job.run.end()
    assert job.publisher.turn() == PACE  # between its end and the settlement
    job.node.worker.settle_ended()
    assert job.stored() == b"the end\n"


def test_what_is_stored_is_bounded_and_is_the_newest(job: Job) -> None:
    job.write(b"x" * (3 * KEPT))
    job.store.follow(job.id)
    job.publisher.turn()
    assert job.stored() == job.whole[-KEPT:]
    for _ in range(10):
        job.write(bytes(range(256)) * (MOST // 256))
        job.publisher.turn()
        assert len(job.stored()) <= KEPT
    assert job.whole.endswith(job.stored())


def test_of_a_flood_the_newest_is_published_and_the_gap_can_be_seen(job: Job) -> None:
    job.write(b"one")
    job.store.follow(job.id)
    job.publisher.turn()
    job.write(bytes(range(256)) * 4096)
    job.publisher.turn()
    first, second, *_ = job.chunks()
    assert (first.at, second.at) == (0, len(job.whole) - MOST)
    assert job.chunks()[-1].end == len(job.whole)


def test_when_nobody_follows_any_more_it_is_removed(job: Job, clock: ManualClock) -> None:
    job.write(b"one")
    job.store.follow(job.id)
    job.publisher.turn()
    job.node.advance_to(clock.now() + FOLLOWED + 1)
    assert job.publisher.turn() == SECOND
    assert job.chunks() == []


def test_after_the_end_it_stays_for_who_reads_it_last_and_goes(
    job: Job, clock: ManualClock
) -> None:
    job.write(b"one")
    job.store.follow(job.id)
    job.publisher.turn()
    job.end()
    job.node.advance_to(clock.now() + LINGER - 1)
    job.publisher.turn()
    assert job.stored() == b"one"
    clock.advance(1)
    assert job.publisher.turn() == SECOND
    assert job.chunks() == []


def test_a_store_that_fails_to_take_the_last_of_it_still_gets_the_end(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synccron.errors import StoreFull

    def full(*_: object) -> None:
        raise StoreFull("no room")

    job.store.follow(job.id)
    job.publisher.turn()
    job.write(b"one")
    monkeypatch.setattr(job.store, "publish", full)
    job.end()
    assert [each.state for each in job.node.jobs()] == ["completed"]
