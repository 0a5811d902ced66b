"""An expression in plain English: short, and true for every expression that can be read."""

from synccron.model.cron import Expression, parse
from synccron.model.time import SECOND, format_duration

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NTH = ("last", "first", "second", "third", "fourth", "fifth")
_TIMES = 6  # times of day that are listed one by one


def words(cron: str, id: str = "") -> str:  # noqa: A002 - a schedule's id
    """Say when an expression fires. Raises CronError for one that cannot be read.

    Without an id, what `H` picks is named as such.
    """
    hashed = not id and not cron.startswith("@") and "H" in cron.upper().replace("THU", "")
    expression = parse(cron, id or "any")
    if expression.period is not None:
        return f"every {format_duration(expression.period * SECOND)}"
    said = " ".join(part for part in (_time(expression), *_date(expression)) if part)
    return f"{said}, where H picks by the schedule's id" if hashed else said


def _time(each: Expression) -> str:
    seconds, minutes, hours = each.seconds, each.minutes, each.hours
    if len(seconds) * len(minutes) * len(hours) <= _TIMES:
        return f"at {_and([_clock(h, m, s) for h in hours for m in minutes for s in seconds])}"
    parts = []
    if seconds != (0,):
        parts.append(_every(seconds, 60, "second"))
    if len(minutes) < 60 or not parts:  # noqa: PLR2004
        parts.append(_every(minutes, 60, "minute"))
    if len(hours) < 24:  # noqa: PLR2004
        parts.append(_hours(hours))
    elif len(minutes) == 1:
        parts.append("of every hour")
    return " ".join(parts)


def _every(values: tuple[int, ...], size: int, unit: str) -> str:
    if len(values) == size:
        return f"every {unit}"
    step = values[1] - values[0] if len(values) > 1 else size
    if len(values) > 1 and values == tuple(range(0, size, step)) and size % step == 0:
        return f"every {step} {unit}s"
    return f"at {unit}{'s' if len(values) > 1 else ''} {_and(_spans(values))}"


def _hours(hours: tuple[int, ...]) -> str:
    step = hours[1] - hours[0] if len(hours) > 1 else 24
    if step > 1 and hours == tuple(range(0, 24, step)) and 24 % step == 0:
        return f"of every {_NTH[step] if step < len(_NTH) else f'{step}th'} hour"
    if hours == tuple(range(hours[0], hours[-1] + 1)):
        return f"from {hours[0]:02d}:00 to {hours[-1]:02d}:59"
    return f"in the hours {_and(_spans(hours))}"


def _date(each: Expression) -> list[str]:
    dates = [day for day in each.days if day]
    all_dates = len(dates) == 31  # noqa: PLR2004
    all_weekdays = len(each.weekdays) == 7  # noqa: PLR2004
    by_date = "" if all_dates else _dates(dates, last=0 in each.days)
    by_weekday = "" if all_weekdays else _weekdays(each)
    parts = []
    if each.both_days:
        parts += [part for part in (by_date, f"if {by_weekday}" if by_date else by_weekday) if part]
        parts = [part for part in parts if part != "if "]
    elif all_dates or all_weekdays:
        parts = []
    else:
        parts.append(f"{by_date} or {by_weekday}")
    months = "" if len(each.months) == 12 else f"in {_and([_MONTHS[m - 1] for m in each.months])}"  # noqa: PLR2004
    if not parts and each.fixed:
        parts.append("every day")
    return [*parts, months]


def _dates(dates: list[int], *, last: bool) -> str:
    named = [f"the {span}" for span in _spans(tuple(dates))]
    return f"on {_and([*named, *(['the last day of the month'] if last else [])])}"


def _weekdays(each: Expression) -> str:
    if each.weekdays == (1, 2, 3, 4, 5) and not each.nth:
        return "from Monday to Friday"
    named = [_WEEKDAYS[day] for day in each.weekdays]
    named += [f"the {_NTH[number]} {_WEEKDAYS[day]}" for day, number in each.nth]
    return f"on {_and(named)}"


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if second else "")


def _spans(values: tuple[int, ...]) -> list[str]:
    """Join neighbours: 1, 2, 3, 7 is `1-3` and `7`."""
    spans: list[list[int]] = []
    for value in values:
        if spans and value == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], value]
        else:
            spans.append([value, value])
    return [str(a) if a == b else f"{a}-{b}" for a, b in spans]


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
