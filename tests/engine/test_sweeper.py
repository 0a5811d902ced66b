"""What is removed of the logs on a host, and what stays."""

import os
from pathlib import Path

import pytest

from synccron.clock import ManualClock
from synccron.engine.sweeper import Sweeper
from synccron.model.time import DAY, HOUR, MINUTE
from synccron.store.base import Store
from synccron.store.logs import log_path
from tests.engine.conftest import Bench

KILOBYTE = b"x" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    made.mkdir()
    return made


def written(folder: Path, job_id: str, clock: ManualClock, *, ago: int) -> Path:
    """The log of a job, last written so long ago."""
    path = log_path(folder, job_id, 1)
    path.parent.mkdir()
    path.write_bytes(KILOBYTE)
    moment = (clock.now() - ago) / 1000
    for each in (path, path.parent):
        os.utime(each, (moment, moment))
    return path.parent


def sweep(store: Store, clock: ManualClock, folder: Path, most: int = 1 << 30) -> list[str]:
    sweeper = Sweeper(store, clock, folder, 7 * DAY, most)
    while sweeper.turn() < MINUTE:
        pass
    return sorted(path.name for path in folder.iterdir())


def ran(node: Bench, *, ends: bool = True) -> str:
    """A job that has run."""
    node.register(cron="@every 1m")
    node.advance_to(node.schedule().cursor.next)
    (run,) = node.run_due()
    if ends:
        run.end()
        node.worker.settle_ended()
    return run.invocation.job_id


def test_logs_of_jobs_that_the_store_has_forgotten_go(
    node: Bench, store: Store, clock: ManualClock, folder: Path
) -> None:
    known = written(folder, ran(node), clock, ago=30 * DAY)
    written(folder, "job:20200101T000000Z", clock, ago=HOUR)
    fresh = written(folder, "job:20210101T000000Z", clock, ago=1000)  # it may just be beginning
    assert sweep(store, clock, folder) == sorted([known.name, fresh.name])


def test_of_names_that_are_hashes_the_old_ones_go(
    store: Store, clock: ManualClock, folder: Path
) -> None:
    old = written(folder, "j:" + "a" * 300, clock, ago=8 * DAY)
    new = written(folder, "j:" + "b" * 300, clock, ago=6 * DAY)
    assert sweep(store, clock, folder) == [new.name]
    assert not old.exists()


def test_of_too_much_what_was_written_longest_ago_goes(
    node: Bench, store: Store, clock: ManualClock, folder: Path
) -> None:
    jobs = [ran(node) for _ in range(3)]
    names = [
        written(folder, job, clock, ago=ago).name for job, ago in zip(jobs, (3, 1, 2), strict=True)
    ]
    size = sum(each.stat().st_size for each in folder.rglob("*"))
    assert len(sweep(store, clock, folder, size)) == 3
    assert sweep(store, clock, folder, size - 1) == sorted(names[1:])
    assert sweep(store, clock, folder, size // 2) == [names[1]]


def test_the_log_of_a_job_that_runs_stays_however_much_it_is(
    node: Bench, store: Store, clock: ManualClock, folder: Path
) -> None:
    running = written(folder, ran(node, ends=False), clock, ago=DAY)
    assert sweep(store, clock, folder, 1) == [running.name]
