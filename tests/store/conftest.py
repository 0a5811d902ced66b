"""SQLite stores in a folder of the test, and other processes that use them."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from synccron.clock import SystemClock
from synccron.model.order import submitted
from synccron.store import open_store
from synccron.store.sqlite.store import SqliteStore

_PREAMBLE = """
import os, sys
from synccron.clock import SystemClock
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.model.order import submitted
from synccron.store import open_store

clock = SystemClock()

def order(key, handler="h"):
    return submitted(handler, str(key), "null", clock.now())

def node(name):
    return Node(
        id=name, session=name, host="h", pid=os.getpid(), version="1", started_at=0, tzdata="",
        concurrency=1,
    )

def say(text):
    sys.stdout.write(f"{text}\\n")
    sys.stdout.flush()

store = open_store(sys.argv[1], create=True, clock=clock)
"""


class Place:
    """A store's path, the handles that are open on it here, and the processes beside us."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.path = self.folder / "synccron.db"
        self.clock = SystemClock()
        self._stores: list[SqliteStore] = []
        self._others: list[subprocess.Popen[str]] = []

    def open(self, *, create: bool = True, timeout: int = 5000, query: str = "") -> SqliteStore:
        store = open_store(
            f"sqlite://{self.path}{query}", create=create, clock=self.clock, timeout=timeout
        )
        assert isinstance(store, SqliteStore)
        self._stores.append(store)
        return store

    def order(self, key: str, handler: str = "h") -> Any:
        return submitted(handler, key, "null", self.clock.now())

    def process(self, script: str, *arguments: str) -> "subprocess.Popen[str]":
        """Begin another process with `store` open in it; what it says is read line by line."""
        other = subprocess.Popen(
            [sys.executable, "-c", _PREAMBLE + textwrap.dedent(script), str(self.path), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        self._others.append(other)
        return other

    def close(self) -> None:
        for other in self._others:
            with suppress(ProcessLookupError):
                other.kill()
            other.wait()
            if other.stdout is not None:
                other.stdout.close()
        for store in self._stores:
            store.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


@pytest.fixture
def heard() -> Callable[["subprocess.Popen[str]"], str]:
    """Give the next line that a process says."""

    def read(other: "subprocess.Popen[str]") -> str:
        assert other.stdout is not None
        line = other.stdout.readline()
        assert line, "the process ended without a word"
        return line.strip()

    return read
