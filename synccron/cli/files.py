"""Schedule files: YAML in, definitions out, and all errors with file, line and column.

A file is read as a stream (`stream.py`), one schedule at a time, and what was checked is spooled
(`spool.py`): a million schedules take no more memory than one.

YAML's implicit types, anchors, aliases, tags and several documents are left out: a scalar is text,
and the field that it is for says how it is read. Only below `input` do plain scalars have JSON's
types, as there is nobody else to say.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from synccron.cli.spool import Spool
from synccron.cli.stream import LARGEST, Broken, Stream, broken_at
from synccron.errors import InvalidInput
from synccron.model.cron import timetable
from synccron.model.definition import FIELDS, define
from synccron.model.reading import Path as Place
from synccron.model.reading import Problem, unknown
from synccron.model.schedule import Definition, JsonText
from synccron.model.time import format_duration

_ASKED_AT_ONCE = 5000  # inputs
_MOST = 1000  # errors that are told
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


def read_files(
    paths: Sequence[str],
    stdin: IO[bytes] | None = None,
    progress: Callable[[int], object] = lambda _: None,
    *,
    owners: set[str] | None = None,
) -> Spool:
    """Read files, folders of *.yaml and *.yml, and `-` (standard input).

    `progress` is told how many schedules have been checked, `owners` whom the files belong to, also
    those without a schedule. Raises InvalidInput whose `details` are all errors of all files (the
    first thousand, where there are more).
    """
    spool = Spool()
    findings: list[Finding] = []
    whose = set() if owners is None else owners
    names: list[str] = []
    try:
        for name, source in _sources(paths, stdin or sys.stdin.buffer, findings):
            names.append(name)
            _File(names, findings, spool, whose, progress).read(source)
            if len(findings) > _MOST:
                break
    except BaseException:
        spool.close()
        raise
    if findings:
        spool.close()
        raise _refused(findings)
    return spool


def read_owned(
    paths: Sequence[str], progress: Callable[[int], object] = lambda _: None
) -> tuple[Spool, frozenset[str]]:
    """Read files whose owners' other schedules are to go, and who the owners are.

    Raises InvalidInput: something in them has no owner.
    """
    owners: set[str] = set()
    spool = read_files(paths, progress=progress, owners=owners)
    unowned = next((each.id for each in spool if each.owner is None), None)
    if unowned is not None or not owners:
        spool.close()
        what = f"the schedule {unowned!r} has none" if unowned else "the file has none"
        raise InvalidInput(
            f"--prune needs an owner, and {what}",
            hint="write 'owner: NAME' at the top of the file: only NAME's schedules are removed",
        )
    return spool, frozenset(owners)


def _refused(findings: list[Finding]) -> InvalidInput:
    findings.sort()
    shown = findings[:_MOST]
    if len(findings) > _MOST:
        shown.append(Finding(shown[-1].file, 0, 0, f"and more: the first {_MOST} errors are shown"))
    return InvalidInput("\n".join(map(str, shown)), details=[each.to_json() for each in shown])


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


def _sources(
    paths: Sequence[str], stdin: IO[bytes], findings: list[Finding]
) -> Iterator[tuple[str, IO[bytes]]]:
    """Open each file in turn, so that it can be read more than once."""
    for path in paths:
        if path == "-":
            with _seekable(stdin) as source:
                yield "<stdin>", source
            continue
        folder = Path(path)
        try:
            names = [folder]
            if folder.is_dir():
                names = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
                if not names:
                    findings.append(Finding(path, 0, 0, "the folder has no *.yaml file"))
            for name in names:
                with name.open("rb") as opened, _seekable(opened) as source:
                    yield str(name), source
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            findings.append(Finding(path, 0, 0, f"cannot be read: {reason}"))


@contextmanager
def _seekable(source: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a source that can be read again: a pipe is kept in a temporary file."""
    if source.seekable():
        yield source
        return
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(_Bounded(source), kept)
        yield kept


