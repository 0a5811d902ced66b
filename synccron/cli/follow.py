"""The output of jobs: from the log files of this host, else the tail that the store keeps.

A log is read as it grows; what has been read is not read again.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from synccron.clock import Bell, Clock
from synccron.errors import JobNotSettled
from synccron.handlers.log import LogReader
from synccron.model.job import SETTLED
from synccron.model.piece import Piece, Time, times_of
from synccron.model.time import Duration, format_duration
from synccron.store import logs_of
from synccron.store.logs import log_path

if TYPE_CHECKING:
    from synccron.client import Client, Job

LOOK = 100  # ms between two looks at a log that grows


class Logs:
    """The logs of one job's attempts, read on from where the last read ended."""

    def __init__(self, place: str, job_id: str) -> None:
        self._folder = logs_of(place)
        self._job_id = job_id
        self._attempt = 1
        self._reader = self._open()
        self.found = False

    def read(self, newest: int) -> Iterator[Piece]:
        """Give what has been written since, up to and with the attempt of this number."""
        while self._attempt <= newest:
            yield from self._read_on()
            if self._attempt == newest:
                return
            self._attempt += 1
            self._reader = self._open()

    def _read_on(self) -> Iterator[Piece]:
        times: list[Time] = []
        for at, data in self._reader.read():
            self.found = True
            if not times or times[-1][0] < at + len(data):  # there may be more by now
                times = self._reader.times()
            yield Piece(
                job_id=self._job_id,
                attempt=self._attempt,
                at=at,
                data=data,
                times=times_of(times, at, at + len(data)),
            )

    def _open(self) -> LogReader:
        return LogReader(log_path(self._folder, self._job_id, self._attempt))


def output(client: "Client", place: str, job: "Job") -> Iterator[Piece]:
    """Give what a job has written so far, all attempts in order."""
    logs = Logs(place, job.id)
    yield from logs.read(job.attempt)
    if not logs.found:
        yield from _tail(client, job)


def follow(
    client: "Client",
    place: str,
    job_id: str,
    write: Callable[[Piece], object],
    *,
    clock: Clock,
    timeout: Duration | None = None,
) -> "Job":
    """Write a job's output as it comes, and give the job once it has settled.

    Raises JobNotSettled when that takes longer than `timeout` (ms); the job goes on.
    """
    logs = Logs(place, job_id)
    bell = Bell(clock)
    until = None if timeout is None else clock.monotonic() + timeout
    while True:
        job = client.job(job_id)  # before the log: what a settled job wrote is all there
        for piece in logs.read(job.attempt):
            write(piece)
        if job.state in SETTLED:
            break
        left = LOOK if until is None else min(LOOK, until - clock.monotonic())
        if left <= 0:
            raise _not_settled(job, timeout)
        bell.wait(bell.rings, left)
    if not logs.found:
        for piece in _tail(client, job):
            write(piece)
    return job


def _tail(client: "Client", job: "Job") -> Iterator[Piece]:
    tail, _ = client.output(job.id)
    if tail:
        yield Piece(job_id=job.id, attempt=job.attempt, at=0, data=tail)


def _not_settled(job: "Job", timeout: Duration | None) -> JobNotSettled:
    waited = format_duration(timeout or 0)
    return JobNotSettled(
        f"{job.id} is {job.state}: it has not ended within {waited}",
        hint=f"it goes on; 'synccron logs -f {job.id}' follows it",
    )
