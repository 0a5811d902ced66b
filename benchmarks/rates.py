"""How much a store and a node do in a second, beside what plain code does with the same rows."""

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import Amount, Figure, figures, node, until
from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.model.change import register
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.model.plan import plan
from synccron.model.schedule import Schedule as Record
from synccron.model.time import DAY
from synccron.store import open_store
from synccron.store.base import Look, Store, Where
from synccron.store.sqlite.rows import CURSOR_SET, JOB_FIELDS, cursor_values, insert, job_values
from tests.make import definition

TITLE = "What gets done in a second"
CLOCK = SystemClock()
OFFERED = frozenset({"run"})
BATCH = 500


def dispatched(path: Path, count: int) -> tuple[float, float, list[Job]]:
    """Slots a second: written as plans; and with all of a turn, read, decided and written."""
    with open_store(str(path), create=True, clock=CLOCK, timeout=30_000) as store:
        now = CLOCK.now()
        for n in range(0, count, BATCH):
            made = [
                register(
                    None,
                    definition(id=f"s{each:06}", cron="0 12 * * *", misfire="catch_up_one"),
                    now - DAY,  # so that the noon that is due is the only one
                    "bench",
                    "t",
                )
                for each in range(n, min(n + BATCH, count))
            ]
            assert store.apply([each for each in made if each is not None])
        record = Node(
            id="bench",
            session="bench",
            host="h",
            pid=1,
            version="1",
            started_at=0,
            tzdata="t",
            concurrency=1,
            offers=OFFERED,
        )
        term = store.campaign(store.join(record, 60_000), 60_000)
        assert term is not None
        jobs: list[Job] = []
        writing, start = 0.0, time.perf_counter()
        now = CLOCK.now()
        look = Look(now=now, until=now, overdue=0, offered=OFFERED)
        while due := store.due(look, BATCH):
            plans = [
                each for one in due if (each := plan(one, CLOCK.now(), term, OFFERED)) is not None
            ]
            before = time.perf_counter()
            assert all(store.dispatch(term, plans))
            writing += time.perf_counter() - before
            jobs += [job for each in plans for job in each.jobs]
        whole = time.perf_counter() - start
    assert len(jobs) == count
    return count / writing, count / whole, jobs


def plain(path: Path, jobs: list[Job]) -> float:
    """The same rows and cursors in the same tables, by nothing but statements of many rows."""
    with open_store(str(path), clock=CLOCK) as store:
        cursors = {
            each.id: each.cursor
            for n in range(0, len(jobs), BATCH)
            for each in _read(store, [str(job.schedule_id) for job in jobs[n : n + BATCH]])
        }
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("DELETE FROM jobs")
    statement = insert("jobs", (*JOB_FIELDS, "fence"))
    pieces = [
        (
            [job_values(job, n) for job in jobs[n : n + BATCH]],
            [
                (*cursor_values(cursors[str(job.schedule_id)], n), job.schedule_id)
                for job in jobs[n : n + BATCH]
            ],
        )
        for n in range(0, len(jobs), BATCH)
    ]
    start = time.perf_counter()
    for rows, moved in pieces:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"UPDATE schedules SET {CURSOR_SET} WHERE id = ?", moved)  # noqa: S608
        connection.executemany(statement, rows)
        connection.execute("COMMIT")
    took = time.perf_counter() - start
    connection.close()
    return len(jobs) / took


def _read(store: Store, ids: list[str]) -> Sequence[Record]:
    return store.read(Record, Where(ids=ids)).items


def burst(folder: Path, handler: str | None, count: int, *options: str) -> float:
    """Jobs a second from the first start to the last settlement, all due at once."""
    store = folder / f"burst-{time.monotonic_ns()}.db"
    with Client(str(store), create=True) as client:
        if handler is None:
            due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5 + count // 1000)
            cron = f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *"
            client.register(
                *(Schedule(id=f"b-{n}", cron=cron, run=["/bin/true"]) for n in range(count))
            )
        else:
            client.register(
                Schedule(id="many", cron="@yearly", handler=handler, strict_handlers=False)
            )
            for n in range(count):
                client.submit(handler, key=f"b-{n}")
        with node(store, *options):
            until(lambda: client.status().queued + client.status().running == 0 and done(client))
        jobs = client.jobs(states=["completed"], limit=count)
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.finished_at for job in jobs if job.finished_at]
    return len(jobs) / (max(ends) - min(starts)).total_seconds()


def done(client: Client) -> bool:
    return bool(client.jobs(states=["completed"], limit=1))


def section(amount: Amount) -> str:
    rows: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name:
        folder = Path(name)
        count = amount.pick(20_000, 4_000)
        writes, turns, limits = [], [], []
        for number in range(amount.rounds):
            path = folder / f"dispatch-{number}.db"
            written, turned, jobs = dispatched(path, count)
            writes.append(written)
            turns.append(turned)
            limits.append(plain(path, jobs))
        limit = "the same rows, plain"
        rows.append(Figure(f"slots, written as plans ({count:,})", "/s", writes, limits, limit))
        rows.append(Figure(f"slots, a whole turn ({count:,})", "/s", turns, limits, limit))
    return figures(rows) + (
        "\n\nSQLite with `synchronous=FULL`, one process. A turn is what the leader does: it reads "
        "what is due, decides each\nslot, and writes the jobs and the cursors. What is plain writes "
        "the same rows into the same tables, compares\nnothing, and is told what to write.\n"
    )
