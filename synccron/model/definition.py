"""What a schedule may say: every field, how it is read, and what is wrong with what was given.

Values come from Python, from flags, or from YAML, whose scalars stay text: a field's type reads it.
All problems are found at once; where they stand in a file is the reader of the file's to know.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from synccron.errors import InvalidInput
from synccron.model.cron import CronError, timetable
from synccron.model.schedule import (
    BACKOFFS,
    MISFIRES,
    OCCASIONS,
    ON_DISCONNECT,
    ON_LOST,
    OVERLAPS,
    Definition,
    JsonText,
    Limits,
    Notify,
    Retry,
)
from synccron.model.time import DAY, HOUR, SECOND, Duration, format_duration, to_duration

LONGEST_INPUT = 256 * 1024  # bytes of JSON
DEEPEST_INPUT = 64
LONGEST_ENV = 64 * 1024  # bytes, all variables together
MOST_NOTIFY = 16  # who is told of one schedule
LONGEST_HEADERS = 8 * 1024  # characters, all headers together
LONGEST: Duration = 366 * DAY

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_KEY = re.compile(r"[A-Za-z0-9._:/@+=-]{1,200}")
_HANDLER = re.compile(
    r"[A-Za-z_][\w.-]{0,199}|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding"}
)
# The variables of the node that a webhook's URL and headers may name: never synccron's own.
_PLACE = re.compile(r"\$\{([^}]*)\}")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)([KMGT]?)(?:i?B)?", re.IGNORECASE)
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


class _Wrong(ValueError):
    """Several problems below one field."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("")
        self.problems = problems


def define(id: str, given: Mapping[str, Any]) -> tuple[Definition | None, list[Problem]]:  # noqa: A002
    """Read a definition; with problems it is None, and they are all of them.

    A value of None stands for the field's default.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    if (wrong := _wrong_id(id)) is not None:
        problems.append(Problem((), wrong))
    for name, value in given.items():
        field = FIELDS.get(name)
        if field is None:
            problems.append(Problem((name,), unknown(name, FIELDS)))
        elif value is not None:
            try:
                values[name] = field.read(value)
            except _Wrong as wrongs:
                problems += [Problem((name, *each.path), each.message) for each in wrongs.problems]
            except ValueError as error:
                problems.append(Problem((name,), str(error)))
    # What could not be read is no reason to call it missing.
    problems += _together(id, {name: values.get(name) for name in given} | values, given)
    return (None, problems) if problems else (_plain(Definition(id=id, **values)), problems)


def _plain(made: Definition) -> Definition:
    """Leave out what goes without saying: the same definition written in two ways is one."""
    unsaid = replace(made, on_disconnect=None)
    return unsaid if unsaid.stops == made.stops else made


def json_text(value: Any) -> JsonText:
    """Write a JSON value in canonical form. Raises InvalidInput: it is none, or too large."""
    try:
        return _json(value)
    except ValueError as error:
        raise InvalidInput(f"input: {error}") from error


def check_id(id: str) -> str:  # noqa: A002 - a schedule's id
    """Give a schedule's id back. Raises InvalidInput."""
    if (wrong := _wrong_id(id)) is not None:
        raise InvalidInput(wrong)
    return id


def check_key(key: str) -> str:
    """Give a key back. Raises InvalidInput."""
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"key {key[:80]!a}: expected 1 to 200 of A-Z a-z 0-9 . _ : / @ + = -")
    return key


def check_handler(name: str) -> str:
    """Give a handler's name back. Raises InvalidInput."""
    try:
        return _handler(name)
    except ValueError as error:
        raise InvalidInput(f"handler: {error}") from error


