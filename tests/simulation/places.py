"""Where the store of a run is: in memory, for thousands of runs, or on disk, as people have it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from synccron.clock import Clock, ManualClock
from synccron.model.job import Job
from synccron.model.time import Duration
from synccron.store import open_store
from synccron.store.base import Store, Where
from synccron.store.history import read_all
from tests.simulation.memory.state import Memory
from tests.simulation.memory.store import MemoryStore
from tests.simulation.steps import Setting

READS = frozenset({"read", "due", "waiting", "active", "needs", "lost", "cancelling", "followed"})
Spoilt = Callable[[Store], Any]  # what a broken build makes of a store


class Place(Protocol):
    """A store that several processes open."""

    def open(self, clock: Clock) -> Store:
        """Open it, as a process does that has this clock."""

    def end(self, node: str, store: Store) -> None:
        """Let a node's process be gone, and what it had open."""

    def mark(self) -> int:
        """Give a number that changes with what is written."""

    def unsettled(self) -> list[Job]:
        """Read the jobs that have not settled."""

    def close(self) -> None:
        """Leave nothing open."""


class Behind:
    """A store that is read through a mirror: what is read was so a while ago.

    Whoever has written, and was told so, sees that. Writes compare what is there now, as ever.
    """

    changes_at_once = MemoryStore.changes_at_once
    jobs_at_once = MemoryStore.jobs_at_once

    def __init__(self, store: MemoryStore, clock: Clock, lag: Duration) -> None:
        self._store, self._clock, self._lag = store, clock, lag
        self._old = Memory(store.memory.clock, cluster=store.memory.cluster)
        self._mirror = MemoryStore(self._old, clock)
        self._heard = True
        self._look()

    def __getattr__(self, verb: str) -> Any:
        """Give a verb of the store, or of its mirror."""
        if verb in READS:
            if self._clock.monotonic() >= self._looked_at + self._lag:
                self._look()
            return getattr(self._mirror, verb)
        return partial(self._write, getattr(self._store, verb))

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Let the answer of a write be lost."""
        self._heard = False
        yield
        self._heard = True

    def _write(self, act: Callable[..., Any], *words: Any) -> Any:
        before = self._store.memory.state.mark
        answer = act(*words)
        if self._heard and self._store.memory.state.mark != before:
            self._look()
        return answer

    def _look(self) -> None:
        self._old.state = self._store.memory.state.copy()
        self._looked_at = self._clock.monotonic()


class InMemory:
    """The store in memory."""

    def __init__(self, clock: ManualClock, kind: type[MemoryStore], setting: Setting) -> None:
        self.memory = Memory(clock, cluster=setting.cluster)
        self._kind, self._lag = kind, setting.lag

    def open(self, clock: Clock) -> Store:
        """Open it."""
        store = self._kind(self.memory, clock)
        return cast("Store", Behind(store, clock, self._lag) if self._lag else store)

    def end(self, node: str, store: Store) -> None:  # noqa: ARG002 - nothing is open
        """Let the store see it, as far as it can."""
        for session, seat in self.memory.state.seats.items():
            if seat.node.id == node:
                self.memory.kill(session)

    def mark(self) -> int:
        """Give the newest mark."""
        return self.memory.state.mark

    def unsettled(self) -> list[Job]:
        """Give the jobs that have not settled."""
        return list(self.memory.state.unsettled())

    def close(self) -> None:
        """Nothing is open."""


class OnDisk:
    """SQLite in a folder: one host, on which deaths show at once."""

    def __init__(self, clock: ManualClock, spoilt: Spoilt, folder: Path) -> None:
        path = folder / "synccron.db"
        self._spoilt, self._url = spoilt, f"sqlite://{path}?sync=normal"
        self._opened: list[Store] = []
        self._own = self.open(clock)
        self._seen = sqlite3.connect(path)

    def open(self, clock: Clock) -> Store:
        """Open it."""
        opened: Store = self._spoilt(open_store(self._url, create=True, clock=clock))
        self._opened.append(opened)
        return opened

    def end(self, node: str, store: Store) -> None:  # noqa: ARG002 - the kernel knows
        """Close its handle: sessions that have not left end as if their process had died."""
        store.close()

    def mark(self) -> int:
        """Give the number of what others have committed."""
        (version,) = self._seen.execute("PRAGMA data_version").fetchone()
        return int(version)

    def unsettled(self) -> list[Job]:
        """Read the jobs that have not settled."""
        where = Where(states=("scheduled", "queued", "running"))
        return list(read_all(self._own, Job, where))

    def close(self) -> None:
        """Close all handles."""
        self._seen.close()
        for each in self._opened:
            each.close()


Made = Callable[[ManualClock, Setting], Place]


def in_memory(kind: type[MemoryStore] = MemoryStore) -> Made:
    """Let runs have a store in memory."""
    return lambda clock, setting: InMemory(clock, kind, setting)


IN_MEMORY = in_memory()


def on_disk(folder: Path, spoilt: Spoilt = lambda store: store) -> Made:
    """Let a run have a store on disk; it is on one host, whatever its setting says."""
    return lambda clock, _: OnDisk(clock, spoilt, folder)
