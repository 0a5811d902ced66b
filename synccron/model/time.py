"""Instants and durations: integers in milliseconds inside, RFC 3339 and `1h30m` outside."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

Instant: TypeAlias = int  # ms since the epoch, UTC
Duration: TypeAlias = int  # ms

SECOND: Duration = 1_000
MINUTE: Duration = 60 * SECOND
HOUR: Duration = 60 * MINUTE
DAY: Duration = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Instant = -(_EPOCH - datetime.min.replace(tzinfo=UTC)) // timedelta(milliseconds=1)
_LAST: Instant = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1}
_DURATION = re.compile(
    r"(?:(?P<d>\d{1,9})d)?(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m(?!s))?(?:(?P<s>\d{1,9})s)?(?:(?P<ms>\d{1,9})ms)?",
    re.ASCII,
)
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,3})?", re.ASCII)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def parse_duration(text: str) -> Duration:
    """Read `250ms`, `90s`, `1h30m`, `7d` or a plain number of seconds, in ms.

    Raises ValueError with one line that shows the forms.
    """
    if _SECONDS.fullmatch(text):
        return round(float(text) * SECOND)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration: write 250ms, 90s, 1h30m, 7d or seconds")
    return sum(int(n) * _UNITS[unit] for unit, n in found.groupdict().items() if n is not None)


def format_duration(duration: Duration) -> str:
    """Write a duration so that `parse_duration` reads it back: `1h30m`, `250ms`, `0s`."""
    parts: list[str] = []
    rest = duration
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_instant(text: str) -> Instant:
    """Read RFC 3339 with an offset or `Z`, in ms since the epoch (cut, not rounded).

    Raises ValueError with one line that shows the form.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is no instant: write it as 2026-11-23T22:00:00Z")
    try:
        return to_instant(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no instant: {error}") from error


def format_instant(instant: Instant) -> str:
    """Write RFC 3339 UTC with `Z`; milliseconds only where they are not zero."""
    seconds, ms = divmod(instant, SECOND)
    return f"{_second_name(seconds)}.{ms:03d}Z" if ms else f"{_second_name(seconds)}Z"


@lru_cache(maxsize=256)
def _second_name(seconds: int) -> str:
    """Write a second, of which much is told while it lasts."""
    return f"{to_datetime(seconds * SECOND):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=4096)
def slot_name(slot: Instant) -> str:
    """Write a slot as keys do: `20261123T220000Z`. A slot is of many schedules."""
    return f"{to_datetime(slot):%Y%m%dT%H%M%SZ}"


def parse_slot_name(name: str) -> Instant | None:
    """Read a slot as keys have it; None: it is none."""
    try:
        return to_instant(datetime.strptime(name, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    except ValueError:
        return None


def to_datetime(instant: Instant) -> datetime:
    """Turn ms since the epoch into an aware datetime in UTC.

    One that no calendar has, which stands in damaged records alone, is the nearest that it has.
    """
    return _EPOCH + timedelta(milliseconds=max(_FIRST, min(instant, _LAST)))


def to_instant(moment: datetime) -> Instant:
    """Turn an aware datetime into ms since the epoch. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: give an aware datetime")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_duration(value: timedelta | str | float) -> Duration:
    """Turn a timedelta, a text as in schedule files, or seconds into ms. Raises ValueError."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, str):
        return parse_duration(value)
    return round(value * SECOND)
