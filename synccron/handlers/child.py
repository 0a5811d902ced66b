"""The child's side of an attempt: set up after the fork, then the program or the Python handler.

Nothing here runs in the node or in the guardian's loop. What goes wrong before the program is told
over a pipe that closes by itself when the program starts.
"""

import asyncio
import inspect
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, NoReturn

from synccron.handlers import kernel, wire
from synccron.handlers.context import JobCancelled, JobContext, as_json

TRACE = 4 * 1024  # characters of a traceback that are kept
_RESET = (  # what the guardian, or Python itself, has changed
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGQUIT,
)


class SetUpError(Exception):
    """The attempt cannot start as it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The user that an attempt runs as."""

    name: str
    uid: int
    gid: int
    home: str


def set_up(parent: int, stdin: int, output: int, cwd: str | None, login: Login | None) -> None:
    """Turn a fresh fork into the leader of a session of its own. Raises SetUpError, OSError."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.dup2(stdin, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if login is not None:
        _become(login)
    # After the change of users, which would undo it. The guardian has one thread, so the signal
    # comes when the guardian ends, and not before.
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the guardian died before
    if cwd is not None:
        try:
            os.chdir(cwd)
        except OSError as error:
            raise SetUpError(f"cwd {cwd!r}: {error.strerror}") from error


def execute(words: list[str], environment: dict[str, str]) -> NoReturn:
    """Become the program. Raises SetUpError that says why not."""
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606 - that is what this is for
    except FileNotFoundError as error:
        missing = "no such command" if "/" not in words[0] or not os.path.exists(words[0]) else ""  # noqa: PTH110
        raise SetUpError(f"{missing or 'its interpreter is missing'}: {words[0]!r}") from error
    except PermissionError as error:
        raise SetUpError(f"not executable: {words[0]!r}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SetUpError(f"{words[0]!r} cannot be executed: {reason}") from error


def run_handler(job: wire.Message, environment: dict[str, str], control: socket.socket) -> NoReturn:
    """Run a Python handler in this process, tell its end, and exit."""
    os.environ.clear()
    os.environ.update(environment)
    # The guardian's own standard streams were never used: these write to the attempt's output.
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    status, message = 1, wire.Message()
    try:
        status, message = _call(job, control)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        try:
            control.sendall(wire.pack({"end": message}))
        finally:
            os._exit(status)


def _call(job: wire.Message, control: socket.socket) -> tuple[int, wire.Message]:
    context = _context(job, control)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        handler = _load(job["target"])
    except Exception as error:  # noqa: BLE001 - whatever its import raises is the handler's error
        _show(error)
        return 1, {"error": f"cannot be imported: {_last(error)}", "permanent": True}
    try:
        context.listen()
        result = handler(context)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return 0, {"result": as_json(result, "the result")}
    except JobCancelled as cancelled:
        return 1, {"error": str(cancelled)}
    except SystemExit as left:
        return _left(left)
    except BaseException as error:  # noqa: BLE001 - it is what the handler raised, told to the node
        _show(error)
        return 1, {"error": _trace(error)}


def _context(job: wire.Message, control: socket.socket) -> JobContext:
    inbox = wire.Inbox()

    def remember(key: str, value: str) -> str | None:
        control.sendall(wire.pack({"remember": key, "value": value}))
        while True:
            messages = wire.receive(control, inbox)
            if messages is None:
                raise JobCancelled("the node is gone")
            if messages:
                kept: str | None = messages[0]["kept"]
                return kept

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
        remember=remember,
    )


def _load(target: str) -> Callable[[JobContext], Any]:
    module, _, names = target.partition(":")
    found: Any = import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError(f"{target} is no function")
    return found  # type: ignore[no-any-return]


def _left(left: SystemExit) -> tuple[int, wire.Message]:
    if left.code is None or left.code == 0:
        return 0, {"result": "null"}
    if isinstance(left.code, int):
        return left.code & 0xFF or 1, {"error": f"exit status {left.code & 0xFF or 1}"}
    return 1, {"error": str(left.code)[:TRACE]}


def _show(error: BaseException) -> None:
    sys.stderr.write("".join(traceback.format_exception(error)))


def _trace(error: BaseException) -> str:
    """Give the end of a traceback, which names what was raised and where."""
    return "".join(traceback.format_exception(error))[-TRACE:].rstrip()


def _last(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()[:TRACE]


def _become(login: Login) -> None:
    """Give up root for a user, for good. Raises SetUpError."""
    if os.geteuid() == 0:
        os.initgroups(login.name, login.gid)
        os.setgid(login.gid)
        os.setuid(login.uid)
    if os.getresuid() != (login.uid,) * 3 or (os.getegid() != login.gid):
        raise SetUpError(f"user {login.name!r}: the change of users did not hold")
    kernel.gain_no_privileges()
