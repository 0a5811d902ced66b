"""A warm child: it runs Python attempts one after another, until it is told to end.

Forked from the guardian, it imports its handler with the first attempt and keeps it. What an
attempt changes of its surroundings (environment, folder, umask, path, standard input) is made anew
for the next. What else it leaves behind (`traces`) makes the child end with it: a process that is
used again is as the import of its handler left it, but for what the handler keeps in variables.
"""

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from socket import socket
from types import CoroutineType
from typing import Any, NoReturn, TextIO

from synccron.handlers import kernel, wire
from synccron.handlers.context import JobCancelled, JobContext, as_json
from synccron.handlers.shape import BadInput, read, shape_of
from synccron.handlers.traces import look

TRACE = 4 * 1024  # characters of a traceback that are kept
GROWTH = 64 << 20  # bytes of memory by which attempts may make a child grow

_TERM = (signal.SIGTERM,)

Function = Callable[..., Any]


class _BrokenImport(Exception):
    """The handler cannot be imported."""


class _Node:
    """The way to the guardian, and through it to the node."""

    def __init__(self, control: socket) -> None:
        self._control = control
        self._inbox = wire.Inbox()
        self._come: list[wire.Message] = []

    def receive(self) -> wire.Message | None:
        """Wait for the next message; None: we are to end."""
        while not self._come:
            come = wire.receive(self._control, self._inbox)
            if come is None:
                return None
            self._come = come
        return self._come.pop(0)

    def send(self, message: wire.Message) -> None:
        self._control.sendall(wire.pack(message))

    def remember(self, key: str, value: str) -> str | None:
        self.send({"remember": key, "value": value})
        answer = self.receive()
        if answer is None:
            raise JobCancelled("the node is gone")
        kept: str | None = answer["kept"]
        return kept


class _Surroundings:
    """What each attempt finds as the first one did."""

    def __init__(self, passed: Mapping[str, str]) -> None:
        self._passed = passed
        self._path = list(sys.path)
        self._folder = Path.cwd()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        # The guardian's own standard streams were never used: these write to the attempt's output.
        sys.stdout, sys.stderr = _writer(1, -1), _writer(2, 1)
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s"
        )

    def restore(self, environment: Mapping[str, str], given: str) -> None:
        """Make them anew for an attempt, with its input."""
        descriptor = os.memfd_create("input")
        os.write(descriptor, given.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.dup2(descriptor, 0)
        os.close(descriptor)
        sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
        # A name for the same file, for as long as it is this attempt's.
        wanted = {**self._passed, **environment, "SYNCCRON_INPUT_FILE": f"/proc/{os.getpid()}/fd/0"}
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        sys.path[:] = self._path
        os.chdir(self._folder)
        os.umask(self._umask)


def serve(control: socket, passed: Mapping[str, str]) -> NoReturn:
    """Run the attempts that come, and exit when no more do; `passed` is what all of them get."""
    node = _Node(control)
    status = 0
    try:
        surroundings = _Surroundings(passed)
        handler: _Loaded | None = None
        while (job := node.receive()) is not None:
            surroundings.restore(job["environment"], job["input"])
            if handler is not None and handler.outdated():
                node.send({"stale": True})
                break
            try:
                handler = handler or _load(job["target"])
                told = _call(handler, job, node)
            except _BrokenImport as error:
                told = {"status": 1, "error": str(error), "permanent": True}
            again = handler is not None and handler.unchanged()
            _flush()
            status = told["status"]
            node.send({"end": told, "again": again})
            if not again:
                break
    finally:
        _flush()
        os._exit(status)


class _Loaded:
    """A handler that was imported: what it is, and how it left this process."""

    def __init__(self, function: Function, file: str | None) -> None:
        # From now on TERM waits outside of attempts: it is for the one that is coming, as a child
        # that was asked to end is not used again.
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        self.function = function
        self.shape = shape_of(function)
        self._file = file
        self._stamp = _stamp(file)
        self._traces, self._memory = look()

    def outdated(self) -> bool:
        """Whether its file is another by now: whoever changes it means the next attempt."""
        return _stamp(self._file) != self._stamp

    def unchanged(self) -> bool:
        """Whether the process is as the import left it."""
        traces, memory = look()
        return traces == self._traces and memory - self._memory <= GROWTH


def _load(target: str) -> _Loaded:
    module, _, names = target.partition(":")
    try:
        found: Any = import_module(module)
        file = getattr(found, "__file__", None)
        for name in names.split("."):
            found = getattr(found, name)
        if not callable(found):
            raise TypeError(f"{target} is no function")  # noqa: TRY301 - told like the others
        return _Loaded(found, file)
    except Exception as error:
        _show(error)
        raise _BrokenImport(f"cannot be imported: {_last(error)}") from error


def _call(handler: _Loaded, job: wire.Message, node: _Node) -> wire.Message:
    context = _context(job, node)
    try:
        typed = () if handler.shape is None else (read(context.input, handler.shape),)
    except BadInput as error:
        return {"status": 1, "error": str(error)[:TRACE], "permanent": True}
    try:
        context.listen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERM)
        result = handler.function(context, *typed)
        if isinstance(result, CoroutineType):
            result = _await(result)
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        return {"status": 0, "result": as_json(result, "the result")}
    except JobCancelled as cancelled:
        return {"status": 1, "error": str(cancelled)}
    except SystemExit as left:
        return _left(left)
    except BaseException as error:  # noqa: BLE001 - it is what the handler raised, told to the node
        _show(error)
        return {"status": 1, "error": _trace(error)}
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _await(result: "CoroutineType[Any, Any, Any]") -> Any:
    import asyncio  # for those alone who need it

    return asyncio.run(result)


def _context(job: wire.Message, node: _Node) -> JobContext:
    slot = job["slot"]
    return JobContext(
        job_id=job["job_id"],
        schedule_id=job["schedule_id"],
        slot=None
        if slot is None
        else datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=slot),
        attempt=job["attempt"],
        fence=job["fence"],
        input=json.loads(job["input"]),
        steps=dict(job["steps"]),
        remember=node.remember,
    )


def _writer(fd: int, buffering: int) -> TextIO:
    return os.fdopen(fd, "w", buffering, encoding="utf-8", errors="backslashreplace", closefd=False)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    kernel.flush_streams()


def _stamp(file: str | None) -> tuple[int, int] | None:
    try:
        found = os.stat(file) if file else None  # noqa: PTH116 - each attempt asks
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def _left(left: SystemExit) -> wire.Message:
    if left.code is None or left.code == 0:
        return {"status": 0, "result": "null"}
    if isinstance(left.code, int):
        status = left.code & 0xFF or 1
        return {"status": status, "error": f"exit status {status}"}
    return {"status": 1, "error": str(left.code)[:TRACE]}


def _show(error: BaseException) -> None:
    sys.stderr.write("".join(traceback.format_exception(error)))


def _trace(error: BaseException) -> str:
    """Give the end of a traceback, which names what was raised and where."""
    return "".join(traceback.format_exception(error))[-TRACE:].rstrip()


def _last(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:TRACE]
