"""Matching readings of a wall clock: pure calendar arithmetic, without zones.

A reading is the number of seconds from 1970-01-01 00:00:00 on that clock.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_YEAR = 9998
_LEAP_CYCLE = 400  # years after which the calendar repeats, weekdays too


@dataclass(frozen=True, slots=True)
class Days:
    """Which days match: days of the month (0: the last), months, weekdays (Sunday is 0).

    `nth` are pairs of weekday and which of the month (0: the last). `both`: day of month and
    weekday must match; otherwise either.
    """

    days: frozenset[int]
    months: tuple[int, ...]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    both: bool

    def of_month(self, length: int, first: int) -> tuple[int, ...]:
        """Give the matching days of a month of this length whose first is this weekday."""
        return tuple(day for day in range(1, length + 1) if self._matches(day, length, first))

    def _matches(self, day: int, length: int, first: int) -> bool:
        weekday = (first + day - 1) % 7
        by_date = day in self.days or (day == length and 0 in self.days)
        last = day + 7 > length
        by_weekday = (
            weekday in self.weekdays
            or (weekday, (day - 1) // 7 + 1) in self.nth
            or (last and (weekday, 0) in self.nth)
        )
        return by_date and by_weekday if self.both else by_date or by_weekday


class Wall:
    """The readings of one expression. What it caches is derived, so threads may race."""

    def __init__(
        self,
        seconds: tuple[int, ...],
        minutes: tuple[int, ...],
        hours: tuple[int, ...],
        days: Days,
    ) -> None:
        self._seconds, self._minutes, self._hours = seconds, minutes, hours
        self._first = hours[0] * 3600 + minutes[0] * 60 + seconds[0]
        self._last = hours[-1] * 3600 + minutes[-1] * 60 + seconds[-1]
        self._per_day = len(hours) * len(minutes) * len(seconds)
        self._next_second = _successors(seconds, 60)
        self._next_minute = _successors(minutes, 60)
        self._next_hour = _successors(hours, 24)
        self._months = days.months
        self._kinds = _kinds(days)
        self._month_days: dict[int, tuple[int, ...]] = {}
        self._before_year: list[int] = [0]

    def never(self) -> bool:
        """Tell whether no date of the 400 years after which the calendar repeats matches."""
        return not any(
            self._of(month)
            for year in range(30, 30 + _LEAP_CYCLE)
            for month in range(12 * year, 12 * year + 12)
            if month % 12 + 1 in self._months
        )

    def next(self, reading: int) -> int | None:
        """Give the first matching reading at or after this one; None: the calendar ends."""
        day, time = divmod(reading, DAY)
        if time <= self._last and self._day(day):
            return day * DAY + self._time_from(time)
        found = self._day_from(day + 1)
        return None if found is None else found * DAY + self._first

    def previous(self, reading: int) -> int | None:
        """Give the last matching reading at or before this one; None: before the year 1."""
        day, time = divmod(reading, DAY)
        if time >= self._first and self._day(day):
            return day * DAY + self._time_until(time)
        found = self._day_until(day - 1)
        return None if found is None else found * DAY + self._last

    def before(self, reading: int) -> int:
        """Count the matching readings from 1970 (or back to the year 1, negative) to before it."""
        day, time = divmod(reading, DAY)
        count = self._days_before(day) * self._per_day
        return count + (self._times_before(time) if self._day(day) else 0)

    def _time_from(self, time: int) -> int:
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        if self._next_hour[hour] == hour:
            if self._next_minute[minute] == minute:
                found = self._next_second[second]
                if found < 60:  # noqa: PLR2004
                    return hour * 3600 + minute * 60 + found
            found = self._next_minute[minute + 1]
            if found < 60:  # noqa: PLR2004
                return hour * 3600 + found * 60 + self._seconds[0]
        return self._next_hour[hour + 1] * 3600 + self._minutes[0] * 60 + self._seconds[0]

    def _time_until(self, time: int) -> int:
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        if self._next_hour[hour] == hour:
            if self._next_minute[minute] == minute and second >= self._seconds[0]:
                return hour * 3600 + minute * 60 + _last(self._seconds, second)
            if minute > self._minutes[0]:
                return hour * 3600 + _last(self._minutes, minute - 1) * 60 + self._seconds[-1]
        hour = _last(self._hours, hour - 1)
        return hour * 3600 + self._minutes[-1] * 60 + self._seconds[-1]

    def _times_before(self, time: int) -> int:
        hour, rest = divmod(time, 3600)
        minute, second = divmod(rest, 60)
        count = bisect_left(self._hours, hour) * len(self._minutes) * len(self._seconds)
        if self._next_hour[hour] == hour:
            count += bisect_left(self._minutes, minute) * len(self._seconds)
            if self._next_minute[minute] == minute:
                count += bisect_left(self._seconds, second)
        return count

    def _of(self, month: int) -> tuple[int, ...]:
        """Give the matching days of a month, counted from January 1970."""
        days = self._month_days.get(month)
        if days is None:
            year, index = divmod(month, 12)
            days = ()
            if index + 1 in self._months:
                start = date(1970 + year, index + 1, 1).toordinal()
                after = (
                    date(1970 + year, index + 2, 1) if index < 11 else date(1971 + year, 1, 1)  # noqa: PLR2004
                ).toordinal()
                days = self._kinds[after - start, start % 7]
            if len(self._month_days) > 10_000:  # noqa: PLR2004
                self._month_days = {}
            self._month_days[month] = days
        return days

    def _day(self, day: int) -> bool:
        moment = date.fromordinal(day + _EPOCH)
        return moment.day in self._of((moment.year - 1970) * 12 + moment.month - 1)

    def _day_from(self, day: int) -> int | None:
        moment = date.fromordinal(day + _EPOCH)
        month = (moment.year - 1970) * 12 + moment.month - 1
        days = self._of(month)
        found = bisect_left(days, moment.day)
        if found < len(days):
            return day + days[found] - moment.day
        for later in range(month + 1, (_LAST_YEAR - 1970) * 12):
            days = self._of(later)
            if days:
                return _ordinal(later, days[0])
        return None

    def _day_until(self, day: int) -> int | None:
        moment = date.fromordinal(day + _EPOCH)
        month = (moment.year - 1970) * 12 + moment.month - 1
        days = self._of(month)
        found = bisect_right(days, moment.day)
        if found:
            return day + days[found - 1] - moment.day
        for earlier in range(month - 1, -1969 * 12 - 1, -1):
            days = self._of(earlier)
            if days:
                return _ordinal(earlier, days[-1])
        return None

    def _days_before(self, day: int) -> int:
        moment = date.fromordinal(day + _EPOCH)
        year = moment.year - 1970
        month = year * 12 + moment.month - 1
        count = self._years_before(year)
        count += sum(len(self._of(before)) for before in range(year * 12, month))
        return count + bisect_left(self._of(month), moment.day)

    def _years_before(self, year: int) -> int:
        if year < 0:
            return -sum(len(self._of(month)) for month in range(year * 12, 0))
        sums = self._before_year
        if len(sums) <= year:
            sums = list(sums)
            while len(sums) <= year:
                first = (len(sums) - 1) * 12
                sums.append(sums[-1] + sum(len(self._of(m)) for m in range(first, first + 12)))
            self._before_year = sums
        return sums[year]


@lru_cache(maxsize=1024)  # of many expressions few have other days or minutes than the next
def _kinds(days: Days) -> Mapping[tuple[int, int], tuple[int, ...]]:
    """Give the matching days of each kind of month: four lengths, seven first weekdays."""
    return {
        (length, first): days.of_month(length, first)
        for length in (28, 29, 30, 31)
        for first in range(7)
    }


@lru_cache(maxsize=1024)
def _successors(values: tuple[int, ...], size: int) -> tuple[int, ...]:
    """For each number up to `size`, the first value at or after it; `size` where there is none."""
    return tuple(min((v for v in values if v >= n), default=size) for n in range(size + 1))


def _last(values: tuple[int, ...], number: int) -> int:
    return values[bisect_right(values, number) - 1]


def _ordinal(month: int, day: int) -> int:
    return date(1970 + month // 12, month % 12 + 1, day).toordinal() - _EPOCH
