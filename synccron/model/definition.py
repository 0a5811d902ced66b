"""What a schedule may say: every field, and what is wrong with what was given.

How the types of fields are read is in `reading.py`. All problems are found at once; where they
stand in a file is the reader of the file's to know.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from synccron.errors import InvalidInput
from synccron.model.cron import CronError, timetable
from synccron.model.reading import (
    COMMAND,
    DURATION,
    SIZE,
    TEXT,
    TEXTS,
    Field,
    Problem,
    Wrong,
    as_text,
    choice,
    command,
    duration,
    enum,
    flag,
    integer,
    mapping,
    members,
    shown,
    size,
    table,
    unknown,
    variable,
    whole,
)
from synccron.model.schedule import (
    BACKOFFS,
    MISFIRES,
    ON_DISCONNECT,
    ON_LOST,
    OVERLAPS,
    Definition,
    JsonText,
    Limits,
    Retry,
)
from synccron.model.time import DAY, SECOND
from synccron.model.told import NOTIFY_FIELDS, notify

LONGEST_INPUT = 256 * 1024  # bytes of JSON
DEEPEST_INPUT = 64
LONGEST_ENV = 64 * 1024  # bytes, all variables together
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_KEY = re.compile(r"[A-Za-z0-9._:/@+=-]{1,200}")
_HANDLER = re.compile(
    r"[A-Za-z_][\w.-]{0,199}|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII
)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")


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
            except Wrong as wrongs:
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
    except Wrong as wrong:
        raise InvalidInput(f"label {wrong.problems[0]}") from wrong
    except ValueError as error:
        raise InvalidInput(f"labels: {error}") from error


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


def _cron(value: Any) -> str:
    # A block scalar of YAML ends with a newline, which no one means.
    return as_text(value).removesuffix("\n")


def _handler(value: Any) -> str:
    text = as_text(value)
    if not _HANDLER.fullmatch(text) or text == "run":
        raise ValueError(
            f"expected the name of an entry point, or package.module:function, got {shown(text)}"
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
                raise ValueError(f"expected texts as keys, got {shown(key)}")  # noqa: TRY004
            _check_json(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner, depth - 1)
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"expected a JSON value, got {shown(value)}")  # noqa: TRY004
    elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("expected text, got half of a surrogate pair")


def _env(value: Any) -> dict[str, str]:
    read = mapping(value, variable, "names to texts")
    size = sum(len(key) + len(inner.encode(errors="replace")) + 2 for key, inner in read.items())
    if size > LONGEST_ENV:
        raise ValueError(f"expected at most {LONGEST_ENV} bytes in all, got {size}")
    return read


def _labels(value: Any) -> dict[str, str]:
    def wrong(key: str) -> str | None:
        return None if _LABEL.fullmatch(key) else f"{shown(key)} is no name of a label"

    read = mapping(value, wrong, "names to texts")
    long = [key for key, inner in read.items() if len(inner) > 255]  # noqa: PLR2004
    if long or len(read) > 64:  # noqa: PLR2004
        raise ValueError("expected at most 64 labels, of at most 255 characters each")
    return read


def _folder(value: Any) -> str:
    text = as_text(value)
    if not text.startswith("/"):
        raise ValueError(f"expected an absolute path, got {shown(text)}")
    return text


def _user(value: Any) -> str:
    text = as_text(value)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", text):
        raise ValueError(f"expected the name of a user, got {shown(text)}")
    return text


def _owner(value: Any) -> str:
    text = as_text(value)
    if not _OWNER.fullmatch(text):
        raise ValueError(
            f"expected a name of at most 128 of A-Z a-z 0-9 . _ @ / -, got {shown(text)}"
        )
    return text


def _retry(value: Any) -> Retry:
    if isinstance(value, Retry):
        return value
    return Retry(**members(value, RETRY_FIELDS, "{max_attempts: 3, delay: 10s}"))


def _limits(value: Any) -> Limits:
    if isinstance(value, Limits):
        return value
    return Limits(**members(value, LIMIT_FIELDS, "{memory: 512M, cpu: 60}"))


RETRY_FIELDS = table(
    Field("max_attempts", integer(1, 100), "how often it is tried in all", whole(1, 100)),
    Field("backoff", enum(*BACKOFFS), "how the delay grows", choice(*BACKOFFS)),
    Field("delay", DURATION, "how long to wait before the next attempt", duration(0)),
    Field("max_delay", DURATION, "the longest delay of an exponential back-off", duration(0)),
)
LIMIT_FIELDS = table(
    Field(
        "memory",
        {"oneOf": [{"type": "string", "pattern": SIZE.pattern}, {"type": "integer"}]},
        "bytes of address space of each process, such as 512M",
        size(1 << 20, 1 << 50),
    ),
    Field("cpu", integer(1, 10**9), "seconds of CPU of each process", whole(1, 10**9)),
    Field(
        "processes",
        integer(1, 1 << 22),
        "processes that its user may have; not for root",
        whole(1, 1 << 22),
    ),
    Field("files", integer(4, 1 << 30), "open files of each process", whole(4, 1 << 30)),
)
FIELDS = table(
    Field("cron", TEXT, "when it runs", _cron),
    Field("tz", TEXT, "the IANA zone whose clock counts", as_text),
    Field(
        "run",
        COMMAND,
        "a command: text for /bin/sh, or a list that is executed as it stands",
        command,
    ),
    Field("handler", TEXT, "a Python handler: entry point, or package.module:function", _handler),
    Field("input", {}, "any JSON value, given to each run", _json),
    Field("misfire", enum(*MISFIRES), "what happens to slots that were missed", choice(*MISFIRES)),
    Field(
        "max_catch_up_runs",
        integer(1, 10_000),
        "the most slots that one catch-up runs",
        whole(1, 10_000),
    ),
    Field("misfire_grace", DURATION, "how late still counts as on time", duration(SECOND)),
    Field(
        "start_within",
        DURATION,
        "how long a slot may wait for a node before it is passed over",
        duration(1),
    ),
    Field(
        "overlap",
        enum(*OVERLAPS),
        "what happens while an earlier job is unfinished",
        choice(*OVERLAPS),
    ),
    Field(
        "max_running",
        integer(1, 10_000),
        "how many run at once, over all nodes",
        whole(1, 10_000),
    ),
    Field("timeout", DURATION, "when an attempt is ended", duration(1)),
    Field("kill_after", DURATION, "how long TERM is given before KILL", duration(0, DAY)),
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
    Field("on_lost", enum(*ON_LOST), "what happens to a job whose node died", choice(*ON_LOST)),
    Field(
        "on_disconnect",
        enum(*ON_DISCONNECT),
        "what a node does with an attempt when it can't be sure of its claim any more",
        choice(*ON_DISCONNECT),
    ),
    Field("env", TEXTS, "variables for the handler", _env),
    Field("cwd", TEXT, "the folder that a command runs in", _folder),
    Field("user", TEXT, "the user that a command runs as; the node must be root's", _user),
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
    Field("labels", TEXTS, "for selecting", _labels),
    Field("node_labels", TEXTS, "only nodes that carry all of these run it", _labels),
    Field(
        "strict_handlers",
        {"type": "boolean"},
        "whether a slot that no node offers to run is a failure",
        flag,
    ),
    Field(
        "max_dispatch_failures",
        integer(1, 100),
        "after how many failures in a row a slot is given up",
        whole(1, 100),
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
        notify,
    ),
    Field("enabled", {"type": "boolean"}, "false registers it paused", flag),
    Field("owner", TEXT, "whose it is: others change it only by taking it over", _owner),
)
DEFAULTS: Mapping[str, Any] = {
    each.name: each.default for each in fields(Definition) if each.default is not MISSING
}