def check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Give labels back. Raises InvalidInput."""
    try:
        return _labels(labels)
    except _Wrong as wrong:
        raise InvalidInput(f"label {wrong.problems[0]}") from wrong
    except ValueError as error:
        raise InvalidInput(f"labels: {error}") from error


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


def _together(
    schedule_id: str, values: Mapping[str, Any], given: Mapping[str, Any]
) -> list[Problem]:
    """Check what no field can tell alone."""
    problems = []
    has = [name for name in ("run", "handler") if given.get(name) is not None]
    if not has:
        problems.append(Problem((), "neither run nor handler is given: expected one of them"))
    if len(has) > 1:
        problems.append(
            Problem(("handler",), "both run and handler are given: expected one of them")
        )
    if given.get("handler") is not None:
        problems += [
            Problem((name,), f"{name} is for run: a handler runs as its node does")
            for name in ("cwd", "user")
            if given.get(name) is not None
        ]
    limits = values.get("limits")
    if isinstance(limits, Limits) and limits.processes and values.get("user") == "root":
        problems.append(
            Problem(("limits", "processes"), "root may start any number: name another user")
        )
    if values.get("max_running") is not None and values.get("overlap") not in (None, "allow"):
        message = "max_running is for overlap: allow: under all others one runs at a time"
        problems.append(Problem(("max_running",), message))
    if given.get("cron") is None:
        problems.append(
            Problem((), 'cron is missing: write when it runs, as in cron: "30 2 * * *"')
        )
    elif values.get("cron") is not None:
        problems += _rhythm(schedule_id, values["cron"], values.get("tz") or "UTC", given)
    return problems


def _rhythm(schedule_id: str, cron: str, tz: str, given: Mapping[str, Any]) -> list[Problem]:
    problems = []
    try:
        timetable("@daily", tz)
    except CronError as error:
        problems.append(Problem(("tz",) if "tz" in given else (), str(error)))
    try:
        timetable(cron, "UTC", schedule_id)
    except CronError as error:
        problems.append(Problem(("cron",), str(error)))
    return problems


def _wrong_id(schedule_id: str) -> str | None:
    if _ID.fullmatch(schedule_id):
        return None
    expected = "expected 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or a digit"
    return f"id {schedule_id[:80]!a}: {expected}"


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shown(value)}")  # noqa: TRY004 - one class for all
    if "\0" in value:
        raise ValueError("expected text without NUL characters")
    return value


def _cron(value: Any) -> str:
    # A block scalar of YAML ends with a newline, which no one means.
    return _text(value).removesuffix("\n")


def _choice(*choices: str) -> Read:
    def read(value: Any) -> str:
        text = _text(value)
        if text not in choices:
            close = get_close_matches(text, choices, 1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"expected {' or '.join(choices)}, got {_shown(text)}{meant}")
        return text

    return read


def _whole(low: int, high: int) -> Read:
    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {_shown(value)}")
        return number

    return read


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    meant = _YES_AND_NO.get(value.lower()) if isinstance(value, str) else None
    hint = f": {value} is plain text here, write {meant}" if meant else ""
    raise ValueError(f"expected true or false, got {_shown(value)}{hint}")


def _duration(low: Duration, high: Duration = LONGEST) -> Read:
    def read(value: Any) -> Duration:
        if not isinstance(value, str | int | float | timedelta) or isinstance(value, bool):
            raise ValueError(  # noqa: TRY004 - one class for all
                f"expected a duration such as 90s or 1h30m, got {_shown(value)}"
            )
        try:
            duration = to_duration(value)
        except OverflowError as error:
            raise ValueError(f"expected a duration, got {_shown(value)}") from error
        if not low <= duration <= high:
            bounds = f"{format_duration(low)} to {format_duration(high)}"
            raise ValueError(f"expected a duration from {bounds}, got {_shown(value)}")
        return duration

    return read


def _run(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("expected a command, got empty text")
        return _text(value)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"expected a command: text, or a list of texts, got {_shown(value)}")
    words = tuple(_text(word) for word in value)
    if not words[0]:
        raise ValueError("expected a program as the first of the list, got empty text")
    return words


def _handler(value: Any) -> str:
    text = _text(value)
    if not _HANDLER.fullmatch(text) or text == "run":
        raise ValueError(
            f"expected the name of an entry point, or package.module:function, got {_shown(text)}"
        )
    return text


def _json(value: Any) -> JsonText:
    _check_json(value, DEEPEST_INPUT)
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"expected a JSON value: {error}") from error
    if len(text) > LONGEST_INPUT:
        raise ValueError(f"expected at most {LONGEST_INPUT} bytes of JSON, got {len(text)}")
    return text


def _check_json(value: Any, depth: int) -> None:
    """Refuse what json.dumps would change in silence, or what is too deep."""
    if depth == 0:
        raise ValueError(f"expected at most {DEEPEST_INPUT} levels")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"expected texts as keys, got {_shown(key)}")  # noqa: TRY004
            _check_json(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner, depth - 1)
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"expected a JSON value, got {_shown(value)}")  # noqa: TRY004
    elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("expected text, got half of a surrogate pair")


def _mapping(value: Any, read_key: Callable[[str], str | None], what: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of {what}, got {_shown(value)}")  # noqa: TRY004
    problems, read = [], {}
    for key, inner in value.items():
        wrong = read_key(key) if isinstance(key, str) else f"expected text, got {_shown(key)}"
        try:
            read[key] = _text(inner)
        except ValueError as error:
            wrong = wrong or str(error)
        if wrong is not None:
            problems.append(Problem((key,), wrong))
    if problems:
        raise _Wrong(problems)
    return read


def _env(value: Any) -> dict[str, str]:
    read = _mapping(value, _variable, "names to texts")
    size = sum(len(key) + len(inner.encode(errors="replace")) + 2 for key, inner in read.items())
    if size > LONGEST_ENV:
        raise ValueError(f"expected at most {LONGEST_ENV} bytes in all, got {size}")
    return read


def _variable(name: str) -> str | None:
    if name.startswith("SYNCCRON_"):
        return f"{name!a} is synccron's own: give it another name"
    return None if _VARIABLE.fullmatch(name) else f"{_shown(name)} is no name of a variable"


def _labels(value: Any) -> dict[str, str]:
    def wrong(key: str) -> str | None:
        return None if _LABEL.fullmatch(key) else f"{_shown(key)} is no name of a label"

    read = _mapping(value, wrong, "names to texts")
    long = [key for key, inner in read.items() if len(inner) > 255]  # noqa: PLR2004
    if long or len(read) > 64:  # noqa: PLR2004
        raise ValueError("expected at most 64 labels, of at most 255 characters each")
    return read


def _folder(value: Any) -> str:
    text = _text(value)
    if not text.startswith("/"):
        raise ValueError(f"expected an absolute path, got {_shown(text)}")
    return text


def _user(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", text):
        raise ValueError(f"expected the name of a user, got {_shown(text)}")
    return text


def _owner(value: Any) -> str:
    text = _text(value)
    if not _OWNER.fullmatch(text):
        raise ValueError(
            f"expected a name of at most 128 of A-Z a-z 0-9 . _ @ / -, got {_shown(text)}"
        )
    return text


def _size(low: int, high: int) -> Read:
    def read(value: Any) -> int:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else value
        if not isinstance(size, int) or isinstance(size, bool):
            raise ValueError(  # noqa: TRY004 - one class for all
                f"expected a size such as 512M or 2G, got {_shown(value)}"
            )
        if not low <= size <= high:
            raise ValueError(f"expected a size of at least {low >> 20}M, got {_shown(value)}")
        return size

    return read


def _retry(value: Any) -> Retry:
    if isinstance(value, Retry):
        return value
    return Retry(**_inner(value, RETRY_FIELDS, "{max_attempts: 3, delay: 10s}"))


def _limits(value: Any) -> Limits:
    if isinstance(value, Limits):
        return value
    return Limits(**_inner(value, LIMIT_FIELDS, "{memory: 512M, cpu: 60}"))


def _inner(value: Any, known: Mapping[str, Field], example: str) -> dict[str, Any]:
    """Read a mapping of fields. Raises ValueError with all that is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - one class for all
            f"expected a mapping, as in {example}, got {_shown(value)}"
        )
    problems, read = [], {}
    for key, inner in value.items():
        field = known.get(key)
        try:
            if field is None:
                raise ValueError(unknown(str(key), known))  # noqa: TRY301
            if inner is not None:
                read[key] = field.read(inner)
        except ValueError as error:
            problems.append(Problem((key,), str(error)))
    if problems:
        raise _Wrong(problems)
    return read


