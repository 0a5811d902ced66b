"""Time zones as values: stretches of constant offset, from the tzdata package and nothing else.

All nodes use the same rules, whatever their systems have. A zone's later stretches are worked out
when somebody asks for their years.
"""

import difflib
import struct
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from io import BytesIO
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

_BEGINNING = -(1 << 40)  # seconds; long before any rule
END = 253_370_764_800  # 9999-01-01T00:00:00Z: datetime ends soon after
_WEEK = 7 * 86_400
_HEADER = struct.Struct(">4sc15x6l")
_REFUSED = frozenset({"localtime", "posixrules", "Factory"})


class ZoneError(ValueError):
    """There is no such time zone."""


class Segment(NamedTuple):
    """A stretch of one UTC offset; all in seconds.

    From `start` to before `end` (UTC) the wall clock reads UTC plus `offset`. `read` is where the
    readings of all earlier stretches end: a reading before it has been seen, one between it and
    the first reading here was skipped.
    """

    start: int
    end: int
    offset: int
    read: int


class Zone:
    """One zone's stretches. They only grow at the end, by whole new lists: threads may race."""

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._rules = ZoneInfo.from_file(BytesIO(content), key=name)
        times, footer = _explicit(content)
        # A footer without a comma has no rule for summer time: nothing changes any more.
        self._changes = "," in footer
        self._times = times
        self._until = END if not self._changes else max([*times, 0]) + 1
        self._build()

    def index(self, second: int) -> int:
        """Find the stretch that an instant (UTC, in seconds) falls into."""
        if second >= self._until - _WEEK:
            self._extend(second)
        return bisect_right(self._starts, second) - 1

    def segment(self, index: int) -> Segment:
        """Give a stretch by its index; one past the last known is worked out."""
        while index >= len(self._segments) - 1 and self._until < END:
            self._extend(self._until)
        return self._segments[index]

    def __len__(self) -> int:
        """How many stretches are known now."""
        return len(self._segments)

    def _extend(self, second: int) -> None:
        until = min(END, second + 20 * 366 * 86_400)
        found = _sampled(self._rules, self._until, until)
        self._times = sorted({*self._times, *found})
        self._until = until
        self._build()

    def _build(self) -> None:
        starts, offsets = [_BEGINNING], [_offset(self._rules, min([*self._times, 0]) - 1)]
        for time in self._times:
            offset = _offset(self._rules, time)
            if offset != offsets[-1]:
                starts.append(time)
                offsets.append(offset)
        segments, read = [], _BEGINNING
        for (start, end), offset in zip(pairwise([*starts, END + _WEEK]), offsets, strict=True):
            segments.append(Segment(start, end, offset, read))
            read = max(read, end + offset)
        self._segments, self._starts = segments, starts


@lru_cache(maxsize=1024)
def load_zone(name: str) -> Zone:
    """Load a zone by its exact IANA name, as the tzdata package lists it.

    Raises ZoneError with what might have been meant.
    """
    if name not in zone_names():
        close = difflib.get_close_matches(name, sorted(zone_names()), 1, 0.7)
        lower = [known for known in zone_names() if known.lower() == name.lower()]
        meant = f" (did you mean {(lower or close)[0]!r}?)" if lower or close else ""
        raise ZoneError(f"unknown time zone {name!r}{meant}: expected an IANA name")
    entry = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    return Zone(name, entry.read_bytes())


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Give the names that may be used."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(listed) - _REFUSED


def _explicit(content: bytes) -> tuple[list[int], str]:
    """Read the times of change and the footer of a TZif file (RFC 8536, version 2 and later)."""
    first = _HEADER.unpack_from(content)
    position = _HEADER.size + _length(first[2:], 4)
    counts = _HEADER.unpack_from(content, position)[2:]
    position += _HEADER.size
    times = struct.unpack_from(f">{counts[3]}q", content, position)
    footer = content[position + _length(counts, 8) :].decode("ascii")
    return list(times), footer


def _length(counts: tuple[int, ...], width: int) -> int:
    isut, isstd, leap, times, types, chars = counts
    return times * (width + 1) + types * 6 + chars + leap * (width + 4) + isstd + isut


def _sampled(rules: ZoneInfo, first: int, last: int) -> Iterator[int]:
    """Find changes of the offset by looking each week: no rule of a footer changes twice in one."""
    for week in range(first, last, _WEEK):
        start, end = week, min(week + _WEEK, last)
        before = _offset(rules, start)
        if before == _offset(rules, end):
            continue
        while end - start > 1:
            middle = (start + end) // 2
            if _offset(rules, middle) == before:
                start = middle
            else:
                end = middle
        yield end


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _offset(rules: ZoneInfo, second: int) -> int:
    moment = _EPOCH + timedelta(seconds=max(second, -60_000_000_000))
    offset = moment.astimezone(rules).utcoffset()
    assert offset is not None  # noqa: S101 - ZoneInfo always has one
    return int(offset.total_seconds())
