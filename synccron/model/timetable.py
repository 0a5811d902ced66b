"""The slots of an expression in a zone: the next, the newest, how many.

A wildcard job fires at every instant whose reading matches. A fixed-time job fires at the first
instant of each matching reading, and once right after a gap that skipped one. So in a stretch of
constant offset the slots are the matching readings, less (fixed) those that were read before, plus
(fixed) one at its first instant when the gap before it skipped a match.

The rule is Debian cron's for changes of up to three hours, made exact for any change; peers get it
wrong in one way or another (see the tests' vectors).
"""

from typing import Protocol

from synccron.model.time import Instant
from synccron.model.wall import Wall
from synccron.model.zone import END, Segment, Zone

FOREVER: Instant = END * 1000  # later than any slot
_NEAR = 2 * 86_400  # seconds: more than any two offsets differ by


class Timetable(Protocol):
    """The slots of one expression; instants in ms since the epoch."""

    def next(self, after: Instant) -> Instant:
        """Give the first slot strictly after an instant; FOREVER: the calendar ends before."""

    def previous(self, until: Instant) -> Instant | None:
        """Give the newest slot at or before an instant; None: there is none."""

    def count(self, after: Instant, until: Instant) -> int:
        """Count the slots strictly after one instant and up to another, without walking them."""

    def marks(self, slot: Instant) -> str | None:
        """Say in words how a change of the zone's offset touches a slot; None: it does not."""


class Every:
    """Every multiple of a period since the epoch."""

    def __init__(self, period: int) -> None:
        self._period = period * 1000

    def next(self, after: Instant) -> Instant:
        """Give the first multiple after an instant."""
        return (after // self._period + 1) * self._period

    def previous(self, until: Instant) -> Instant | None:
        """Give the newest multiple up to an instant."""
        return until // self._period * self._period

    def count(self, after: Instant, until: Instant) -> int:
        """Count the multiples after one instant and up to another."""
        return max(0, until // self._period - after // self._period)

    def marks(self, slot: Instant) -> str | None:  # noqa: ARG002 - a period knows no zone
        """Say nothing: the zone has no effect."""
        return None


class Calendar:
    """The slots of the matching readings of a zone's wall clock."""

    def __init__(self, wall: Wall, zone: Zone, *, fixed: bool) -> None:
        self._wall, self._zone, self._fixed = wall, zone, fixed

    def next(self, after: Instant) -> Instant:
        """Give the first slot after an instant; a stretch without a match is not walked."""
        second = after // 1000 + 1
        index = self._zone.index(second)
        while second < END:
            part = self._zone.segment(index)
            at_start = second <= part.start
            if at_start and self._leapt(part):
                return part.start * 1000
            lowest = max(second, part.start) + part.offset
            if self._fixed and lowest < part.read:
                lowest = part.read
            reading = self._wall.next(lowest)
            if reading is None:
                break
            if reading - part.offset < part.end:
                return (reading - part.offset) * 1000
            index += 1
            if at_start and reading - part.offset - _NEAR > part.end:
                index = max(index, self._zone.index(reading - part.offset - _NEAR))
            second = self._zone.segment(index).start
        return FOREVER

    def previous(self, until: Instant) -> Instant | None:
        """Give the newest slot up to an instant."""
        second = until // 1000
        index = self._zone.index(second)
        while index >= 0:
            part = self._zone.segment(index)
            at_end = second >= part.end - 1
            reading = self._wall.previous(min(second, part.end - 1) + part.offset)
            lowest = self._lowest(part)
            if reading is not None and reading >= lowest:
                return (reading - part.offset) * 1000
            if self._leapt(part):
                return part.start * 1000
            if reading is None or index == 0:
                break
            index -= 1
            if at_end and reading - part.offset + _NEAR < part.start:
                index = min(index, self._zone.index(reading - part.offset + _NEAR))
            second = self._zone.segment(index).end - 1
        return None

    def count(self, after: Instant, until: Instant) -> int:
        """Count the slots after one instant and up to another, stretch by stretch."""
        first, last = after // 1000 + 1, until // 1000
        if first > last:
            return 0
        count = 0
        for index in range(self._zone.index(first), self._zone.index(last) + 1):
            part = self._zone.segment(index)
            low = max(self._lowest(part), max(first, part.start) + part.offset)
            high = min(last + 1, part.end) + part.offset
            if high > low:
                count += self._wall.before(high) - self._wall.before(low)
            if first <= part.start <= last and self._leapt(part):
                start = part.start + part.offset
                count += self._wall.next(start) != start
        return count

    def marks(self, slot: Instant) -> str | None:
        """Say how a change of the offset touches a slot."""
        second = slot // 1000
        part = self._zone.segment(self._zone.index(second))
        if second == part.start and self._leapt(part):
            return "moved: its time does not exist that day"
        reading = second + part.offset
        if reading < part.read:
            return "second pass: this hour is repeated"
        following = self._zone.segment(self._zone.index(part.end))
        if following.start == part.end and reading >= part.end + following.offset:
            return "first pass: this hour is repeated" + (", it runs once" if self._fixed else "")
        return None

    def _lowest(self, part: Segment) -> int:
        start = part.start + part.offset
        return max(start, part.read) if self._fixed else start

    def _leapt(self, part: Segment) -> bool:
        """Tell whether the gap before a stretch skipped a match of a fixed-time job."""
        start = part.start + part.offset
        if not self._fixed or part.read >= start or part.read < -_FAR:
            return False
        reading = self._wall.next(part.read)
        return reading is not None and reading < start


_FAR = 1 << 39
