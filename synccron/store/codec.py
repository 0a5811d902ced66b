"""The model's values as JSON text, and back: what every store keeps of them.

A value is written with every field that its first released version had, so that a default that
changes later changes nothing that is stored; a field that came since is left out while it has its
default, so that a node of the version before can read it (`released.py`). Reading is exact: a field
that the model does not know is refused with StoreNewer, a type with StoreDamaged, and a field that
is absent must have a default. Which text lies where is each store's.
"""

import base64
import json
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.schedule import Definition, JsonText, Unreadable
from synccron.store.released import FIRST

T = TypeVar("T")
A = TypeVar("A")
Convert = Callable[[Any], Any]
_SCALARS = frozenset({str, int, bool, float, type(None)})
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_SHOWN = 40  # characters of a value that an error shows


class _Unreadable(ValueError):
    """A stored value is not of the type that the model has."""


class _Unknown(_Unreadable):
    """A stored record has a field that the model does not: a later version wrote it."""


def encode(value: object, **instead: int) -> JsonText:
    """Write a value as canonical JSON: sorted keys, no spaces, ASCII.

    `instead`: numbers that are written for fields of a record, whatever it has there.
    """
    plain = _plain(value)
    if instead:
        plain.update(instead)
    return _ENCODER.encode(plain)


def decode(kind: type[T], text: str | bytes) -> T:
    """Read a value of this type.

    Raises StoreDamaged, naming the type and what is wrong with it, and StoreNewer, naming the field
    that only a later version knows.
    """
    try:
        value: T = _reader(cast("Hashable", kind))(json.loads(text))
    except _Unknown as error:
        raise StoreNewer(
            f"a stored {_name(kind)} was written by a later version of synccron: {error}",
            hint="install the newer version here too",
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreDamaged(
            f"a stored {_name(kind)} cannot be read: {error}",
            hint="restore a copy of the store if its file is damaged",
        ) from error
    return value


def readable(make: Callable[[A], T], stored: Iterable[A]) -> Iterator[T]:
    """Make values of what is stored, and pass over what can't be read.

    For what nodes go by: one record that is damaged, or of a later version, must not hold up what
    has nothing to do with it. People who ask for it are told.
    """
    for each in stored:
        with suppress(StoreDamaged, StoreNewer):
            yield make(each)


def unreadable(schedule_id: str, error: StoreDamaged | StoreNewer) -> Unreadable:
    """Give what stands for a definition that could not be read."""
    newer = isinstance(error, StoreNewer)
    return Unreadable(id=schedule_id, cron="unreadable", why=error.message, newer=newer)


def refusal(definition: Unreadable) -> StoreDamaged | StoreNewer:
    """Give the error for who needs a definition that could not be read."""
    if definition.newer:
        return StoreNewer(definition.why, hint="install the newer version here too")
    return StoreDamaged(definition.why, hint="register the schedule again, or unregister it")


def definition_of(text: str | bytes, schedule_id: str) -> Definition:
    """Read a definition; one that can't be read is `Unreadable`, and says why."""
    try:
        return decode(Definition, text)
    except (StoreDamaged, StoreNewer) as error:
        return unreadable(schedule_id, error)


def _plain(value: object) -> Any:  # noqa: PLR0911 - one answer for each kind
    """Give the JSON value of a record, a container or a plain value."""
    if type(value) in _SCALARS:  # most values: asked first, as the other questions are dear
        return value
    if is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, Unreadable):  # what stands there may be of a later version
            raise refusal(value)
        fields_of, read = _fields(type(value))
        return {
            name: each if type(each) in _SCALARS else _plain(each)
            for (name, unsaid), each in zip(fields_of, read(value), strict=True)
            if each != unsaid
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(each) for each in value)
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


@lru_cache(maxsize=256)
def _fields(kind: type[Any]) -> tuple[tuple[tuple[str, Any], ...], Callable[[Any], Iterable[Any]]]:
    """Name the fields of a record, and the value with which each is left out (MISSING: none).

    In the order of their names, which spares most of the sorting; and what reads them all.
    """
    always = FIRST.get(kind.__name__)
    found = tuple(
        (field.name, MISSING if always is None or field.name in always else _default(field))
        for field in sorted(fields(kind), key=lambda field: field.name)
    )
    names = [name for name, _ in found]
    if len(names) > 1:
        return found, attrgetter(*names)
    return found, lambda record: [getattr(record, name) for name in names]


def _default(field: "Field[Any]") -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@lru_cache(maxsize=256)
def _reader(kind: Hashable) -> Convert:
    """Give the function that turns a JSON value into a value of this type, checking it."""
    origin, args = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _record_reader(cast("type[Any]", kind))
    if origin in (Union, types.UnionType):
        return _union_reader(args)
    if origin is Literal:
        return _literal_reader(frozenset(args))
    if origin in (tuple, frozenset):
        return _list_reader(origin, _reader(args[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_reader(_reader(args[1]))
    return _bytes if kind is bytes else _exactly(cast("type[Any]", kind))


def _record_reader(kind: type[Any]) -> Convert:
    hints = typing.get_type_hints(kind)
    convert = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    scalars = {name: _scalars(hint) for name, hint in hints.items()}
    needed = {field.name for field in fields(kind) if _needed(field)}

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Unreadable(f"{_name(kind)} is {_shown(value)}")
        if not value.keys() <= convert.keys():
            unknown = ", ".join(sorted(value.keys() - convert.keys()))
            raise _Unknown(f"{_name(kind)} has {unknown}")
        if not needed <= value.keys():
            raise _Unreadable(f"{_name(kind)} lacks {', '.join(sorted(needed - value.keys()))}")
        try:
            return kind(
                **{
                    name: each if type(each) in scalars[name] else convert[name](each)
                    for name, each in value.items()
                }
            )
        except _Unreadable as error:
            raise type(error)(f"{_name(kind)}: {error}") from error

    return read


def _scalars(hint: Any) -> frozenset[type]:
    """Name the types of which a value is taken as it is: most fields are text or a number."""
    kinds = frozenset(get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,))
    return kinds if kinds <= _SCALARS else frozenset()


def _needed(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _union_reader(kinds: tuple[Any, ...]) -> Convert:
    choices = [_reader(each) for each in kinds]

    def read(value: Any) -> Any:
        for choice in choices:
            try:
                return choice(value)
            except _Unknown:
                raise
            except _Unreadable:
                continue
        raise _Unreadable(f"{_shown(value)} is none of {', '.join(map(_name, kinds))}")

    return read


def _literal_reader(names: frozenset[object]) -> Convert:
    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in names:
            raise _Unreadable(f"{_shown(value)} is none of {', '.join(sorted(map(str, names)))}")
        return value

    return read


def _list_reader(kind: Callable[[Any], Any], item: Convert) -> Convert:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _Unreadable(f"{_shown(value)} is no list")
        return kind(item(each) for each in value)

    return read


def _mapping_reader(item: Convert) -> Convert:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Unreadable(f"{_shown(value)} is no object")
        return {key: item(each) for key, each in value.items()}

    return read


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Unreadable(f"{_shown(value)} is no text")
    return base64.b64decode(value, validate=True)


def _exactly(kind: type[Any]) -> Convert:
    """Accept this type alone: a JSON true is no number."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise _Unreadable(f"{_shown(value)} is no {_name(kind)}")
        return value

    return read


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
