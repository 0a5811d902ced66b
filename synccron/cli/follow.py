"""The output of jobs: from the log files of this host, else the tail that the store keeps.

A file is read as it grows; what has been read is not read again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synccron.clock import Bell, Clock
from synccron.errors import JobNotSettled
from synccron.model.job import SETTLED
from synccron.model.time import Duration, format_duration
from synccron.store import logs_of
from synccron.store.logs import log_path

if TYPE_CHECKING:
    from synccron.client import Client, Job

LOOK = 100  # ms between two looks at a file that grows
_PIECE = 1 << 16

Chunk = tuple[int, bytes]  # the attempt, and the next piece of what it wrote


class Logs:
    """The log files of one job's attempts, read on from where the last read ended."""

    def __init__(self, place: str, job_id: str) -> None:
        self._folder: Path = logs_of(place)
        self._job_id = job_id
        self._attempt = 1
        self._offset = 0
        self.found = False

    def read(self, newest: int) -> Iterator[Chunk]:
        """Give what has been written since, up to and with the attempt of this number."""
        while self._attempt <= newest:
            yield from self._read_file()
            if self._attempt == newest:
                return
            self._attempt += 1
            self._offset = 0

    def _read_file(self) -> Iterator[Chunk]:
        try:
            with log_path(self._folder, self._job_id, self._attempt).open("rb") as file:
                self.found = True
                file.seek(self._offset)
                while piece := file.read(_PIECE):
                    self._offset += len(piece)
                    yield self._attempt, piece
        except FileNotFoundError:  # not written yet, or on another host
            return


def output(client: "Client", place: str, job: "Job") -> Iterator[Chunk]:
    """Give what a job has written so far, all attempts in order."""
    logs = Logs(place, job.id)
    yield from logs.read(job.attempt)
    if not logs.found:
        yield from _tail(client, job)


def follow(
    client: "Client",
    place: str,
    job_id: str,
    write: Callable[[int, bytes], object],
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
        job = client.job(job_id)  # before the file: what a settled job wrote is all there
        for attempt, piece in logs.read(job.attempt):
            write(attempt, piece)
        if job.state in SETTLED:
            break
        left = LOOK if until is None else min(LOOK, until - clock.monotonic())
        if left <= 0:
            raise _not_settled(job, timeout)
        bell.wait(bell.rings, left)
    if not logs.found:
        for attempt, piece in _tail(client, job):
            write(attempt, piece)
    return job


def _tail(client: "Client", job: "Job") -> Iterator[Chunk]:
    tail, _ = client.output(job.id)
    if tail:
        yield job.attempt, tail


def _not_settled(job: "Job", timeout: Duration | None) -> JobNotSettled:
    waited = format_duration(timeout or 0)
    return JobNotSettled(
        f"{job.id} is {job.state}: it has not ended within {waited}",
        hint=f"it goes on; 'synccron logs -f {job.id}' follows it",
    )