class _Bounded:
    """A source of which no more is read than a file may have, and one byte."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self._left = source, LARGEST + 1

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(content)
        return content


class _Late(Exception):
    def __init__(self, found: dict[str, yaml.Node]) -> None:
        super().__init__()
        self.found = found


class _File:
    """One file under way: the last of the names, and where findings and definitions go."""

    def __init__(
        self,
        names: Sequence[str],
        findings: list[Finding],
        spool: Spool,
        owners: set[str],
        progress: Callable[[int], object],
    ) -> None:
        self._names = names
        self._number = len(names) - 1
        self._findings = findings
        self._spool = spool
        self._owners = owners
        self._progress = progress
        # Handlers that can be imported here are asked of many inputs at once.
        self._inputs: list[tuple[str, JsonText, yaml.Node]] = []
        self._shapeless: set[str] = set()

    def read(self, source: IO[bytes]) -> None:
        """Read the file; where it cannot be read on, that alone is said of it."""
        known = len(self._findings)
        forall: dict[str, yaml.Node] = {}
        while True:
            source.seek(0)
            try:
                self._document(Stream(source), forall)
            except _Late as late:
                forall = late.found
                self._spool.forget(self._number)
                self._inputs.clear()
                del self._findings[known:]
            except _Enough:
                return
            except Broken as broken:
                del self._findings[known:]
                self._findings.append(
                    Finding(self._names[-1], broken.line, broken.column, broken.message)
                )
                return
            else:
                self._ask()
                return

    def _document(self, stream: Stream, forall: dict[str, yaml.Node]) -> None:
        """Read the one document; `forall` is what stands after the schedules, and is for them."""
        stream.take()  # the stream's own start
        if isinstance(stream.ahead, yaml.StreamEndEvent):
            raise Broken(0, 0, "empty: expected a mapping with 'schedules'")
        stream.take()  # the document's
        root = stream.ahead
        if not isinstance(root, yaml.MappingStartEvent):
            self._find(stream.node(), "expected a mapping with 'schedules'")
            stream.end()
            return
        stream.take()
        forall = dict(forall)
        top: dict[str, yaml.Node] = {}
        while not isinstance(stream.ahead, yaml.MappingEndEvent):
            key = stream.node()
            name = self._key(key, top)
            if name == "schedules":
                self._schedules(stream, self._defaults(forall))
                continue
            node = stream.node()
            if name in _FOR_ALL and name not in forall:
                forall[name] = node
                if "schedules" in top:  # those were checked without
                    raise _Late(forall)
            elif name is not None and name not in _TOP:
                self._find(key, unknown(name, _TOP))
        if "schedules" not in top:
            self._find(root, "'schedules' is missing: expected a mapping of ids to schedules")
        stream.end()

    def _schedules(
        self, stream: Stream, defaults: tuple[dict[str, Any], dict[str, yaml.Node]]
    ) -> None:
        if not isinstance(stream.ahead, yaml.MappingStartEvent):
            self._find(stream.node(), "expected a mapping of ids to schedules")
            return
        stream.take()
        while not isinstance(stream.ahead, yaml.MappingEndEvent):
            key, node = stream.node(), stream.node()
            if (name := self._key(key, {})) is not None:
                self._one(name, key, node, defaults)
            if len(self._findings) > _MOST:
                raise _Enough
        stream.take()

    def _one(
        self,
        name: str,
        key: yaml.Node,
        node: yaml.Node,
        defaults: tuple[dict[str, Any], dict[str, yaml.Node]],
    ) -> None:
        file, line = self._spool.take(name, self._number, key.start_mark.line + 1)
        if file == self._number and line is not None:
            self._find(key, f"{name!a} is given twice, first in line {line}")
            return
        definition = self._schedule(name, key, node, *defaults)
        if definition is None:
            return
        if line is not None:
            self._find(key, f"the schedule {name!r} stands at {self._names[file]}:{line} already")
            return
        if definition.owner is not None:
            self._owners.add(definition.owner)
        self._spool.put(definition)
        self._progress(len(self._spool))

    def _key(self, key: yaml.Node, found: dict[str, yaml.Node]) -> str | None:
        """Check a key, and add it to those that were found; None: it is none, and was told."""
        if not isinstance(key, yaml.ScalarNode):
            self._find(key, "expected text as a key")
        elif key.value in found:
            first = found[key.value].start_mark.line + 1
            self._find(key, f"{key.value!a} is given twice, first in line {first}")
        elif key.value == "<<" and not key.style:
            self._find(key, "merge key <<: not supported, write it out")
        else:
            found[key.value] = key
            name: str = key.value
            return name
        return None

    def _defaults(
        self, forall: Mapping[str, yaml.Node]
    ) -> tuple[dict[str, Any], dict[str, yaml.Node]]:
        """Check the defaults once, on their own, so that no schedule repeats their errors.

        The file's owner is one of them.
        """
        if not forall:
            return {}, {}
        node = forall.get("defaults", forall.get("owner"))
        values: dict[str, Any] = {}
        nodes: dict[str, yaml.Node] = {}
        if "defaults" in forall:
            if not isinstance(node, yaml.MappingNode):
                self._find(forall["defaults"], "expected a mapping of fields")
                return {}, {}
            values, nodes = self._fields(node)
        if "owner" in forall:
            nodes["owner"] = forall["owner"]
            values["owner"] = self._plain(nodes["owner"])
        complete = {"cron": "@hourly", **values}
        if values.get("run") is None and values.get("handler") is None:
            complete["run"] = "true"
        _, problems = define("defaults", complete)
        bad = {str(problem.path[0]) for problem in problems if problem.path}
        self._problems(problems, nodes, next(iter(forall.values())))
        good = {name: value for name, value in values.items() if name not in bad}
        if good.get("owner") is not None:
            self._owners.add(good["owner"])
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
        nodes = {**default_nodes, **nodes}
        self._problems(problems, nodes, key)
        handler = None if definition is None else definition.handler
        if definition is not None and handler is not None and handler not in self._shapeless:
            self._inputs.append((handler, definition.input, nodes.get("input", key)))
            if len(self._inputs) >= _ASKED_AT_ONCE:
                self._ask()
        return definition

    def _ask(self) -> None:
        """Ask the handlers of what was read since the last time whether they take their inputs."""
        asked, self._inputs = self._inputs, []
        if not asked:
            return
        from synccron.handlers.inputs import ill_shaped

        answers = ill_shaped([(name, text) for name, text, _ in asked], self._shapeless)
        for (_, _, node), problems in zip(asked, answers, strict=True):
            for path, message in problems:
                place = ".".join(("input", *map(str, path)))
                self._find(_inner(node, path), f"{place}: {message}")

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
        keys: dict[str, yaml.Node] = {}
        return {
            name: (key, value)
            for key, value in node.value
            if (name := self._key(key, keys)) is not None
        }

    def _plain(self, node: yaml.Node) -> Any:
        """Give a value whose scalars stay text; a plain null is None."""
        if isinstance(node, yaml.ScalarNode):
            return None if not node.style and node.value in _NULLS else node.value
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each) for each in node.value]
        if isinstance(node, yaml.MappingNode):
            return {name: self._plain(value) for name, (_, value) in self._mapping(node).items()}
        raise broken_at(node, "unexpected here")

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
        raise broken_at(node, "unexpected here")

    def _find(self, node: yaml.Node | yaml.Event, message: str) -> None:
        mark: Any = node.start_mark
        self._findings.append(Finding(self._names[-1], mark.line + 1, mark.column + 1, message))


class _Enough(Exception):
    pass


_FOR_ALL = ("defaults", "owner")  # what stands beside the schedules, and is for all of them
_TOP: dict[str, object] = dict.fromkeys(("schedules", *_FOR_ALL))


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
