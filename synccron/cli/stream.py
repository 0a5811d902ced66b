"""YAML as a stream: one schedule's nodes at a time, of a file of any length.

What the rest of the reader does not expect is refused before anything is built of it: aliases,
anchors, tags, further documents, what is nested too deep or too large.
"""

import codecs
import re
from collections.abc import Iterator
from typing import IO, Any

import yaml

LARGEST = 1024 * 1024 * 1024  # bytes of one file
LARGEST_NODE = 10 * 1024 * 1024  # characters of one schedule
DEEPEST = 80  # levels of one file
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Broken(Exception):
    """A file that cannot be read any further; line and column from 1 (0: the whole file)."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


class Stream:
    """The one document of a file: `ahead` is its next event, `node` takes a whole value.

    Every method raises Broken where the file cannot be read on.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._text = _Text(source)
        self._depth = 0
        self._events = self._checked()
        self.ahead: yaml.Event = self._next()

    def take(self) -> yaml.Event:
        """Take the event ahead."""
        taken, self.ahead = self.ahead, self._next()
        return taken

    def node(self) -> yaml.Node:
        """Take a whole value: a scalar, or a collection and all that is in it."""
        return self._node(_mark(self.ahead).index)

    def end(self) -> None:
        """Read to the end: there may be no more than this document."""
        while not isinstance(self.ahead, yaml.StreamEndEvent):
            self.take()

    def _node(self, start: int) -> yaml.Node:
        event = self.take()
        mark = _mark(event)
        if mark.index - start > LARGEST_NODE:
            raise broken_at(event, f"larger than {LARGEST_NODE} characters")
        if isinstance(event, yaml.ScalarEvent):
            return yaml.ScalarNode("", event.value, mark, None, event.style)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(self.ahead, yaml.SequenceEndEvent):
                items.append(self._node(start))
            self.take()
            return yaml.SequenceNode("", items, mark)
        if isinstance(event, yaml.MappingStartEvent):
            pairs = []
            while not isinstance(self.ahead, yaml.MappingEndEvent):
                pairs.append((self._node(start), self._node(start)))
            self.take()
            return yaml.MappingNode("", pairs, mark)
        raise broken_at(event, "unexpected here")

    def _next(self) -> yaml.Event:
        try:
            event = next(self._events)
        except yaml.MarkedYAMLError as error:
            raise self._explained(error) from error
        except yaml.YAMLError as error:
            raise Broken(0, 0, f"no YAML: {_one_line(str(error))}") from error
        self._text.since = 0
        return event

    def _checked(self) -> Iterator[yaml.Event]:
        documents = 0
        for event in yaml.parse(self._text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise broken_at(event, "a second document: expected one, without another ---")
            elif isinstance(event, yaml.AliasEvent):
                raise broken_at(event, f"alias *{event.anchor}: not supported, quote a plain *")
            elif isinstance(event, yaml.NodeEvent):
                if event.anchor is not None:
                    raise broken_at(event, f"anchor &{event.anchor}: not supported, write it out")
                tag = getattr(event, "tag", None)
                if tag is not None:
                    raise broken_at(event, f"tag {tag}: not supported, leave it out")
            if isinstance(event, yaml.CollectionStartEvent):
                self._depth += 1
                if self._depth > DEEPEST:
                    raise broken_at(event, f"deeper than {DEEPEST} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                self._depth -= 1
            yield event

    def _explained(self, error: yaml.MarkedYAMLError) -> Broken:
        """Say what was probably meant where YAML only says what it could not scan."""
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        shown = self._line(line)
        value = re.search(r":\s+(\*.*)$", shown)
        if value is not None:
            quoted = value[1].strip()
            meant = f'a value that begins with * must be quoted: "{quoted}"'
            return Broken(line, value.start(1) + 1, meant)
        if re.search(r":\s+@", shown):
            return Broken(line, shown.index("@") + 1, "a value that begins with @ must be quoted")
        if re.search(r":\s+%", shown):
            return Broken(line, shown.index("%") + 1, "a value that begins with % must be quoted")
        if "\t" in shown[: len(shown) - len(shown.lstrip())]:
            return Broken(line, 1, "a tab: YAML is indented with spaces")
        if "mapping values are not allowed" in (error.problem or ""):
            return Broken(line, column, "a colon here: quote the value, or check the indentation")
        return Broken(line, column, f"no YAML: {_one_line(error.problem or str(error))}")

    def _line(self, number: int) -> str:
        """Read one line of the file again."""
        self._source.seek(0)
        for at, line in enumerate(codecs.getreader("utf-8-sig")(self._source), 1):
            if at == number:
                return line.rstrip("\r\n")
        return ""


class _Text:
    """The file's text, as the parser asks for it; `since` counts what was read since an event."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._lines = self._size = self.since = 0

    def read(self, size: int = -1, /) -> str:
        content = self._source.read(size)
        self._size += len(content)
        self.since += len(content)
        if self._size > LARGEST:
            raise Broken(0, 0, f"larger than {LARGEST} bytes")
        if self.since > LARGEST_NODE:
            raise Broken(self._lines + 1, 1, f"a value larger than {LARGEST_NODE} bytes")
        try:
            text = self._decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            line = self._lines + bytes(error.object[: error.start]).count(b"\n") + 1
            raise Broken(line, 1, "no UTF-8 text") from error
        self._lines += text.count("\n")
        # An empty text ends the file for the parser: what the decoder holds back is asked for.
        return text if text or not content else self.read(size)


def broken_at(event: "yaml.Event | yaml.Node", message: str) -> Broken:
    """Give the error for what stands at an event or a node."""
    mark = _mark(event)
    return Broken(mark.line + 1, mark.column + 1, message)


def _mark(event: "yaml.Event | yaml.Node") -> Any:
    return event.start_mark  # absent in the types alone


def _one_line(text: str) -> str:
    return " ".join(text.split())
