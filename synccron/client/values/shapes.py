"""How instants, durations and values are written as JSON, and made of the store's numbers."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from synccron.model.time import (
    Duration,
    Instant,
    format_instant,
    to_datetime,
    to_duration,
    to_instant,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = Any  # what json.loads gives
DurationLike = timedelta | str | float
_DURATIONS = frozenset({"lateness", "duration"})


def shape_of(value: "DataclassInstance") -> dict[str, Json]:
    """Write a value's fields in their order: instants as text, durations in ms under `…_ms`."""
    shape: dict[str, Json] = {}
    for each in fields(value):
        given = getattr(value, each.name)
        if each.name in _DURATIONS:
            shape[f"{each.name}_ms"] = None if given is None else ms(given)
        elif isinstance(given, datetime):
            shape[each.name] = text(given)
        elif isinstance(given, tuple):
            shape[each.name] = list(given)
        else:
            shape[each.name] = given
    return shape


_LONGEST: Duration = timedelta.max // timedelta(milliseconds=1)
_SHORTEST: Duration = -(-timedelta.min // timedelta(milliseconds=1))


def moment(instant: Instant | None) -> datetime | None:
    """Give an instant of the store's as a datetime in UTC."""
    return None if instant is None else to_datetime(instant)


def delta(duration: Duration) -> timedelta:
    """Give a duration of the store's; one that is longer than any, of a damaged record, is cut."""
    return timedelta(milliseconds=max(_SHORTEST, min(duration, _LONGEST)))


def delta_or_none(duration: Duration | None) -> timedelta | None:
    """Give a duration of the store's, if there is one."""
    return None if duration is None else delta(duration)


def text(at: datetime | None) -> str | None:
    """Write a datetime as RFC 3339."""
    return None if at is None else format_instant(to_instant(at))


def ms(duration: DurationLike) -> int:
    """Write a duration, however it was given, in ms."""
    return to_duration(duration)
