"""What processes and stores take, over time; whether it grows."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.etcd import Members

HOUR = 3600.0


@dataclass(frozen=True)
class Taken:
    """What a node, with its heir and guardian, takes `at` seconds of its life."""

    at: float
    memory: int  # bytes
    descriptors: int
    threads: int


def family(pid: int) -> list[int]:
    """A node, its heir, and its guardian: those that live as long as it does."""
    (heir,) = children(pid)
    (guardian,) = children(heir)
    return [pid, heir, guardian]


def taken(pid: int, at: float) -> Taken | None:
    """Measure a node; None where it is just starting or ending."""
    with suppress(OSError, ValueError):
        pids = family(pid)
        return Taken(
            at,
            sum(resident(each) for each in pids),
            sum(len(os.listdir(f"/proc/{each}/fd")) for each in pids[:2]),  # noqa: PTH208
            len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208
        )
    return None


def resident(pid: int) -> int:
    """Tell the bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def children(pid: int) -> list[int]:
    """Tell the children of a process, of all its threads."""
    found = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            found += [int(child) for child in each.read_text().split()]
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Fit a line through points (seconds, value) by least squares: how much it grows an hour."""
    if len(points) < 2:
        return 0.0
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    along = sum((at - middle) * (value - mean) for at, value in points)
    return along / spread * HOUR if spread else 0.0


def median(values: Sequence[float]) -> float:
    """Give the value in the middle; 0 of none."""
    return sorted(values)[len(values) // 2] if values else 0.0


def share(values: Sequence[float], part: float) -> float:
    """Give the value that `part` of all do not exceed; 0 of none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def size_of(store: str, members: Members | None) -> Callable[[], int | None]:
    """How to tell the bytes that a store takes; None where nobody can tell now."""
    if members is not None:
        return lambda: in_use(members)
    return lambda: sum(each.stat().st_size for each in Path(store).parent.glob("synccron.db*"))


def in_use(members: Members) -> int | None:
    """Tell the bytes that etcd's database has in use."""
    for member in members.members:
        connection = HTTPConnection("127.0.0.1", member.port, timeout=1)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        except OSError:
            continue
        finally:
            connection.close()
        found = re.search(r"^etcd_mvcc_db_total_size_in_use_in_bytes (\S+)", page, re.MULTILINE)
        if found is not None:
            return int(float(found[1]))
    return None
