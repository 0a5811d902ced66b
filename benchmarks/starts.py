"""How late a slot's process is, and how long a trigger takes to start, on SQLite."""

import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import Amount, node, quantiles, table, until
from synccron.client import Client, Schedule

TITLE = "From slot or trigger to start"


def late_shells(folder: Path, seconds: int) -> tuple[list[float], list[float]]:
    """Lateness in ms of 100 every-second schedules: as recorded, and of the real process."""
    store = folder / "late.db"
    with Client(str(store), create=True) as client:
        client.register(
            *(
                Schedule(id=f"tick-{n}", cron="* * * * * *", run=["/bin/date", "+%s%N"])
                for n in range(100)
            )
        )
        with node(store, "--concurrency", "200"):
            until(lambda: len(client.jobs(states=["completed"], limit=500)) >= 300)
            since = datetime.now(UTC) + timedelta(seconds=1)
            threading.Event().wait(seconds + 1)
            client.pause(*(schedule.id for schedule in client.list()))
        recorded, real = [], []
        for job in client.jobs(states=["completed"], since=since, limit=100 * seconds):
            if job.slot is None or job.lateness is None:
                continue
            recorded.append(job.lateness / timedelta(milliseconds=1))
            written, _ = client.output(job.id)
            real.append(int(written) / 1e6 - job.slot.timestamp() * 1e3)
    return recorded, real


def triggered(folder: Path, count: int) -> list[float]:
    """Milliseconds from the call of a trigger, in this process, to the start of its attempt."""
    store, took = folder / "trigger.db", []
    with Client(str(store), create=True) as client:
        client.register(Schedule(id="by-hand", cron="0 0 1 1 *", run="true"))
        with node(store):
            until(lambda: any(each.handlers for each in client.nodes()))
            for _ in range(count):
                called = time.time()
                job = client.wait(client.trigger("by-hand").id, timeout=60)
                assert job.started_at is not None
                took.append((job.started_at.timestamp() - called) * 1000)
    return took


def section(amount: Amount) -> str:
    with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name:
        recorded, real = late_shells(Path(name), amount.pick(20, 3))
        begun = triggered(Path(name), amount.pick(300, 50))
    rows = [
        ["slot to claim", *quantiles(recorded)],
        ["slot to running process", *quantiles(real)],
        ["trigger to start, from another process", *quantiles(begun)],
    ]
    return (
        "A node on SQLite. 100 schedules of every second, which run `/bin/date +%s%N`; and one that "
        "is triggered.\n\n" + table(("", "p50", "p99", "worst", "times"), rows)
    )
