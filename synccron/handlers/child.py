"""The child's side of a start by fork: it sets itself up, then becomes the program.

Nothing here runs in the node or in the guardian's loop. What goes wrong before the program is told
over a pipe that closes by itself when the program starts.
"""

import os
import signal
from dataclasses import dataclass
from typing import NoReturn

from synccron.handlers import kernel

# What the guardian, or Python itself, has changed.
CHANGED_SIGNALS = (
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGUSR1,
)


class Refusal(Exception):
    """The attempt cannot start as it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The user that an attempt runs as."""

    name: str
    uid: int
    gid: int
    home: str


def set_up(parent: int, stdin: int, output: int, cwd: str | None, login: Login | None) -> None:
    """Turn a fresh fork into the leader of a session of its own. Raises Refusal, OSError."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in CHANGED_SIGNALS:
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
            raise Refusal(f"cwd {cwd!r}: {error.strerror}") from error


def execute(words: list[str], environment: dict[str, str]) -> NoReturn:
    """Become the program. Raises Refusal that says why not."""
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606 - that is what this is for
    except (OSError, ValueError) as error:
        raise refusal(words[0], error) from error


def refusal(program: str, error: OSError | ValueError) -> Refusal:
    """Say why a program could not be executed."""
    if isinstance(error, FileNotFoundError):
        there = "/" in program and os.path.exists(program)  # noqa: PTH110 - no second object
        missing = "its interpreter is missing" if there else "no such command"
        return Refusal(f"{missing}: {program!r}")
    if isinstance(error, PermissionError):
        return Refusal(f"not executable: {program!r}")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Refusal(f"{program!r} cannot be executed: {reason}")


def _become(login: Login) -> None:
    """Give up root for a user, for good. Raises Refusal."""
    if os.geteuid() == 0:
        os.initgroups(login.name, login.gid)
        os.setgid(login.gid)
        os.setuid(login.uid)
    if os.getresuid() != (login.uid,) * 3 or (os.getegid() != login.gid):
        raise Refusal(f"user {login.name!r}: the change of users did not hold")
    kernel.gain_no_privileges()