def _notify(value: Any) -> tuple[Notify, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(  # noqa: TRY004 - one class for all
            f"expected a list, as in [{{on: failure, command: ...}}], got {_shown(value)}"
        )
    if len(value) > MOST_NOTIFY:
        raise ValueError(f"expected at most {MOST_NOTIFY} entries, got {len(value)}")
    problems: list[Problem] = []
    read: list[Notify] = []
    for number, each in enumerate(value):
        try:
            read.append(each if isinstance(each, Notify) else _notify_one(each))
        except _Wrong as wrongs:
            problems += [Problem((number, *one.path), one.message) for one in wrongs.problems]
        except ValueError as error:
            problems.append(Problem((number,), str(error)))
    if problems:
        raise _Wrong(problems)
    return tuple(read)


def _notify_one(value: Any) -> Notify:
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - one class for all
            f"expected a mapping with command or webhook, got {_shown(value)}"
        )
    problems, read = [], {}
    for key, inner in value.items():
        field = NOTIFY_FIELDS.get(key)
        try:
            if field is None:
                raise ValueError(unknown(str(key), NOTIFY_FIELDS))  # noqa: TRY301
            if inner is not None:
                read[key] = field.read(inner)
        except _Wrong as wrongs:
            problems += [Problem((key, *each.path), each.message) for each in wrongs.problems]
        except ValueError as error:
            problems.append(Problem((key,), str(error)))
    ways = [name for name in ("command", "webhook") if value.get(name) is not None]
    if len(ways) != 1:
        given = "both command and webhook are" if ways else "neither command nor webhook is"
        problems.append(Problem((), f"{given} given: expected one of them"))
    if value.get("headers") and ways == ["command"]:
        problems.append(Problem(("headers",), "headers are for webhook"))
    if problems:
        raise _Wrong(problems)
    return Notify(**read)


