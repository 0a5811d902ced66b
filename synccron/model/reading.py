"""How a field that a person wrote is read: what was expected, what came, all that is wrong.

Values come from Python, from flags, or from YAML, whose scalars stay text: the field's type reads
it. Which fields there are is told where they are (`definition.py`, `told.py`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from synccron.model.time import DAY, Duration, format_duration, to_duration

LONGEST: Duration = 366 * DAY
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_YES_AND_NO = {
    "yes": "true",
    "on": "true",
    "y": "true",
    "no": "false",
    "off": "false",
    "n": "false",
}
Path = tuple[str | int, ...]
Read = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where in the definition, and what to do about it, in one line."""

    path: Path
    message: str

    def __str__(self) -> str:
        """Say it with its place."""
        place = ".".join(map(str, self.path))
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True, slots=True)
class Field:
    """One field as a person writes it: its JSON type, what it is for, and how it is read.

    `read` raises ValueError with what was expected.
    """

    name: str
    schema: Mapping[str, Any]
    doc: str
    read: Read


class Wrong(ValueError):
    """Several problems below one field."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("")
        self.problems = problems


def unknown(name: str, known: Mapping[str, object]) -> str:
    """Say that a field is unknown, and what may have been meant."""
    meant = _MEANT.get(name.lower().replace("-", "_"))
    close = [meant] if meant in known else get_close_matches(name, list(known), 1, 0.6)
    return f"unknown field {name!a}" + (f" (did you mean {close[0]!r}?)" if close else "")


# What users of other programs write.
_MEANT = {
    "timezone": "tz",
    "zone": "tz",
    "time_zone": "tz",
    "schedule": "cron",
    "command": "run",
    "cmd": "run",
    "args": "input",
    "retries": "retry",
    "max_retries": "retry",
    "workdir": "cwd",
    "working_dir": "cwd",
    "environment": "env",
    "concurrency": "overlap",
    "concurrency_policy": "overlap",
    "max_attempt": "max_attempts",
    "attempts": "max_attempts",
}


def shown(value: Any) -> str:
    """Show what came, in a few characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004


def as_text(value: Any) -> str:
    """Read text."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {shown(value)}")  # noqa: TRY004 - one class for all
    if "\0" in value:
        raise ValueError("expected text without NUL characters")
    return value


def choice(*choices: str) -> Read:
    """Read one of these words."""

    def read(value: Any) -> str:
        text = as_text(value)
        if text not in choices:
            close = get_close_matches(text, choices, 1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"expected {' or '.join(choices)}, got {shown(text)}{meant}")
        return text

    return read


def whole(low: int, high: int) -> Read:
    """Read a whole number from `low` to `high`."""

    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {shown(value)}")
        return number

    return read


def flag(value: Any) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    meant = _YES_AND_NO.get(value.lower()) if isinstance(value, str) else None
    hint = f": {value} is plain text here, write {meant}" if meant else ""
    raise ValueError(f"expected true or false, got {shown(value)}{hint}")


def duration(low: Duration, high: Duration = LONGEST) -> Read:
    """Read a duration from `low` to `high`, in ms."""

    def read(value: Any) -> Duration:
        if not isinstance(value, str | int | float | timedelta) or isinstance(value, bool):
            raise ValueError(  # noqa: TRY004 - one class for all
                f"expected a duration such as 90s or 1h30m, got {shown(value)}"
            )
        try:
            duration = to_duration(value)
        except OverflowError as error:
            raise ValueError(f"expected a duration, got {shown(value)}") from error
        if not low <= duration <= high:
            bounds = f"{format_duration(low)} to {format_duration(high)}"
            raise ValueError(f"expected a duration from {bounds}, got {shown(value)}")
        return duration

    return read


def command(value: Any) -> str | tuple[str, ...]:
    """Read a command: text for /bin/sh, or a list."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("expected a command, got empty text")
        return as_text(value)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"expected a command: text, or a list of texts, got {shown(value)}")
    words = tuple(as_text(word) for word in value)
    if not words[0]:
        raise ValueError("expected a program as the first of the list, got empty text")
    return words


def mapping(value: Any, read_key: Callable[[str], str | None], what: str) -> dict[str, str]:
    """Read a mapping of names to texts; `read_key` tells what is wrong with a name, or None."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of {what}, got {shown(value)}")  # noqa: TRY004
    problems, read = [], {}
    for key, inner in value.items():
        wrong = read_key(key) if isinstance(key, str) else f"expected text, got {shown(key)}"
        try:
            read[key] = as_text(inner)
        except ValueError as error:
            wrong = wrong or str(error)
        if wrong is not None:
            problems.append(Problem((key,), wrong))
    if problems:
        raise Wrong(problems)
    return read


def variable(name: str) -> str | None:
    """Tell what is wrong with the name of a variable; None: nothing."""
    if name.startswith("SYNCCRON_"):
        return f"{name!a} is synccron's own: give it another name"
    return None if _VARIABLE.fullmatch(name) else f"{shown(name)} is no name of a variable"


def size(low: int, high: int) -> Read:
    """Read a number of bytes from `low` to `high`, as in 512M."""

    def read(value: Any) -> int:
        found = SIZE.fullmatch(value) if isinstance(value, str) else None
        size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else value
        if not isinstance(size, int) or isinstance(size, bool):
            raise ValueError(  # noqa: TRY004 - one class for all
                f"expected a size such as 512M or 2G, got {shown(value)}"
            )
        if not low <= size <= high:
            raise ValueError(f"expected a size of at least {low >> 20}M, got {shown(value)}")
        return size

    return read


def members(value: Any, known: Mapping[str, Field], example: str) -> dict[str, Any]:
    """Read a mapping of fields. Raises ValueError with all that is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - one class for all
            f"expected a mapping, as in {example}, got {shown(value)}"
        )
    problems, read = [], {}
    for key, inner in value.items():
        field = known.get(key)
        try:
            if field is None:
                raise ValueError(unknown(str(key), known))  # noqa: TRY301
            if inner is not None:
                read[key] = field.read(inner)
        except Wrong as wrongs:
            problems += [Problem((key, *each.path), each.message) for each in wrongs.problems]
        except ValueError as error:
            problems.append(Problem((key,), str(error)))
    if problems:
        raise Wrong(problems)
    return read


def table(*rows: Field) -> dict[str, Field]:
    """Give fields by their names."""
    return {row.name: row for row in rows}


TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
DURATION = {
    "oneOf": [
        {"type": "string", "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$|^\d+(\.\d+)?$"},
        {"type": "number", "minimum": 0},
    ]
}


def enum(*choices: str) -> dict[str, Any]:
    """Give the JSON Schema of one of these words."""
    return {"type": "string", "enum": list(choices)}


def integer(low: int, high: int) -> dict[str, Any]:
    """Give the JSON Schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high}


COMMAND = {"oneOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
