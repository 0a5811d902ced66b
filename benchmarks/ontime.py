"""What the benchmarks of time share: stores, nodes, and the marks that handlers leave.

A mark is written by the handler itself as the first thing it does: so lateness is from the slot to
the first line of user code, with dispatch, claim, commit and the way into the child all in it.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import until
from synccron.client import Client, Schedule
from tests.etcd import Members

PATIENCE = 60.0
EVERY_SECOND = "* * * * * *"


@dataclass(frozen=True)
class Mark:
    """One start of a handler; `late` in ms."""

    schedule: str
    slot: int
    attempt: int
    late: float


@contextmanager
def store(kind: str) -> Iterator[str]:
    """Give the URL of an empty store: `SQLite`, or `etcd` of one member."""
    if kind == "SQLite":
        with tempfile.TemporaryDirectory() as folder:
            yield str(Path(folder) / "ontime.db")
        return
    members = Members(1)
    try:
        members.start()
        yield members.url()
    finally:
        members.close()


class Nodes:
    """Nodes as processes of their own, that are killed, stopped and started again."""

    def __init__(self, url: str, concurrency: int = 200) -> None:
        self._url = url
        self._concurrency = concurrency
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "synccron", "run", "--store", self._url, "--id", name]
        self._running[name] = subprocess.Popen(
            [*command, "--concurrency", str(self._concurrency)],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )

    def kill(self, name: str) -> None:
        running = self._running.pop(name)
        running.kill()
        running.wait()

    def stop(self, name: str) -> None:
        running = self._running.pop(name)
        running.send_signal(signal.SIGTERM)
        running.wait(PATIENCE)

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)


@contextmanager
def playing(
    kind: str, names: Sequence[str], schedules: int
) -> Iterator[tuple[Client, Nodes, Path]]:
    """Let nodes run every-second schedules of handlers that do nothing; where the marks are."""
    with store(kind) as url, tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks"
        with Client(url, create=True) as client:
            nodes = Nodes(url)
            for name in names:
                nodes.start(name)
            try:
                client.register(
                    *(
                        Schedule(
                            id=f"tick-{n}",
                            cron=EVERY_SECOND,
                            handler="marks:mark",
                            input=str(marks),
                        )
                        for n in range(schedules)
                    )
                )
                until(lambda: len(read(marks)) >= 3 * schedules)
                yield client, nodes, marks
            finally:
                nodes.close()


def read(marks: Path) -> list[Mark]:
    """Read what was marked."""
    if not marks.exists():
        return []
    found = []
    whole, _, _ = marks.read_text().rpartition("\n")  # one may be written just now
    for line in whole.splitlines():
        schedule, slot, attempt, at = line.split()
        found.append(Mark(schedule, int(slot), int(attempt), int(at) / 1e6 - int(slot) * 1e3))
    return found
