"""Who is told of a schedule's failures, as a person writes it: a command, or a webhook."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from synccron.model.reading import (
    COMMAND,
    DURATION,
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
    mapping,
    members,
    shown,
    table,
    variable,
)
from synccron.model.schedule import OCCASIONS, Notify
from synccron.model.time import HOUR, SECOND

MOST_NOTIFY = 16  # who is told of one schedule
LONGEST_HEADERS = 8 * 1024  # characters, all headers together
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding"}
)
# The variables of the node that a webhook's URL and headers may name: never synccron's own.
_PLACE = re.compile(r"\$\{([^}]*)\}")


def notify(value: Any) -> tuple[Notify, ...]:
    """Read the list of who is told. Raises ValueError with all that is wrong."""
    if not isinstance(value, list | tuple):
        raise ValueError(  # noqa: TRY004 - one class for all
            f"expected a list, as in [{{on: failure, command: ...}}], got {shown(value)}"
        )
    if len(value) > MOST_NOTIFY:
        raise ValueError(f"expected at most {MOST_NOTIFY} entries, got {len(value)}")
    problems: list[Problem] = []
    read: list[Notify] = []
    for number, each in enumerate(value):
        try:
            read.append(each if isinstance(each, Notify) else _notify_one(each))
        except Wrong as wrongs:
            problems += [Problem((number, *one.path), one.message) for one in wrongs.problems]
        except ValueError as error:
            problems.append(Problem((number,), str(error)))
    if problems:
        raise Wrong(problems)
    return tuple(read)


def _notify_one(value: Any) -> Notify:
    problems: list[Problem] = []
    read: dict[str, Any] = {}
    try:
        read = members(value, NOTIFY_FIELDS, "{on: failure, command: page}")
    except Wrong as wrongs:
        problems += wrongs.problems
    ways = [name for name in ("command", "webhook") if value.get(name) is not None]
    if len(ways) != 1:
        given = "both command and webhook are" if ways else "neither command nor webhook is"
        problems.append(Problem((), f"{given} given: expected one of them"))
    if value.get("headers") and ways == ["command"]:
        problems.append(Problem(("headers",), "headers are for webhook"))
    if problems:
        raise Wrong(problems)
    return Notify(**read)


def _occasions(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise ValueError(f"expected at least one of {', '.join(OCCASIONS)}")
    chosen = {choice(*OCCASIONS)(each) for each in given}
    return tuple(each for each in OCCASIONS if each in chosen)


def _webhook(value: Any) -> str:
    text = as_text(value)
    _check_places(text)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"expected a URL, got {shown(text)}: {error}") from error
    if text.startswith("${"):  # all of it may be the node's to know
        return text
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected http://... or https://..., got {shown(text)}")
    if "@" in parts.netloc:
        raise ValueError("a user or a password in the URL: put it into a header")
    if not text.isprintable() or not text.isascii() or " " in text:
        raise ValueError(f"expected a URL of plain ASCII, got {shown(text)}")
    return text


def _headers(value: Any) -> dict[str, str]:
    def wrong(name: str) -> str | None:
        if not _HEADER.fullmatch(name):
            return f"{shown(name)} is no name of a header"
        return f"{name!a} is synccron's own" if name.lower() in _OWN_HEADERS else None

    read = mapping(value, wrong, "names to texts")
    for inner in read.values():
        _check_places(inner)
        if not inner.isprintable() or not inner.isascii():
            raise ValueError("expected values of printable ASCII, on one line")
    if sum(len(name) + len(inner) for name, inner in read.items()) > LONGEST_HEADERS:
        raise ValueError(f"expected at most {LONGEST_HEADERS} characters in all")
    return read


def _check_places(text: str) -> None:
    for name in places(text):
        if (wrong := variable(name)) is not None:
            raise ValueError(f"${{{name}}}: {wrong}")


def places(text: str) -> tuple[str, ...]:
    """Give the names of the node's variables that a webhook's text asks for, as in `${TOKEN}`."""
    return tuple(_PLACE.findall(text))


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Put the node's variables into a webhook's text. Raises KeyError: one is not there."""
    return _PLACE.sub(lambda found: variables[found[1]], text)


_OCCASION = enum(*OCCASIONS)
NOTIFY_FIELDS = table(
    Field(
        "on",
        {"oneOf": [_OCCASION, {"type": "array", "items": _OCCASION, "minItems": 1}]},
        "what is told: all of it unless given",
        _occasions,
    ),
    Field("command", COMMAND, "a command that gets the notice as JSON on its input", command),
    Field("webhook", TEXT, "a URL that the notice is posted to, as JSON", _webhook),
    Field("headers", TEXTS, "headers of that request", _headers),
    Field("timeout", DURATION, "how long it may take", duration(SECOND, HOUR)),
)
