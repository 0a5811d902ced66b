"""Measure synccron against raw limits in the same run, and write docs/performance.md.

`make bench` runs it (some minutes). Every figure stands beside what plain code on the same machine
does at that time: absolute numbers of a shared machine mean little, ratios hold.
"""

import argparse
import os
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from synccron.client import Client, Schedule

ROUNDS = 5
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


@dataclass
class Figure:
    """One row: what was measured, its values, and the limit's beside them."""

    what: str
    unit: str
    ours: list[float]
    limit: list[float]
    limit_is: str

    def row(self) -> str:
        ours, limit = statistics.median(self.ours), statistics.median(self.limit)
        spread = f"{min(self.ours):,.4g} to {max(self.ours):,.4g}"
        return (
            f"| {self.what} | {ours:,.4g} {self.unit} | {spread} | {limit:,.4g} {self.unit} "
            f"({self.limit_is}) | {ours / limit:.2f} |"
        )


def plain_commits(folder: Path, count: int = 500) -> float:
    """Commits of one row a second, with synchronous=FULL."""
    path = folder / f"plain-{time.monotonic_ns()}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE job (id TEXT PRIMARY KEY, body TEXT)")
    start = time.perf_counter()
    for number in range(count):
        connection.execute("INSERT INTO job VALUES (?, ?)", (f"job-{number}", "x" * 200))
    took = time.perf_counter() - start
    connection.close()
    return count / took


def plain_spawns(command: list[str], count: int) -> float:
    """Processes a second, one after another from one thread, with their output read."""
    start = time.perf_counter()
    for _ in range(count):
        subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return count / (time.perf_counter() - start)


@contextmanager
def node(store: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real node on a store, in a process of its own."""
    running = subprocess.Popen(
        [sys.executable, "-m", "synccron", "run", "--store", str(store), *options],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


def until(seen: Callable[[], bool]) -> None:
    while not seen():
        threading.Event().wait(0.01)


def lateness(folder: Path, seconds: int) -> tuple[list[float], list[float]]:
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


def burst(folder: Path, handler: str | None, count: int) -> float:
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
        with node(store):
            until(lambda: client.status().queued + client.status().running == 0 and done(client))
        jobs = client.jobs(states=["completed"], limit=count)
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.finished_at for job in jobs if job.finished_at]
    return len(jobs) / (max(ends) - min(starts)).total_seconds()


def done(client: Client) -> bool:
    return bool(client.jobs(states=["completed"], limit=1))


def idle(folder: Path) -> tuple[float, float]:
    """Share of a core, and MB of memory, of a node with 1000 schedules of which none is due."""
    store = folder / "idle.db"
    with Client(str(store), create=True) as client:
        client.register(*(Schedule(id=f"i-{n}", cron="@yearly", run="true") for n in range(1000)))
        with node(store) as running:
            until(lambda: bool(client.nodes()))
            threading.Event().wait(2)
            before, start = cpu(running.pid), time.monotonic()
            threading.Event().wait(10)
            used = (cpu(running.pid) - before) / (time.monotonic() - start)
            status = Path(f"/proc/{running.pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return used * 100, int(memory.split()[1]) / 1024


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_up(folder: Path) -> Figure:
    """Seconds that `ls` takes, beside a bare interpreter, in turn."""
    store = folder / "ls.db"
    with Client(str(store), create=True) as client:
        client.register(*(Schedule(id=f"s-{n}", cron="@hourly", run="true") for n in range(20)))
    listing = [sys.executable, "-m", "synccron", "ls", "--store", str(store)]
    bare = [sys.executable, "-c", "pass"]
    ours, limit = [], []
    for _ in range(11):
        ours.append(seconds_of(listing))
        limit.append(seconds_of(bare))
    return Figure("start of `synccron ls`", "s", ours, limit, "python -c pass")


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Measure all, and write the page."""
    # Users' Python keeps what it compiled; without, every start would compile it again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small amounts, and print only")
    quick = parser.parse_args().quick
    rounds, python_jobs, shell_jobs = (1, 300, 300) if quick else (ROUNDS, 5000, 2000)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name:
        folder = Path(name)
        bare = [sys.executable, "-I", "-S", "-c", "pass"]
        for what, handler, count, command in (
            ("shell jobs due at once", None, shell_jobs, ["/bin/true"]),
            ("no-op Python jobs queued at once", "noop:noop", python_jobs, bare),
        ):
            ours, spawns, commits = [], [], []
            for _ in range(rounds):
                spawns.append(plain_spawns(command, 100))
                commits.append(plain_commits(folder))
                ours.append(burst(folder, handler, count))
            figures.append(Figure(f"{what} ({count:,})", "/s", ours, spawns, "plain spawns"))
            figures.append(Figure(f"{what} ({count:,})", "/s", ours, commits, "single commits"))
        figures.append(start_up(folder))
        recorded, real = lateness(folder, 3 if quick else 20)
        share, memory = idle(folder)
    page = render(figures, recorded, real, share, memory)
    print(page)
    if not quick:
        PAGE.write_text(page)


def render(
    figures: list[Figure], recorded: list[float], real: list[float], share: float, memory: float
) -> str:
    rows = "\n".join(figure.row() for figure in figures)
    late = "\n".join(
        f"| {what} | {percentile(values, 0.5):.1f} ms | {percentile(values, 0.99):.1f} ms "
        f"| {max(values):.1f} ms | {len(values)} |"
        for what, values in (("claimed and recorded", recorded), ("process running", real))
    )
    bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"""# Performance

Written by `make bench` on {os.cpu_count()} cores, Python {sys.version.split()[0]}, SQLite \
{sqlite3.sqlite_version}, on {datetime.now(UTC):%Y-%m-%d}. The machine is shared: trust ratios \
more than numbers. Every figure is durable (`synchronous=FULL`); each is the median of its rounds, \
limits measured in the same run.

## Throughput and start-up

| what | median | spread | limit | ratio |
|---|---|---|---|---|
{rows}

## Lateness

100 schedules of every second on an otherwise idle machine; how long after its slot each job was
claimed, and how long after its slot its process ran (`/bin/date +%s%N`, all hundred in one second).

| | p50 | p99 | worst | jobs |
|---|---|---|---|---|
{late}

## At rest

A node with 1,000 schedules of which none is due: {share:.2f}% of a core, {memory:.0f} MB of memory
(this measuring process itself: {bare:.0f} MB).
"""


if __name__ == "__main__":
    main()
