"""Removes logs on this host: of jobs that the store has forgotten, and the oldest of too many."""

import os
import shutil
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from synccron.clock import Clock
from synccron.model.job import Job
from synccron.model.time import HOUR, MINUTE, Duration, Instant
from synccron.store.base import Store, Where

BATCH = 500


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """The logs of one job: when they were last written, and how large they are."""

    touched: Instant
    name: str
    size: int


class Sweeper:
    """Walks the folder of logs, a batch a turn; after a round no more than `most` bytes stay.

    `_names` are what is left of this round, `_kept` is what may be removed of what it has passed,
    `_size` the size of all of it.
    """

    def __init__(
        self, store: Store, clock: Clock, folder: Path, retention: Duration, most: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._folder = folder
        self._retention = retention
        self._most = most
        self._names: list[str] = []
        self._kept: list[_Kept] = []
        self._size = 0

    def turn(self) -> Duration:
        """Remove what a batch of names has no job for; ms until the next."""
        if not self._names:
            self._names, self._kept, self._size = _names(self._folder), [], 0
        batch, self._names = self._names[:BATCH], self._names[BATCH:]
        if batch:
            self._sweep(batch)
        if self._names:
            return 20
        self._shrink()
        return MINUTE

    def _sweep(self, names: list[str]) -> None:
        now = self._clock.now()
        ids = {name: unquote(name) for name in names}
        where = Where(ids=tuple(ids.values()))
        jobs = {job.id: job for job in self._store.read(Job, where, limit=BATCH).items}
        for name, job_id in ids.items():
            touched, size = _measured(self._folder / name)
            age, job = now - touched, jobs.get(job_id)
            # A name without a colon is a hash: its job's id can't be told, so age decides.
            hashed = ":" not in job_id
            gone = age > self._retention if hashed else job is None
            if gone and age > MINUTE:
                self._remove(name)
                continue
            self._size += size
            if age > HOUR if hashed else job is not None and job.settled:
                self._kept.append(_Kept(touched, name, size))

    def _shrink(self) -> None:
        """Remove the logs that were written longest ago, until the rest is small enough."""
        if self._size <= self._most:
            return
        for each in sorted(self._kept):
            self._remove(each.name)
            self._size -= each.size
            if self._size <= self._most:
                break
        self._kept = []

    def _remove(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in islice(folder.iterdir(), 1_000_000)]
    except FileNotFoundError:
        return []


def _measured(path: Path) -> tuple[Instant, int]:
    """Tell when the logs of a job were last written, and how many bytes they are."""
    touched, size = 0, 0
    try:
        with os.scandir(path) as entries:
            found = [entry.stat(follow_symlinks=False) for entry in entries]
        found.append(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return 1 << 60, 0
    for each in found:
        touched = max(touched, each.st_mtime_ns // 1_000_000)
        size += each.st_size
    return touched, size