def _occasions(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise ValueError(f"expected at least one of {', '.join(OCCASIONS)}")
    chosen = {_choice(*OCCASIONS)(each) for each in given}
    return tuple(each for each in OCCASIONS if each in chosen)


def _webhook(value: Any) -> str:
    text = _text(value)
    _check_places(text)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"expected a URL, got {_shown(text)}: {error}") from error
    if text.startswith("${"):  # all of it may be the node's to know
        return text
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://... or https://..., got {_shown(text)}")
    if "@" in parts.netloc:
        raise ValueError("a user or a password in the URL: put it into a header")
    if not text.isprintable() or not text.isascii() or " " in text:
        raise ValueError(f"expected a URL of plain ASCII, got {_shown(text)}")
    return text


def _headers(value: Any) -> dict[str, str]:
    def wrong(name: str) -> str | None:
        if not _HEADER.fullmatch(name):
            return f"{_shown(name)} is no name of a header"
        return f"{name!a} is synccron's own" if name.lower() in _OWN_HEADERS else None

    read = _mapping(value, wrong, "names to texts")
    for inner in read.values():
        _check_places(inner)
        if not inner.isprintable() or not inner.isascii():
            raise ValueError("expected values of printable ASCII, on one line")
    if sum(len(name) + len(inner) for name, inner in read.items()) > LONGEST_HEADERS:
        raise ValueError(f"expected at most {LONGEST_HEADERS} characters in all")
    return read


def _check_places(text: str) -> None:
    for name in places(text):
        if (wrong := _variable(name)) is not None:
            raise ValueError(f"${{{name}}}: {wrong}")


