"""Removes the logs of jobs that the store has forgotten, on this host."""

import shutil
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from synccron.clock import Clock
from synccron.model.job import Job
from synccron.model.time import MINUTE, Duration, Instant
from synccron.store.base import Store, Where

BATCH = 500


class Sweeper:
    """Walks the folder of logs, a batch a turn. `_names` are what is left of this round."""

    def __init__(self, store: Store, clock: Clock, folder: Path, retention: Duration) -> None:
        self._store = store
        self._clock = clock
        self._folder = folder
        self._retention = retention
        self._names: list[str] = []

    def turn(self) -> Duration:
        """Remove what a batch of names has no job for; ms until the next."""
        if not self._names:
            self._names = _names(self._folder)
        batch, self._names = self._names[:BATCH], self._names[BATCH:]
        if batch:
            self._sweep(batch)
        return 20 if self._names else MINUTE

    def _sweep(self, names: list[str]) -> None:
        now = self._clock.now()
        ids = {name: unquote(name) for name in names}
        known = {
            job.id
            for job in self._store.read(Job, Where(ids=tuple(ids.values())), limit=BATCH).items
        }
        for name, job_id in ids.items():
            age = now - _touched(self._folder / name)
            # A name without a colon is a hash: its job's id can't be told, so age decides.
            gone = job_id not in known if ":" in job_id else age > self._retention
            if gone and age > MINUTE:
                shutil.rmtree(self._folder / name, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in islice(folder.iterdir(), 1_000_000)]
    except FileNotFoundError:
        return []


def _touched(path: Path) -> Instant:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 1 << 60
