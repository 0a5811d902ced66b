"""What the benchmarks share: how much they do, how figures are shown, real nodes to measure."""

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Amount:
    """How much is measured: `BENCH=short` is for whoever is at work on the code."""

    short: bool

    def pick(self, long: T, short: T) -> T:
        return short if self.short else long

    @property
    def rounds(self) -> int:
        return self.pick(5, 2)


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
        spread = f"{number(min(self.ours))} to {number(max(self.ours))}, of {len(self.ours)}"
        return (
            f"| {self.what} | {number(ours)} {self.unit} | {spread} | {number(limit)} {self.unit} "
            f"({self.limit_is}) | {ours / limit:.2f} |"
        )


def figures(rows: Iterable[Figure]) -> str:
    head = "| what | median | spread | limit, in turn with it | ratio |\n|---|---|---|---|---|\n"
    return head + "\n".join(each.row() for each in rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Write three figures, and no more."""
    if value >= 1000:
        return f"{round(value, -max(0, len(str(int(value))) - 3)):,.0f}"
    return f"{value:.3g}"


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def quantiles(values: Sequence[float], unit: str = "ms") -> list[str]:
    return [
        f"{percentile(values, 0.5):.1f} {unit}",
        f"{percentile(values, 0.99):.1f} {unit}",
        f"{max(values):.1f} {unit}",
        f"{len(values):,}",
    ]


@contextmanager
def node(store: str | Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
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


def until(seen: Callable[[], object], every: float = 0.01) -> None:
    while not seen():
        threading.Event().wait(every)


def seconds_of(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def peak_of(command: Sequence[str]) -> tuple[float, float]:
    """Run a command: its seconds, and the most memory that it had, in MB."""
    start = time.perf_counter()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0, command
    return time.perf_counter() - start, used.ru_maxrss / 1024


def cpu(pid: int) -> float:
    """Seconds of processor time that a process and its guardian have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_share(pid: int, seconds: float) -> float:
    """Percent of a core that a process uses for some seconds."""
    before, start = cpu(pid), time.monotonic()
    threading.Event().wait(seconds)
    return 100 * (cpu(pid) - before) / (time.monotonic() - start)


def memory(pid: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
