"""Publishes what the jobs of this node write, for those who follow them from elsewhere.

It reads the logs that the guardian writes, and keeps the newest of what it reads in the store, as
long as somebody follows: nothing is published, nor kept, for nobody. What a job wrote is published
before its end is settled, so that who sees the end can read all of it that is left.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from synccron.clock import Clock
from synccron.handlers.log import LogReader
from synccron.model.chunk import Chunk
from synccron.model.lease import Session
from synccron.model.time import SECOND, Duration
from synccron.store.base import Store

PACE: Duration = 200  # ms between two looks at what was written
MOST = 64 << 10  # bytes of a job that are published in one look; what is before them is left out
KEPT = 128 << 10  # bytes of a job that the store has
LINGER: Duration = 10 * SECOND  # how long they stay after the job's end, for who reads it last

Attempt = tuple[str, int]  # a job's id, and the number of its attempt


@dataclass(slots=True)
class _Published:
    """An attempt that is followed: its log, what is in the store of it, until when that stays."""

    reader: LogReader
    chunks: deque[Chunk] = field(default_factory=deque)
    until: int | None = None  # monotonic ms


class Publisher:
    """Publishes for a node. `_published` are the attempts that it has published of.

    The lock is held for a turn, against a settlement beside it.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        session: Callable[[], Session],
        log: Callable[[str, int], str],
        running: Callable[[], Mapping[str, int]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._session = session
        self._log = log
        self._running = running
        self._lock = threading.Lock()
        self._published: dict[Attempt, _Published] = {}

    def turn(self) -> Duration:
        """Publish what was written since; ms until the next look."""
        with self._lock:
            running = self._running()
            followed = self._store.followed(self._session()) if running else frozenset()
            wanted = {(job_id, running[job_id]) for job_id in followed if job_id in running}
            for attempt in wanted - self._published.keys():
                self._published[attempt] = self._open(attempt)
            self._publish(wanted)
            self._forget(running, wanted)
            return PACE if self._published else SECOND

    def finish(self, ended: Iterable[Attempt]) -> None:
        """Publish the rest of what attempts wrote that have ended."""
        if not self._published:
            return
        with self._lock:
            jobs = {job_id for job_id, _ in self._published}
            last = [attempt for attempt in ended if attempt[0] in jobs]
            for attempt in last:  # an attempt may be over before it was looked at
                self._published.setdefault(attempt, self._open(attempt))
            self._publish(last)
            for attempt in last:
                self._published[attempt].until = self._clock.monotonic() + LINGER

    def _open(self, attempt: Attempt) -> _Published:
        reader = LogReader(Path(self._log(*attempt)))
        reader.skip(KEPT)
        return _Published(reader)

    def _publish(self, attempts: Iterable[Attempt]) -> None:
        fresh: list[Chunk] = []
        gone: list[Chunk] = []
        for attempt in attempts:
            published = self._published[attempt]
            if published.chunks:
                published.reader.skip(MOST)
            read = list(published.reader.chunks(*attempt))
            published.chunks += read
            fresh += read
            gone += _too_many(published.chunks)
        if fresh or gone:
            self._store.publish(fresh, gone)

    def _forget(self, running: Mapping[str, int], wanted: AbstractSet[Attempt]) -> None:
        """Remove what nobody follows any more, or has had the time to read."""
        now = self._clock.monotonic()
        for attempt, published in list(self._published.items()):
            job_id, number = attempt
            if running.get(job_id) != number and published.until is None:
                published.until = now + LINGER
            over = attempt not in wanted if published.until is None else published.until <= now
            if over:
                self._store.publish((), published.chunks)
                del self._published[attempt]


def _too_many(chunks: deque[Chunk]) -> Iterator[Chunk]:
    """Take out the oldest chunks of more than is kept."""
    size = sum(len(chunk.data) for chunk in chunks)
    while size > KEPT:
        oldest = chunks.popleft()
        size -= len(oldest.data)
        yield oldest
