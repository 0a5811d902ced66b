"""A ward: a process below the guardian that leads a session of its own, and how it begins.

It is the main process of one attempt, or (a warm child) of one Python attempt after another.
A program begins by posix_spawn, which costs less than half of a fork: nothing of the guardian is
copied. What posix_spawn cannot do is done by a fork that sets itself up: another user, limits, a
folder (a dead mount would hold up the guardian, which has all others to watch), Python itself.
"""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from synccron.handlers import wire
from synccron.handlers.cells import Cell
from synccron.handlers.child import CHANGED_SIGNALS, Refusal, execute, refusal, set_up
from synccron.handlers.limits import impose

if TYPE_CHECKING:
    from synccron.handlers.attempt import Attempt

_PATH = "/usr/bin:/bin"  # where a program is looked for in an environment without PATH


class Ward:
    """One process; `fds` are the ends that the guardian reads, by what comes there.

    `attempt` is what it runs now. `handler` tells what a warm child may be used for again, `jobs`
    how often it was; one that is `spoiled` is not used again.
    """

    def __init__(self, pid: int, fds: dict[str, int]) -> None:
        self.pid = pid
        self.fds = fds
        self.attempt: Attempt | None = None
        self.handler: str | None = None
        self.control: socket.socket | None = None
        self.inbox = wire.Inbox()
        self.outbox = wire.Outbox()
        self.cell: Cell | None = None
        self.jobs = 0
        self.spoiled = False

    def close(self) -> None:
        """Close our ends: a warm child takes that for the end of its work."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()
        if self.control is not None:
            self.control.close()
            self.control = None


def spawn(words: list[str], environment: dict[str, str], stdin: int) -> Ward:
    """Start a program that needs nothing but its session. Raises Refusal, OSError."""
    output, theirs = _pipe()
    try:
        pid = _posix_spawn(words, environment, stdin, theirs)
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(theirs)
    return Ward(pid, {"output": output})


def fork(begin: Callable[[int, int], NoReturn]) -> Ward:
    """Start a process by a fork, in which `begin` gets its ends of output and refusal.

    Safe: the guardian has one thread, and nothing that a copy could disturb. Raises OSError.
    """
    output, theirs = _pipe()
    refused, told = _pipe()
    pid = os.fork()
    if pid == 0:
        _begin(begin, theirs, told)
    os.close(theirs)
    os.close(told)
    return Ward(pid, {"output": output, "refusal": refused})


def program(attempt: "Attempt", guardian: int) -> Callable[[int, int], NoReturn]:
    """Give what a fork does to become the program of an attempt."""

    def begin(output: int, _told: int) -> NoReturn:
        set_up(guardian, attempt.stdin, output, attempt.cwd, attempt.login)
        impose(attempt.limits)  # last: a program of little memory is more than Python
        execute(attempt.words or [], attempt.environment)

    return begin


def _begin(begin: Callable[[int, int], NoReturn], output: int, told: int) -> NoReturn:
    try:
        begin(output, told)
    except Refusal as error:
        os.write(told, str(error).encode()[:4000])
    except BaseException as error:  # noqa: BLE001 - told to the guardian; this process ends
        os.write(told, f"cannot be started: {error}".encode()[:4000])
    finally:
        os._exit(127)


def _posix_spawn(words: list[str], environment: dict[str, str], stdin: int, output: int) -> int:
    failed: OSError | ValueError | None = None
    for path in _places(words[0], environment):
        try:
            return os.posix_spawn(
                path,
                words,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=CHANGED_SIGNALS,
            )
        except (FileNotFoundError, NotADirectoryError) as missing:
            failed = failed or missing
        except (OSError, ValueError) as error:
            failed = error
    raise refusal(words[0], failed or FileNotFoundError())


def _places(name: str, environment: dict[str, str]) -> list[str]:
    """Give the files that a program's name may mean, as execvp does."""
    if "/" in name:
        return [name]
    folders = environment.get("PATH", _PATH).split(os.pathsep)
    places = [f"{folder or '.'}/{name}" for folder in folders]
    return [place for place in places if os.path.exists(place)]  # noqa: PTH110 - as above


def _pipe() -> tuple[int, int]:
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    return ours, theirs


def signal_group(pid: int, number: int) -> None:
    """Signal a group by its leader's pid, or the leader alone that is not set up yet."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            return
    except PermissionError:
        return


def has_exited(pid: int) -> bool:
    """Tell whether a child of ours has ended, without taking its end."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def group(pid: int) -> int | None:
    """Give the group of a process; None: it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
