"""How long a trigger takes to start, on SQLite."""

import tempfile
import time
from pathlib import Path

from benchmarks.measure import Amount, node, quantiles, table, until
from synccron.client import Client, Schedule

TITLE = "From trigger to start"


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
        begun = triggered(Path(name), amount.pick(300, 50))
    row = ["trigger to start, from another process", *quantiles(begun)]
    return "A node on SQLite.\n\n" + table(("", "p50", "p99", "worst", "times"), [row])