def places(text: str) -> tuple[str, ...]:
    """Give the names of the node's variables that a webhook's text asks for, as in `${TOKEN}`."""
    return tuple(_PLACE.findall(text))


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Put the node's variables into a webhook's text. Raises KeyError: one is not there."""
    return _PLACE.sub(lambda found: variables[found[1]], text)


def _table(*rows: Field) -> dict[str, Field]:
    return {row.name: row for row in rows}


_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_DURATION = {
    "oneOf": [
        {"type": "string", "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$|^\d+(\.\d+)?$"},
        {"type": "number", "minimum": 0},
    ]
}


def _enum(*choices: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(choices)}


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


RETRY_FIELDS = _table(
    Field("max_attempts", _integer(1, 100), "how often it is tried in all", _whole(1, 100)),
    Field("backoff", _enum(*BACKOFFS), "how the delay grows", _choice(*BACKOFFS)),
    Field("delay", _DURATION, "how long to wait before the next attempt", _duration(0)),
    Field("max_delay", _DURATION, "the longest delay of an exponential back-off", _duration(0)),
)
_COMMAND = {"oneOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_OCCASION = _enum(*OCCASIONS)
NOTIFY_FIELDS = _table(
    Field(
        "on",
        {"oneOf": [_OCCASION, {"type": "array", "items": _OCCASION, "minItems": 1}]},
        "what is told: all of it unless given",
        _occasions,
    ),
    Field("command", _COMMAND, "a command that gets the notice as JSON on its input", _run),
    Field("webhook", _TEXT, "a URL that the notice is posted to, as JSON", _webhook),
    Field("headers", _TEXTS, "headers of that request", _headers),
    Field("timeout", _DURATION, "how long it may take", _duration(SECOND, HOUR)),
)
LIMIT_FIELDS = _table(
    Field(
        "memory",
        {"oneOf": [{"type": "string", "pattern": _SIZE.pattern}, {"type": "integer"}]},
        "bytes of address space of each process, such as 512M",
        _size(1 << 20, 1 << 50),
    ),
    Field("cpu", _integer(1, 10**9), "seconds of CPU of each process", _whole(1, 10**9)),
    Field(
        "processes",
        _integer(1, 1 << 22),
        "processes that its user may have; not for root",
        _whole(1, 1 << 22),
    ),
    Field("files", _integer(4, 1 << 30), "open files of each process", _whole(4, 1 << 30)),
)
FIELDS = _table(
    Field("cron", _TEXT, "when it runs", _cron),
    Field("tz", _TEXT, "the IANA zone whose clock counts", _text),
    Field(
        "run",
        _COMMAND,
        "a command: text for /bin/sh, or a list that is executed as it stands",
        _run,
    ),
    Field("handler", _TEXT, "a Python handler: entry point, or package.module:function", _handler),
    Field("input", {}, "any JSON value, given to each run", _json),
    Field(
        "misfire", _enum(*MISFIRES), "what happens to slots that were missed", _choice(*MISFIRES)
    ),
    Field(
        "max_catch_up_runs",
        _integer(1, 10_000),
        "the most slots that one catch-up runs",
        _whole(1, 10_000),
    ),
    Field("misfire_grace", _DURATION, "how late still counts as on time", _duration(SECOND)),
    Field(
        "start_within",
        _DURATION,
        "how long a slot may wait for a node before it is passed over",
        _duration(1),
    ),
    Field(
        "overlap",
        _enum(*OVERLAPS),
        "what happens while an earlier job is unfinished",
        _choice(*OVERLAPS),
    ),
    Field(
        "max_running",
        _integer(1, 10_000),
        "how many run at once, over all nodes",
        _whole(1, 10_000),
    ),
    Field("timeout", _DURATION, "when an attempt is ended", _duration(1)),
    Field("kill_after", _DURATION, "how long TERM is given before KILL", _duration(0, DAY)),
    Field(
        "retry",
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: field.schema for name, field in RETRY_FIELDS.items()},
        },
        "when an attempt that ended badly is followed by another",
        _retry,
    ),
    Field("on_lost", _enum(*ON_LOST), "what happens to a job whose node died", _choice(*ON_LOST)),
    Field(
        "on_disconnect",
        _enum(*ON_DISCONNECT),
        "what a node does with an attempt when it can't be sure of its claim any more",
        _choice(*ON_DISCONNECT),
    ),
    Field("env", _TEXTS, "variables for the handler", _env),
    Field("cwd", _TEXT, "the folder that a command runs in", _folder),
    Field("user", _TEXT, "the user that a command runs as; the node must be root's", _user),
    Field(
        "limits",
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: field.schema for name, field in LIMIT_FIELDS.items()},
        },
        "what its processes may use",
        _limits,
    ),
    Field("labels", _TEXTS, "for selecting", _labels),
    Field("node_labels", _TEXTS, "only nodes that carry all of these run it", _labels),
    Field(
        "strict_handlers",
        {"type": "boolean"},
        "whether a slot that no node offers to run is a failure",
        _flag,
    ),
    Field(
        "max_dispatch_failures",
        _integer(1, 100),
        "after how many failures in a row a slot is given up",
        _whole(1, 100),
    ),
    Field(
        "notify",
        {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: field.schema for name, field in NOTIFY_FIELDS.items()},
            },
        },
        "who is told of failures, recoveries, dead letters and missed slots",
        _notify,
    ),
    Field("enabled", {"type": "boolean"}, "false registers it paused", _flag),
    Field("owner", _TEXT, "whose it is: others change it only by taking it over", _owner),
)
DEFAULTS: Mapping[str, Any] = {
    each.name: each.default for each in fields(Definition) if each.default is not MISSING
}
