"""How late jobs begin when all is well: every-second schedules, SQLite and etcd."""

import statistics
import threading
from collections.abc import Sequence

from benchmarks.measure import Amount, percentile, table
from benchmarks.ontime import playing, read

TITLE = "Lateness when all is well"


def measure(kind: str, schedules: int, seconds: int) -> tuple[list[float], list[float]]:
    """Give the lateness of all starts in ms: of their claims, and in the handlers themselves."""
    with playing(kind, ["n1"], schedules) as (client, _, marks):
        begun = max(each.slot for each in read(marks)) + 3
        threading.Event().wait(seconds + 4)
        newest = client.jobs(states=["completed"], limit=schedules * 2)
        client.pause(*(each.id for each in client.list()))
        found = [each for each in read(marks) if each.attempt == 1]
    claimed = [each.lateness.total_seconds() * 1000 for each in newest if each.lateness is not None]
    return claimed, [each.late for each in found if begun <= each.slot < begun + seconds]


def row(kind: str, schedules: int, where: str, runs: Sequence[Sequence[float]]) -> list[str]:
    """Write one line of the table: medians of the runs, and their spread."""
    cells = []
    for part in (0.5, 0.99, 1.0):
        each = [percentile(values, part) for values in runs]
        cells.append(f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})")
    return [kind, str(schedules), where, *cells]


def section(amount: Amount) -> str:
    rows = []
    for kind, schedules in (("SQLite", 100), ("etcd", 100), ("SQLite", 1000), ("etcd", 1000)):
        runs = [measure(kind, schedules, 10) for _ in range(amount.pick(5, 1))]
        rows.append(row(kind, schedules, "claimed", [claimed for claimed, _ in runs]))
        rows.append(row(kind, schedules, "first line", [begun for _, begun in runs]))
    return (
        "From the slot to the decision to begin it, and to the first line of the handler, in ms: the "
        "medians of the runs, and their spread. One node; handlers in Python that do nothing, all due "
        "at the same second.\n\n"
        + table(("store", "schedules of every second", "until", "p50", "p99", "worst"), rows)
    )
