"""One attempt in the guardian: its descriptors, what is known of its end, and its outcome."""

import os
import pwd
import secrets
import signal
import socket
from pathlib import Path

from synccron.handlers import wire
from synccron.handlers.child import Login
from synccron.handlers.output import Output

CHUNK = 1 << 16  # bytes read at once: one who floods must not keep the others waiting


class Refusal(Exception):
    """The attempt cannot start as it was asked for."""


class Attempt:
    """What the guardian has of an attempt; `fds` are the ends it reads, by what comes there."""

    def __init__(self, job: wire.Message) -> None:
        self.job = job
        self.fence: int = job["fence"]
        self.words: list[str] | None = job["words"]
        self.environment: dict[str, str] = dict(job["environment"])
        self.cwd: str | None = job["cwd"]
        self.login: Login | None = None
        self.output = Output(job["log"])
        self.inbox = wire.Inbox()
        self.fds: dict[str, int] = {}
        self.pid = 0
        self.stdin = self.output_end = self.refusal_end = self.control_end = -1
        self.why: str | None = None
        self.refused: str | None = None
        self.told: wire.Message | None = None
        self.status: int | None = None
        self.drained = self.swept = False
        self._control: socket.socket | None = None
        self._input: Path | None = None

    @property
    def ended(self) -> bool:
        """Whether its main process has ended."""
        return self.status is not None

    def prepare(self, folder: Path) -> None:
        """Make what the child is given. Raises Refusal, OSError."""
        if self.words is None and self.job["target"] is None:
            raise Refusal(f"there is no entry point {self.job['handler']!r} on this node")
        self._log_in()
        self._give_input(folder)
        self.fds["output"], self.output_end = os.pipe2(os.O_CLOEXEC)
        self.fds["refusal"], self.refusal_end = os.pipe2(os.O_CLOEXEC)
        if self.words is None:
            self._control, theirs = socket.socketpair()
            self.control_end = theirs.detach()
            self.fds["control"] = os.dup(self._control.fileno())
        for fd in self.fds.values():
            os.set_blocking(fd, False)

    def started(self, pid: int) -> None:
        """Note its main process, and close what is the child's alone."""
        self.pid = pid
        self._close_childs_ends()

    def readers(self) -> list[tuple[int, str]]:
        """Give the descriptors to be watched, with what comes there."""
        return [(fd, what) for what, fd in self.fds.items()]

    def answer(self, kept: str | None) -> None:
        """Tell the handler what the store keeps of a step."""
        if self._control is not None:
            try:
                self._control.setblocking(True)
                self._control.sendall(wire.pack({"kept": kept}))
            except OSError:
                return  # it has ended meanwhile

    def exited(self, status: int) -> None:
        """Note how its main process ended, as wait() gives it."""
        self.status = status

    def clear(self) -> None:
        """Remove what it was given."""
        self._close_childs_ends()
        if self._control is not None:
            self._control.close()
        if self._input is not None:
            self._input.unlink(missing_ok=True)

    def outcome(self) -> wire.Message:
        """Say how it ended: the fields of an Outcome."""
        tail = self.output.tail.decode("latin-1")
        ended = {**self._ending(), "tail": tail, "truncated": self.output.truncated}
        if ended["ending"] == "completed" and self.told is not None:
            ended["result"] = self.told["result"]
        return ended

    def _ending(self) -> wire.Message:
        if self.refused is not None:
            code = 126 if "not executable" in self.refused else 127
            return _end("failed", code, self.refused, permanent=True)
        if self.status is None:
            return _end("failed", None, "it could not be started", permanent=True)
        code, error = _explained(self.status)
        if self.why is not None:
            return _end(self.why, code, _WHY[self.why])
        if self.words is not None:
            return _end("completed" if code == 0 else "failed", code, error)
        if self.told is not None and ("result" in self.told) == (code == 0):
            told = self.told.get("error")
            permanent = bool(self.told.get("permanent"))
            return _end("completed" if code == 0 else "failed", code, told, permanent=permanent)
        return _end("failed", code, error or "its process ended before the handler returned")

    def _log_in(self) -> None:
        user = self.job["user"]
        if user is None:
            return
        try:
            found = pwd.getpwnam(user)
        except KeyError as error:
            raise Refusal(f"unknown user {user!r}") from error
        if os.geteuid() != found.pw_uid and os.geteuid() != 0:
            raise Refusal(f"user {user!r}: only a node of root may run as others")
        self.login = Login(name=user, uid=found.pw_uid, gid=found.pw_gid, home=found.pw_dir)
        self.environment.update(HOME=found.pw_dir, USER=user)

    def _give_input(self, folder: Path) -> None:
        content: bytes = self.job["input"].encode()
        self._input = folder / secrets.token_hex(16)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._input, flags, 0o400)
        try:
            os.write(fd, content)
            if self.login is not None and os.geteuid() == 0:
                os.fchown(fd, self.login.uid, self.login.gid)
        finally:
            os.close(fd)
        self.stdin = os.open(self._input, os.O_RDONLY | os.O_CLOEXEC)
        self.environment["SYNCCRON_INPUT_FILE"] = str(self._input)

    def _close_childs_ends(self) -> None:
        for fd in (self.stdin, self.output_end, self.refusal_end, self.control_end):
            if fd >= 0:
                os.close(fd)
        self.stdin = self.output_end = self.refusal_end = self.control_end = -1


_WHY = {
    "timed_out": "it ran longer than its timeout",
    "cancelled": "it was cancelled",
    "given_back": "its node stopped",
    "lost": "its node could not be sure of its claim any more",
}


def _end(
    ending: str, code: int | None, error: str | None, *, permanent: bool = False
) -> wire.Message:
    return {"ending": ending, "exit_code": code, "error": error, "permanent": permanent}


def _explained(status: int) -> tuple[int, str | None]:
    """Give an exit code as shells do, and what is wrong with it."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return 128 + number, f"killed by {name}"
    code = os.WEXITSTATUS(status)
    return code, f"exit status {code}" if code else None
