"""The cron dialect: what an expression may say, and the timetable that it means.

Five fields (minute, hour, day of month, month, day of week) or six with seconds first, macros, and
`@every`. The grammar is strict: whatever two cron programs read differently is refused, or decided
as docs/schedule-file.md says. croniter expands the plain fields; the walk over times is
`timetable.py`'s.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from synccron.model.timetable import FOREVER, Calendar, Every, Timetable
from synccron.model.wall import Days, Wall
from synccron.model.zone import ZoneError, load_zone

__all__ = ["FOREVER", "CronError", "Timetable", "parse", "timetable"]

LONGEST = 1024
LONGEST_PERIOD = 8784 * 3600

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_EVERY = re.compile(r"@every (?=[0-9])(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_ITEM = re.compile(r"(\*|([0-9A-Z]+)(?:-([0-9A-Z]+))?)(?:/([0-9]{1,9}))?")
_NTH = re.compile(r"([0-9A-Z]+)#([0-9]{1,2})")
_LAST = re.compile(r"([0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)L")
_HASHED = re.compile(r"H(?:\(([0-9]{1,2})-([0-9]{1,2})\)|/([0-9]{1,2}))?")


class CronError(ValueError):
    """The expression, or its zone, cannot be used."""


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0  # what the first name stands for
    hashed_high: int | None = None  # the highest that H picks, where not every month has more


_SECOND = _Field("second", 0, 59)
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, hashed_high=28),
    _Field("month", 1, 12, tuple(_MONTHS), 1),
    _Field("day of week", 0, 7, tuple(_WEEKDAYS), hashed_high=6),
)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression as read: the values of each field, or the period of `@every` in seconds.

    `days` has 0 for `L`; `nth` are pairs of weekday and which of the month (0: the last). `fixed`:
    neither minute nor hour begins with `*`. `fields` are the texts, seconds first.
    """

    fields: tuple[str, ...]
    seconds: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()
    nth: tuple[tuple[int, int], ...] = ()
    period: int | None = None

    @property
    def fixed(self) -> bool:
        """Whether it is a fixed-time job, as opposed to a wildcard job."""
        return not (self.fields[1].startswith("*") or self.fields[2].startswith("*"))

    @property
    def both_days(self) -> bool:
        """Whether day of month and day of week must both match (Debian's rule)."""
        return self.fields[3].startswith("*") or self.fields[5].startswith("*")


def timetable(cron: str, tz: str = "UTC", id: str = "") -> Timetable:  # noqa: A002 - a schedule's id
    """Give the slots of an expression in a zone; `id` is what `H` hashes.

    Raises CronError for an expression that cannot be read or never fires, or an unknown zone.
    """
    # Without an H somewhere, schedules of one expression share what was made of it.
    return _timetable(cron, tz, id if "H" in cron or "h" in cron else "")


@lru_cache(maxsize=4096)
def _timetable(cron: str, tz: str, id: str) -> Timetable:  # noqa: A002 - a schedule's id
    try:
        zone = load_zone(tz)
    except ZoneError as error:
        raise CronError(str(error)) from error
    expression = parse(cron, id)
    if expression.period is not None:
        return Every(expression.period)
    return Calendar(_wall(expression), zone, fixed=expression.fixed)


@lru_cache(maxsize=4096)
def parse(cron: str, id: str = "") -> Expression:  # noqa: A002 - a schedule's id
    """Read an expression. Raises CronError: which field, what was expected, what came."""
    if len(cron) > LONGEST:
        raise CronError(f"the expression has {len(cron)} characters, expected at most {LONGEST}")
    strange = next((c for c in cron if not (c in " \t" or "!" <= c <= "~")), None)
    if strange is not None:
        raise CronError(f"unexpected character {strange!a}: expected plain ASCII in one line")
    if cron.startswith("@"):
        if cron.startswith("@every"):
            return Expression(fields=(cron,) * 6, period=_period(cron))
        return _fields(_macro(cron), id)
    return _fields(cron, id)


def _macro(cron: str) -> str:
    known = cron.rstrip(" \t")
    if known == "@reboot":
        raise CronError("@reboot has no instant: start such work from a systemd unit instead")
    if known not in _MACROS:
        lower = f" (did you mean {known.lower()!r}?)" if known.lower() in _MACROS else ""
        raise CronError(f"unknown macro {known!a}{lower}: expected {', '.join(_MACROS)} or @every")
    return _MACROS[known]


def _period(cron: str) -> int:
    found = _EVERY.fullmatch(cron)
    if found is None:
        raise CronError(f"{cron!a} is no period: write @every 90s, @every 1h30m, @every 24h")
    hours, minutes, seconds = (int(n or 0) for n in found.groups())
    period = hours * 3600 + minutes * 60 + seconds
    if not 1 <= period <= LONGEST_PERIOD:
        raise CronError(f"{cron!a} is out of bounds: expected 1s to 8784h")
    return period


