"""What a schedule costs that is not due: one node, and more and more schedules."""

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Amount, idle_share, memory, node, peak_of, table, until
from benchmarks.plot import curve
from synccron.client import Client, Schedule
from tests.etcd import Members

TITLE = "Growth"
PLOTS = Path(__file__).parent.parent / "docs" / "performance"
SETTLE = 3.0  # seconds from the first dispatch until a node is at rest


def schedule_file(path: Path, count: int) -> None:
    """Write a file of schedules of the first days of next January, and some labels."""
    with path.open("w") as file:
        file.write("schedules:\n")
        for n in range(count):
            file.write(
                f"  job-{n:07}: {{cron: '{n % 60} {n // 60 % 24} {1 + n % 28} 1 *', "
                f"run: [/usr/local/bin/work, --shard, '{n}'], labels: {{team: t{n % 50}}}}}\n"
            )


def grown(store: str, folder: Path, count: int) -> dict[str, float]:
    """All figures of a store with so many schedules."""
    path = folder / "grown.yaml"
    schedule_file(path, count)
    synccron = [sys.executable, "-m", "synccron"]
    took, peak = peak_of([*synccron, "register", "-f", str(path), "--store", store])
    found = {"register_s": took, "register_mb": peak}
    found["listing_s"], found["listing_mb"] = peak_of([*synccron, "ls", "--store", store])
    found["page_s"], _ = peak_of([*synccron, "ls", "job-0000001", "--store", store])
    with Client(store) as client:
        client.register(Schedule(id="tick", cron="* * * * * *", run="true"))
        start = time.perf_counter()
        with node(store) as running:
            until(lambda: client.jobs(schedule="tick", limit=1))
            found["first_s"] = time.perf_counter() - start
            client.pause("tick")
            time_to_rest(SETTLE)
            found["memory_mb"] = memory(running.pid)
            found["idle"] = idle_share(running.pid, 10)
    return found


def on_sqlite(sizes: list[int]) -> dict[int, dict[str, float]]:
    found = {}
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name:
            found[count] = grown(f"{name}/grown.db", Path(name), count)
    return found


def on_etcd(sizes: list[int]) -> dict[int, dict[str, float]]:
    found = {}
    for count in sizes:
        members = Members()  # of its own: what another store left would fill its memory
        try:
            members.start()
            with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name:
                found[count] = grown(members.url("grown"), Path(name), count)
        finally:
            members.close()
    return found


def time_to_rest(seconds: float) -> None:
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, 0.05)


def section(amount: Amount) -> str:
    stores = {
        "SQLite": on_sqlite(amount.pick([1_000, 10_000, 100_000, 1_000_000], [1_000, 10_000])),
        "etcd": on_etcd(amount.pick([1_000, 10_000, 100_000], [1_000])),
    }
    rows = [
        [
            store,
            f"{count:,}",
            f"{each['memory_mb']:.0f} MB",
            f"{each['idle']:.2f}%",
            f"{each['first_s']:.2f} s",
            f"{each['page_s']:.2f} s",
            f"{each['listing_s']:.2f} s, {each['listing_mb']:.0f} MB",
            f"{each['register_s']:.1f} s, {each['register_mb']:.0f} MB",
        ]
        for store, found in stores.items()
        for count, each in found.items()
    ]
    plots = [
        curve(
            PLOTS / f"growth-{name}.svg",
            title,
            unit,
            {f"on {store}": line(found, name) for store, found in stores.items()},
        )
        for name, title, unit in (
            ("memory_mb", "Memory of a node at rest", "MB"),
            ("first_s", "Start to the first dispatch", "s"),
            ("idle", "Processor time of a node at rest", "% of a core"),
            ("page_s", "ls of one schedule", "s"),
        )
    ]
    header = (
        "store",
        "schedules",
        "node's memory",
        "at rest, of a core",
        "start to first dispatch",
        "`ls` of one",
        "`ls` of all",
        "`register -f`",
    )
    return (
        "A store with schedules of which none is due. Registering reads and writes all of them, and lists "
        "their ids;\nthe memory is the most that each process had.\n\n"
        + table(header, rows)
        + "\n\n"
        + "\n".join(plots)
    )


def line(found: dict[int, dict[str, float]], name: str) -> list[tuple[float, float]]:
    return [(float(count), each[name]) for count, each in found.items()]
