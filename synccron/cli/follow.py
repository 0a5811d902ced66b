"""The output of jobs: from the logs of this host, else what the node of a job publishes as it runs.

What has been read is not read again. Of a job that ended elsewhere there is the tail in the store.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from synccron.clock import Bell, Clock
from synccron.errors import JobNotSettled, StoreFull, StoreReadonly
from synccron.handlers.log import LogReader
from synccron.model.chunk import Chunk
from synccron.model.job import SETTLED
from synccron.model.time import Duration, format_duration
from synccron.store import logs_of
from synccron.store.base import FOLLOWED
from synccron.store.logs import log_path

if TYPE_CHECKING:
    from synccron.client import Client, Job

LOOK = 100  # ms between two looks at output that grows
ASK = FOLLOWED // 3  # ms after which a node is asked again to publish what a job writes


class Logs:
    """The output of one job's attempts, read on from where the last read ended.

    An attempt is read from its log if that is on this host, else from what its node publishes: both
    count the same places, so that it does not matter which of them was read before. `found`: there
    was something of the newest attempt.
    """

    def __init__(self, client: "Client", place: str, job_id: str) -> None:
        self._client = client
        self._folder = logs_of(place)
        self._job_id = job_id
        self._attempt = 1
        self._reader = self._open()
        self.found = False

    @property
    def here(self) -> bool:
        """Whether the log of the attempt that is read now is on this host."""
        return self._reader.there

    def read(self, newest: int) -> Iterator[Chunk]:
        """Give what has been written since, up to and with the attempt of this number."""
        while self._attempt <= newest:
            for chunk in self._read_on():
                self.found = True
                yield chunk
            if self._attempt == newest:
                return
            self._attempt += 1
            self._reader = self._open()
            self.found = False

    def _read_on(self) -> Iterator[Chunk]:
        if self.here:
            yield from self._reader.chunks(self._job_id, self._attempt)
            return
        for chunk in self._client.published(self._job_id):
            fresh = chunk.after(self._reader.at) if chunk.attempt == self._attempt else None
            if fresh is not None:
                self._reader.at = fresh.end
                yield fresh

    def _open(self) -> LogReader:
        return LogReader(log_path(self._folder, self._job_id, self._attempt))


def output(client: "Client", place: str, job: "Job") -> Iterator[Chunk]:
    """Give what a job has written so far, all attempts in order."""
    logs = Logs(client, place, job.id)
    yield from logs.read(job.attempt)
    if not logs.found:
        yield from _tail(client, job)


def follow(
    client: "Client",
    place: str,
    job_id: str,
    write: Callable[[Chunk], object],
    *,
    clock: Clock,
    timeout: Duration | None = None,
) -> "Job":
    """Write a job's output as it comes, and give the job once it has settled.

    Raises JobNotSettled when that takes longer than `timeout` (ms); the job goes on.
    """
    logs = Logs(client, place, job_id)
    bell = Bell(clock)
    ask_at = 0
    until = None if timeout is None else clock.monotonic() + timeout
    while True:
        job = client.job(job_id)  # before the log: what a settled job wrote is all there
        for chunk in logs.read(job.attempt):
            write(chunk)
        if job.state in SETTLED:
            break
        if job.state == "running" and not logs.here and clock.monotonic() >= ask_at:
            with suppress(StoreFull, StoreReadonly):  # then there is the tail, at the end
                client.follow(job_id)
            ask_at = clock.monotonic() + ASK
        left = LOOK if until is None else min(LOOK, until - clock.monotonic())
        if left <= 0:
            raise _not_settled(job, timeout)
        bell.wait(bell.rings, left)
    if not logs.found:
        for chunk in _tail(client, job):
            write(chunk)
    return job


def _tail(client: "Client", job: "Job") -> Iterator[Chunk]:
    tail, _ = client.output(job.id)
    if tail:
        yield Chunk(job_id=job.id, attempt=job.attempt, at=0, data=tail)


def _not_settled(job: "Job", timeout: Duration | None) -> JobNotSettled:
    waited = format_duration(timeout or 0)
    return JobNotSettled(
        f"{job.id} is {job.state}: it has not ended within {waited}",
        hint=f"it goes on; 'synccron logs -f {job.id}' follows it",
    )