def _fields(cron: str, schedule_id: str) -> Expression:
    texts = re.split(r"[ \t]+", cron.strip(" \t").upper())
    if len(texts) not in (5, 6) or texts == [""]:
        given = len(texts) if texts != [""] else 0
        raise CronError(f"expected 5 fields, or 6 with seconds first, got {given}: {cron!a}")
    with_seconds = texts if len(texts) == 6 else ["0", *texts]  # noqa: PLR2004
    plain: list[str] = []
    nth: list[tuple[int, int]] = []
    last_day = False
    for field, text in zip((_SECOND, *_FIELDS), with_seconds, strict=True):
        items = []
        for item in text.split(","):
            if field.name == "day of month" and item == "L":
                last_day = True
            elif field.name == "day of week" and (found := _special(field, item)) is not None:
                nth.append(found)
            else:
                items.append(_item(field, item, schedule_id))
        plain.append(",".join(items))
    values = _expand(plain)
    expression = Expression(
        fields=tuple(with_seconds),
        seconds=values[0],
        minutes=values[1],
        hours=values[2],
        days=(0, *values[3]) if last_day else values[3],
        months=values[4],
        weekdays=tuple(sorted({day % 7 for day in values[5]})),
        nth=tuple(nth),
    )
    if _wall(expression).never():
        raise CronError(f"{cron!a} never fires: no date of the 400-year calendar matches")
    return expression


def _special(field: _Field, item: str) -> tuple[int, int] | None:
    """Read `1#2`, `MON#2` or `5L`: a weekday, and which of the month (0: the last)."""
    if (last := _LAST.fullmatch(item)) is not None:
        return _number(field, last[1]) % 7, 0
    if "#" not in item:
        return None
    found = _NTH.fullmatch(item)
    if found is None or not 1 <= int(found[2]) <= 5:  # noqa: PLR2004
        raise CronError(f"{field.name} {item!a}: expected a weekday and 1 to 5, as in MON#2")
    return _number(field, found[1]) % 7, int(found[2])


def _item(field: _Field, item: str, schedule_id: str) -> str:
    """Check one item of a list, and give it in plain numbers."""
    if item.startswith("H"):
        return _hashed(field, item, schedule_id)
    found = _ITEM.fullmatch(item)
    if found is None:
        raise CronError(f"{field.name} {item!a}: {_expected(field)}")
    whole, start, end, step = found.groups()
    if whole == "*":
        low, high = field.low, min(field.high, 6) if field.names == tuple(_WEEKDAYS) else field.high
    else:
        low = _number(field, start)
        high = low if end is None else _number(field, end)
        if step is not None and end is None:
            raise CronError(
                f"{field.name} {item!a}: a step needs a range, write {low}-{field.high}/{step}"
            )
        if high < low:
            raise CronError(f"{field.name} {item!a}: the range runs backwards, write it as a list")
    if step is not None:
        _check_step(field, item, int(step))
    return f"{low}-{high}/{step or 1}" if high > low else str(low)


def _check_step(field: _Field, item: str, step: int) -> None:
    longest = field.high - field.low + 1
    if not 1 <= step <= longest:
        raise CronError(f"{field.name} {item!a}: expected a step of 1 to {longest}")


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    if not text.isdigit() or len(text) > 2 or not field.low <= int(text) <= field.high:  # noqa: PLR2004
        raise CronError(f"{field.name} {text!a}: {_expected(field)}")
    return int(text)


def _expected(field: _Field) -> str:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    return f"expected *, a number {field.low} to {field.high}{names}, a range, or a step"


def _hashed(field: _Field, item: str, schedule_id: str) -> str:
    """Pick a value by a stable hash of the schedule's id: sha256 of id and field."""
    found = _HASHED.fullmatch(item)
    if found is None:
        raise CronError(f"{field.name} {item!a}: expected H, H({field.low}-{field.high}) or H/n")
    if not schedule_id:
        raise CronError(f"{field.name} {item!a}: H is picked by a schedule's id, and there is none")
    digest = hashlib.sha256(f"{schedule_id}\0{field.name}".encode()).digest()
    luck = int.from_bytes(digest[:8], "big")
    top = field.high if field.hashed_high is None else field.hashed_high
    low, high = field.low, top
    if found[1] is not None:
        low, high = _number(field, found[1]), _number(field, found[2])
        if high < low:
            raise CronError(f"{field.name} {item!a}: the range runs backwards")
    if found[3] is not None:
        step = int(found[3])
        _check_step(field, item, step)
        return f"{low + luck % min(step, high - low + 1)}-{top}/{step}"
    return str(low + luck % (high - low + 1))


def _expand(plain: list[str]) -> list[tuple[int, ...]]:
    """Expand checked numeric fields, seconds first, into sorted values."""
    return [_values(place, text) if text else () for place, text in enumerate(plain)]


@lru_cache(maxsize=4096)
def _values(place: int, text: str) -> tuple[int, ...]:
    """Expand one checked field. A million expressions have few fields that differ."""
    from croniter import croniter

    field = (_SECOND, *_FIELDS)[place]
    texts = ["*"] * 6
    texts[place] = text
    expanded, _ = croniter.expand(" ".join(texts), second_at_beginning=True)
    numbers = expanded[place - 1]  # croniter gives the seconds last, and `*` for a whole field
    whole = range(field.low, field.high + 1)
    return tuple(whole if numbers == ["*"] else sorted(int(number) for number in numbers))


@lru_cache(maxsize=4096)
def _wall(expression: Expression) -> Wall:
    return Wall(
        expression.seconds,
        expression.minutes,
        expression.hours,
        Days(
            days=frozenset(expression.days),
            months=expression.months,
            weekdays=frozenset(expression.weekdays),
            nth=frozenset(expression.nth),
            both=expression.both_days,
        ),
    )
