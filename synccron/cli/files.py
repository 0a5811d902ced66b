"""Schedule files: YAML in, definitions out, and all errors with file, line and column.

YAML's implicit types, anchors, aliases, tags and several documents are left out: a scalar is text,
and the field that it is for says how it is read. Only below `input` do plain scalars have JSON's
types, as there is nobody else to say.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from synccron.errors import InvalidInput
from synccron.model.cron import timetable
from synccron.model.definition import FIELDS, Problem, define, unknown
from synccron.model.definition import Path as Place
from synccron.model.schedule import Definition
from synccron.model.time import format_duration

LARGEST = 10 * 1024 * 1024  # bytes of one file
DEEPEST = 80  # levels of one file
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_JSON_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
_NULLS = frozenset({"null", "~", ""})


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One error: where it stands (line and column from 1; 0: the whole file), and what it is."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Write it as compilers do."""
        if not self.line:
            return f"{self.file}: {self.message}"
        return f"{self.file}:{self.line}:{self.column}: {self.message}"

    def to_json(self) -> dict[str, object]:
        """Give an element of `details`."""
        return {
            "file": self.file,
            "line": self.line or None,
            "column": self.column or None,
            "message": self.message,
        }


class _Broken(Exception):
    """A file that cannot be read any further."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


def read_files(
    paths: Sequence[str], stdin: IO[bytes] | None = None, *, owners: set[str] | None = None
) -> list[Definition]:
    """Read files, folders of *.yaml and *.yml, and `-` (standard input).

    `owners` is told whom the files belong to, also those without a schedule. Raises InvalidInput
    whose `details` are all errors of all files.
    """
    findings: list[Finding] = []
    found: list[tuple[Definition, Finding]] = []
    whose: set[str] = set() if owners is None else owners
    for name, content in _contents(paths, stdin or sys.stdin.buffer, findings):
        found += _read(name, content, findings, whose)
    seen: dict[str, Finding] = {}
    for definition, place in found:
        first = seen.setdefault(definition.id, place)
        if first is not place:
            message = f"the schedule {definition.id!r} stands at {first.file}:{first.line} already"
            findings.append(Finding(place.file, place.line, place.column, message))
    if findings:
        findings.sort()
        raise InvalidInput(
            "\n".join(map(str, findings)), details=[each.to_json() for each in findings]
        )
    return [definition for definition, _ in found]


def read_owned(paths: Sequence[str]) -> tuple[list[Definition], frozenset[str]]:
    """Read files whose owners' other schedules are to go, and who the owners are.

    Raises InvalidInput: something in them has no owner.
    """
    owners: set[str] = set()
    definitions = read_files(paths, owners=owners)
    unowned = [each.id for each in definitions if each.owner is None]
    if unowned or not owners:
        what = f"the schedule {unowned[0]!r} has none" if unowned else "the file has none"
        raise InvalidInput(
            f"--prune needs an owner, and {what}",
            hint="write 'owner: NAME' at the top of the file: only NAME's schedules are removed",
        )
    return definitions, frozenset(owners)


def warnings(definitions: Iterable[Definition]) -> Iterator[str]:
    """Say what is legal but unwise."""
    for definition in definitions:
        table = timetable(definition.cron, definition.tz, definition.id)
        first = table.next(0)
        period = table.next(first) - first
        if definition.timeout is None:
            yield f"{definition.id}: no timeout: a job that hangs is never ended"
        elif definition.timeout > period:
            yield (
                f"{definition.id}: the timeout of {format_duration(definition.timeout)} is longer"
                f" than the {format_duration(period)} from slot to slot"
            )


def _contents(
    paths: Sequence[str], stdin: IO[bytes], findings: list[Finding]
) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path == "-":
            yield "<stdin>", stdin.read(LARGEST + 1)
            continue
        folder = Path(path)
        try:
            names = [folder]
            if folder.is_dir():
                names = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
                if not names:
                    findings.append(Finding(path, 0, 0, "the folder has no *.yaml file"))
            for name in names:
                with name.open("rb") as opened:
                    yield str(name), opened.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            findings.append(Finding(path, 0, 0, f"cannot be read: {reason}"))


def _read(
    name: str, content: bytes, findings: list[Finding], owners: set[str]
) -> list[tuple[Definition, Finding]]:
    file = _File(name, findings)
    try:
        found = file.definitions(_compose(content))
    except _Broken as broken:
        findings.append(Finding(name, broken.line, broken.column, broken.message))
        return []
    owners |= file.owners | {made.owner for made, _ in found if made.owner is not None}
    return found


def _compose(content: bytes) -> yaml.Node:
    """Parse one document, and refuse what the rest of this file does not expect."""
    if len(content) > LARGEST:
        raise _Broken(0, 0, f"larger than {LARGEST} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _Broken(line, 1, "no UTF-8 text") from error
    try:
        _check_events(text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        raise _explained(error, text) from error
    except yaml.YAMLError as error:
        raise _Broken(0, 0, f"no YAML: {_one_line(str(error))}") from error
    if root is None:
        raise _Broken(0, 0, "empty: expected a mapping with 'schedules'")
    return root


def _check_events(text: str) -> None:
    """Look at the stream of events first: nothing is built of what is refused (alias bombs)."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Broken(line, column, "a second document: expected one, without another ---")
        elif isinstance(event, yaml.AliasEvent):
            raise _Broken(line, column, f"alias *{event.anchor}: not supported, quote a plain *")
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                raise _Broken(line, column, f"anchor &{event.anchor}: not supported, write it out")
            tag = getattr(event, "tag", None)
            if tag is not None:
                raise _Broken(line, column, f"tag {tag}: not supported, leave it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _Broken(line, column, f"deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _explained(error: yaml.MarkedYAMLError, text: str) -> _Broken:
    """Say what was probably meant where YAML only says what it could not scan."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    value = re.search(r":\s+(\*.*)$", shown)
    if value is not None:
        quoted = value[1].strip()
        return _Broken(
            line, value.start(1) + 1, f'a value that begins with * must be quoted: "{quoted}"'
        )
    if re.search(r":\s+@", shown):
        return _Broken(line, shown.index("@") + 1, "a value that begins with @ must be quoted")
    if re.search(r":\s+%", shown):
        return _Broken(line, shown.index("%") + 1, "a value that begins with % must be quoted")
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return _Broken(line, 1, "a tab: YAML is indented with spaces")
    if "mapping values are not allowed" in (error.problem or ""):
        return _Broken(line, column, "a colon here: quote the value, or check the indentation")
    return _Broken(line, column, f"no YAML: {_one_line(error.problem or str(error))}")


class _File:
    """One file under way: its name, and where findings go."""

    def __init__(self, name: str, findings: list[Finding]) -> None:
        self._name = name
        self._findings = findings
        self.owners: set[str] = set()  # whom the whole file belongs to

    def definitions(self, root: yaml.Node) -> list[tuple[Definition, Finding]]:
        if not isinstance(root, yaml.MappingNode):
            self._find(root, "expected a mapping with 'schedules'")
            return []
        top = self._mapping(root)
        for name, (key, _) in top.items():
            if name not in _TOP:
                self._find(key, unknown(name, _TOP))
        if "schedules" not in top:
            self._find(root, "'schedules' is missing: expected a mapping of ids to schedules")
            return []
        defaults, default_nodes = self._defaults(top)
        _, schedules = top["schedules"]
        if not isinstance(schedules, yaml.MappingNode):
            self._find(schedules, "expected a mapping of ids to schedules")
            return []
        found = []
        for name, (key, node) in self._mapping(schedules).items():
            definition = self._schedule(name, key, node, defaults, default_nodes)
            if definition is not None:
                found.append((definition, self._place(key, "")))
        return found

    def _defaults(
        self, top: Mapping[str, tuple[yaml.Node, yaml.Node]]
    ) -> tuple[dict[str, Any], dict[str, yaml.Node]]:
        """Check the defaults once, on their own, so that no schedule repeats their errors.

        The file's owner is one of them.
        """
        if "defaults" not in top and "owner" not in top:
            return {}, {}
        _, node = top["defaults"] if "defaults" in top else top["owner"]
        values: dict[str, Any] = {}
        nodes: dict[str, yaml.Node] = {}
        if "defaults" in top:
            if not isinstance(node, yaml.MappingNode):
                self._find(node, "expected a mapping of fields")
                return {}, {}
            values, nodes = self._fields(node)
        if "owner" in top:
            nodes["owner"] = top["owner"][1]
            values["owner"] = self._plain(nodes["owner"])
        complete = {"cron": "@hourly", **values}
        if values.get("run") is None and values.get("handler") is None:
            complete["run"] = "true"
        _, problems = define("defaults", complete)
        bad = {str(problem.path[0]) for problem in problems if problem.path}
        self._problems(problems, nodes, node)
        good = {name: value for name, value in values.items() if name not in bad}
        if good.get("owner") is not None:
            self.owners.add(good["owner"])
        return good, nodes

    def _schedule(
        self,
        name: str,
        key: yaml.Node,
        node: yaml.Node,
        defaults: Mapping[str, Any],
        default_nodes: Mapping[str, yaml.Node],
    ) -> Definition | None:
        if not isinstance(node, yaml.MappingNode):
            self._find(node, f"expected the fields of the schedule {name!a}")
            return None
        values, nodes = self._fields(node)
        merged = {**defaults, **values}
        # Either of the two in a schedule replaces either of them in the defaults.
        for mine, other in (("run", "handler"), ("handler", "run")):
            if mine in values and other not in values:
                merged.pop(other, None)
        definition, problems = define(name, merged)
        self._problems(problems, {**default_nodes, **nodes}, key)
        return definition

    def _fields(self, node: yaml.MappingNode) -> tuple[dict[str, Any], dict[str, yaml.Node]]:
        """Give the values of fields, and where each stands (its key where it is unknown)."""
        values: dict[str, Any] = {}
        nodes: dict[str, yaml.Node] = {}
        for name, (key, value) in self._mapping(node).items():
            nodes[name] = value if name in FIELDS else key
            values[name] = self._json(value) if name == "input" else self._plain(value)
        return values, nodes

    def _problems(
        self, problems: Iterable[Problem], nodes: Mapping[str, yaml.Node], otherwise: yaml.Node
    ) -> None:
        for problem in problems:
            node = otherwise
            if problem.path:
                node = nodes.get(str(problem.path[0]), otherwise)
                node = _inner(node, problem.path[1:])
            message = problem.message
            if problem.path and not message.startswith("unknown field"):
                message = f"{'.'.join(map(str, problem.path))}: {message}"
            self._find(node, message)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._find(key, "expected text as a key")
            elif key.value in found:
                first = found[key.value][0].start_mark.line + 1
                self._find(key, f"{key.value!a} is given twice, first in line {first}")
            elif key.value == "<<" and not key.style:
                self._find(key, "merge key <<: not supported, write it out")
            else:
                found[key.value] = (key, value)
        return found

    def _plain(self, node: yaml.Node) -> Any:
        """Give a value whose scalars stay text; a plain null is None."""
        if isinstance(node, yaml.ScalarNode):
            return None if not node.style and node.value in _NULLS else node.value
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each) for each in node.value]
        if isinstance(node, yaml.MappingNode):
            return {name: self._plain(value) for name, (_, value) in self._mapping(node).items()}
        raise _Broken(node.start_mark.line + 1, node.start_mark.column + 1, "unexpected here")

    def _json(self, node: yaml.Node) -> Any:
        """Give a JSON value: plain scalars by JSON's rules, all others are text."""
        if isinstance(node, yaml.ScalarNode):
            if node.style:
                return node.value
            if node.value in _JSON_WORDS:
                return _JSON_WORDS[node.value]
            if _JSON_NUMBER.fullmatch(node.value) and len(node.value) <= 300:  # noqa: PLR2004
                number = json.loads(node.value)
                return node.value if number in (float("inf"), float("-inf")) else number
            return node.value
        if isinstance(node, yaml.SequenceNode):
            return [self._json(each) for each in node.value]
        if isinstance(node, yaml.MappingNode):
            return {name: self._json(value) for name, (_, value) in self._mapping(node).items()}
        raise _Broken(node.start_mark.line + 1, node.start_mark.column + 1, "unexpected here")

    def _find(self, node: yaml.Node, message: str) -> None:
        self._findings.append(self._place(node, message))

    def _place(self, node: yaml.Node, message: str) -> Finding:
        mark = node.start_mark
        return Finding(self._name, mark.line + 1, mark.column + 1, message)


_TOP: dict[str, object] = {"schedules": None, "defaults": None, "owner": None}


def _inner(node: yaml.Node, path: Place) -> yaml.Node:
    """Find the node of a problem below a field: the value, or the key of what is unknown there."""
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            continue
        if not isinstance(node, yaml.MappingNode):
            return node
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                node = value
                break
        else:
            return node
    return node


def _one_line(text: str) -> str:
    return " ".join(text.split())
