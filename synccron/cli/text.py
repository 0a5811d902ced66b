"""Schedule files out: fields as YAML that `files.py` reads back as the same definitions.

It writes what that reader reads: every scalar is text whose field knows its type, and below `input`
a text is always quoted, so that it is not taken for a number.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from synccron.cli.paper import visible_text

_LONGEST_PLAIN = 100  # characters of a list that stands on one line


class _Quoted(str):
    """A text that is quoted whatever it is."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes texts as people would: on lines of their own where they have some."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    lines = text.split("\n")
    # What a block cannot show as it is (controls, other breaks, spaces at the edges) is quoted.
    block = len(lines) > 1 and all(line.isprintable() and line == line.strip() for line in lines)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if block else _style(text))


def _style(text: str) -> str | None:
    return None if text.isprintable() and "'" not in text else '"'


def _sequence(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    short = sum(len(str(each)) + 4 for each in items) < _LONGEST_PLAIN
    flow = short and all(isinstance(each, str | int) for each in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _sequence)
_Dumper.add_representer(
    _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), '"')
)
_QUOTED = ("cron", "input")
HEAD = "schedules:\n"
NOTHING = "schedules: {}\n"


def file_text(comments: Iterable[str], top: Mapping[str, Any]) -> str:
    """Write what stands above the schedules: comments of a line each, and fields of the file."""
    return _notes(comments, "") + (_dumped(top) if top else "")


def schedule_text(schedule_id: str, given: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """Write one schedule's fields as they stand below `schedules:`, after lines of comments."""
    fields = {name: _quoted(each) if name in _QUOTED else each for name, each in given.items()}
    lines = _dumped({schedule_id: fields}).split("\n")
    return _notes(comments, "  ") + "\n".join(f"  {line}" if line else "" for line in lines)


def _notes(comments: Iterable[str], indent: str) -> str:
    # YAML has more line breaks than one, and after any of them a comment is no comment any more.
    shown = (visible_text(line.replace("\n", " ")) for line in comments)
    return "".join(f"{indent}# {line}".rstrip() + "\n" for line in shown)


def _dumped(value: Mapping[str, Any]) -> str:
    return yaml.dump(
        dict(value),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
        default_flow_style=False,
    )


def _quoted(value: Any) -> Any:
    if isinstance(value, str):
        return _Quoted(value)
    if isinstance(value, Mapping):
        return {_Quoted(key): _quoted(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    return value
