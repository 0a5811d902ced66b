"""A chunk of what an attempt wrote, with what is known of when its bytes came."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synccron.model.time import Instant

Time = tuple[int, Instant]  # from this place on, what came at this instant or after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some bytes in a row of what an attempt of a job wrote; `at` is the place of the first.

    `times` are in order of their places; the first may be before `at`.
    """

    job_id: str
    attempt: int
    at: int
    data: bytes
    times: tuple[Time, ...] = ()

    @property
    def end(self) -> int:
        """The place after the last byte."""
        return self.at + len(self.data)

    def moments(self) -> Iterator[tuple[Instant | None, bytes]]:
        """Give its bytes in runs of one time; None: it is not known."""
        within = [place for place, _ in self.times if self.at < place < self.end]
        for start, end in zip([self.at, *within], [*within, self.end], strict=True):
            yield time_at(self.times, start), self.data[start - self.at : end - self.at]

    def after(self, place: int) -> "Chunk | None":
        """Give what of it comes from a place on; None: nothing does."""
        if place <= self.at:
            return self
        if place >= self.end:
            return None
        return Chunk(
            job_id=self.job_id,
            attempt=self.attempt,
            at=place,
            data=self.data[place - self.at :],
            times=self.times,
        )


def time_at(times: Sequence[Time], place: int) -> Instant | None:
    """Tell when the byte at a place came, as far as that is known."""
    found = bisect_right(times, place, key=lambda time: time[0])
    return times[found - 1][1] if found else None


def times_of(times: Sequence[Time], start: int, end: int) -> tuple[Time, ...]:
    """Choose the times that the bytes from `start` to `end` have."""
    first = max(0, bisect_right(times, start, key=lambda time: time[0]) - 1)
    last = bisect_right(times, end - 1, key=lambda time: time[0])
    return tuple(times[first:last])
