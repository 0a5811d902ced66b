"""One attempt in the guardian: what it is given, what is known of its end, and its outcome."""

import os
import pwd
import secrets
import signal
from collections.abc import Mapping

from synccron.handlers import wire
from synccron.handlers.child import Login, Refusal
from synccron.handlers.output import Output
from synccron.handlers.ward import Ward

_OWN = ("SYNCCRON_", "TRACEPARENT")  # the variables that each attempt has for itself


class Attempt:
    """What the guardian has of an attempt; `ward` is the process that runs it."""

    def __init__(self, job: wire.Message, passed: Mapping[str, str]) -> None:
        self.job = job
        self.fence: int = job["fence"]
        self.words: list[str] | None = job["words"]
        self.environment: dict[str, str] = {**passed, **job["environment"]}
        self.cwd: str | None = job["cwd"]
        self.limits: dict[str, int] = job["limits"]
        self.login: Login | None = None
        self.output = Output(job["log"])
        self.stdin = -1
        self.ward: Ward | None = None
        self.why: str | None = None
        self.refused: str | None = None
        self.broken: str | None = None
        self.told: wire.Message | None = None
        self.status: int | None = None
        self.drained = self.swept = False
        self._input: str | None = None

    @property
    def ended(self) -> bool:
        """Whether its main process has ended, or is another attempt's by now."""
        return self.status is not None

    @property
    def handler(self) -> str:
        """What a warm child must have imported, and under which environment, to run it."""
        target = self.job["target"]
        if target is None:
            raise Refusal(f"there is no entry point {self.job['handler']!r} on this node")
        asked = [
            each for each in sorted(self.job["environment"].items()) if not each[0].startswith(_OWN)
        ]
        return f"{target} {asked} {self.limits}"

    def log_in(self) -> None:
        """Find its user. Raises Refusal."""
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

    def furnish(self, folder: str) -> None:
        """Make what its program is given. Raises OSError."""
        path = f"{folder}/{secrets.token_hex(16)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o400)
        self._input = path
        try:
            os.write(fd, self.job["input"].encode())
            if self.login is not None and os.geteuid() == 0:
                os.fchown(fd, self.login.uid, self.login.gid)
        finally:
            os.close(fd)
        self.stdin = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.environment["SYNCCRON_INPUT_FILE"] = path

    def exited(self, status: int) -> None:
        """Note how its main process ended, as wait() gives it."""
        self.status = status

    def began(self) -> None:
        """Close what is its program's alone."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def clear(self) -> None:
        """Remove what it was given."""
        self.began()
        if self._input is not None:
            os.unlink(self._input)  # noqa: PTH108 - each attempt has one
            self._input = None

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
            why = None if self.why is None else _WHY[self.why]
            return _end(
                self.why or "failed", None, why or f"it could not be started: {self.broken}"
            )
        code, error = _explained(self.status)
        if error is not None and error.endswith("SIGXCPU") and "cpu" in self.limits:
            error += f": it used more than {self.limits['cpu']} s of CPU"
        if self.why is not None:
            return _end(self.why, code, _WHY[self.why])
        if self.words is not None:
            return _end("completed" if code == 0 else "failed", code, error)
        if self.told is not None and self.told["status"] == code:
            told = self.told.get("error")
            permanent = bool(self.told.get("permanent"))
            return _end("completed" if code == 0 else "failed", code, told, permanent=permanent)
        return _end("failed", code, error or "its process ended before the handler returned")


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
