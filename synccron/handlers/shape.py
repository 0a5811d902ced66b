"""The shape that a handler declares for its input, and reading a JSON value as it says.

`def f(ctx, input: Shape)`: a dataclass of JSON types (other dataclasses, `list`, `dict`, `Literal`
and unions among them), or a model of pydantic's, which reads itself. Without an annotation the
value comes as it is. All that is wrong with a value is found at once.
"""

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin

Place = tuple[str | int, ...]
Problem = tuple[Place, str]

_NAMES = {NoneType: "null", bool: "true or false", int: "a whole number", float: "a number"}
_SHOWN = 40  # characters of a value that a problem shows


class BadInput(Exception):
    """A value does not have the shape; `problems` are all reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{_dotted(place)}: {message}" for place, message in problems))
        self.problems = problems


def shape_of(function: Callable[..., Any]) -> Any | None:
    """Give what the second parameter is annotated with; None: there is no second parameter.

    One with a default is the handler's own. Raises TypeError: the annotation means nothing here.
    """
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except ValueError:  # some of C's
        return None
    if len(parameters) < 2:  # noqa: PLR2004 - the context and the input
        return None
    second = parameters[1]
    if second.kind not in (second.POSITIONAL_ONLY, second.POSITIONAL_OR_KEYWORD):
        return None
    if second.default is not second.empty:
        return None
    if second.annotation is second.empty:
        return Any
    called = function if inspect.isroutine(function) else type(function).__call__
    names = getattr(inspect.unwrap(called), "__globals__", {})
    # Of this one alone: what others name may be known to type checkers only.
    annotated = SimpleNamespace(__annotations__={second.name: second.annotation})
    shape = typing.get_type_hints(annotated, names)[second.name]
    _check(shape)
    return shape


def read(value: Any, shape: Any) -> Any:
    """Read a JSON value as a shape says. Raises BadInput."""
    problems: list[Problem] = []
    found = _read(value, shape, (), problems)
    if problems:
        raise BadInput(problems)
    return found


def _read(value: Any, shape: Any, place: Place, problems: list[Problem]) -> Any:  # noqa: PLR0911
    origin, inner = get_origin(shape), get_args(shape)
    if shape is Any:
        return value
    if hasattr(shape, "__pydantic_validator__"):
        return _read_model(value, shape, place, problems)
    if is_dataclass(shape):
        return _read_record(value, shape, place, problems)
    if origin in (Union, UnionType):
        return _read_union(value, shape, place, problems)
    if origin is Literal:
        if not any(value == each and type(value) is type(each) for each in inner):
            problems.append(
                (place, f"expected {' or '.join(map(json.dumps, inner))}, {_got(value)}")
            )
        return value
    kind = origin or shape
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        problems.append((place, f"expected {_name(kind)}, {_got(value)}"))
    elif kind is list and inner:
        return [_read(each, inner[0], (*place, n), problems) for n, each in enumerate(value)]
    elif kind is dict and inner:
        return {k: _read(each, inner[1], (*place, k), problems) for k, each in value.items()}
    return value


def _read_record(value: Any, shape: Any, place: Place, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append((place, f"expected an object, {_got(value)}"))
        return None
    before = len(problems)
    hints = typing.get_type_hints(shape)
    wanted = {field.name: field for field in fields(shape) if field.init}
    read_fields = {
        name: _read(each, hints[name], (*place, name), problems)
        for name, each in value.items()
        if name in wanted
    }
    problems += [
        ((*place, name), f"unknown field {name!a}") for name in value if name not in wanted
    ]
    problems += [
        (place, f"{name} is missing")
        for name, field in wanted.items()
        if name not in value and field.default is MISSING and field.default_factory is MISSING
    ]
    if len(problems) > before:
        return None
    try:
        return shape(**read_fields)
    except (TypeError, ValueError) as error:  # its __post_init__ refuses it
        problems.append((place, str(error)))
        return None


def _read_union(value: Any, shape: Any, place: Place, problems: list[Problem]) -> Any:
    tried: list[list[Problem]] = []
    for each in get_args(shape):
        mine: list[Problem] = []
        found = _read(value, each, place, mine)
        if not mine:
            return found
        tried.append(mine)
    # The one that the value came nearest to says more than "none of them".
    deepest = max(tried, key=lambda mine: max(len(where) for where, _ in mine))
    if len(deepest[0][0]) > len(place):
        problems += deepest
    else:
        names = " or ".join(_name(each) for each in get_args(shape))
        problems.append((place, f"expected {names}, {_got(value)}"))
    return None


def _read_model(value: Any, shape: Any, place: Place, problems: list[Problem]) -> Any:
    from pydantic import TypeAdapter, ValidationError  # there, as the handler has imported it

    try:
        return TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        problems += [((*place, *each["loc"]), each["msg"]) for each in error.errors()]
        return None


def _check(shape: Any) -> None:
    """Refuse an annotation that no JSON value has. Raises TypeError."""
    if hasattr(shape, "__pydantic_validator__") or get_origin(shape) is Literal:
        return
    if is_dataclass(shape):
        hints = typing.get_type_hints(shape)
        for field in fields(shape):
            if hints[field.name] is not shape:
                _check(hints[field.name])
        return
    origin, inner = get_origin(shape), get_args(shape)
    if origin is dict and inner and inner[0] is not str:
        raise TypeError(f"the input's annotation {shape} means nothing: JSON's keys are texts")
    kinds = (Any, NoneType, bool, int, float, str, list, dict)
    if origin not in (Union, UnionType, list, dict) and shape not in kinds:
        raise TypeError(
            f"the input's annotation {shape} means nothing here: expected JSON's types, a dataclass"
            " of them, or a model of pydantic's"
        )
    for each in inner:
        _check(each)


def _name(kind: Any) -> str:
    named = {str: "text", list: "a list", dict: "an object"} | _NAMES
    if is_dataclass(kind):
        return "an object"
    return named.get(get_origin(kind) or kind, str(kind))


def _got(value: Any) -> str:
    text = json.dumps(value)
    return f"got {text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}"


def _dotted(place: Place) -> str:
    return ".".join(("input", *map(str, place)))
