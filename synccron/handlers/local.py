"""The node's side of its guardian: attempts go in, their ends come back."""

import itertools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from synccron.handlers import orphans, wire
from synccron.handlers.base import Invocation
from synccron.handlers.cells import end_cells
from synccron.handlers.environment import own_environment, passed, plain_environment
from synccron.handlers.permit import forbidden
from synccron.handlers.resolve import target
from synccron.handlers.scratch import remove_folders
from synccron.model.job import Ending, Outcome
from synccron.model.schedule import Limits

_NUMBERS = itertools.count()
Ended = Callable[[Outcome], None]


@dataclass(slots=True)
class _Running:
    invocation: Invocation
    ended: Ended


class LocalRun:
    """One attempt under way."""

    def __init__(self, guard: "_Guard", fence: int) -> None:
        self._guard, self._fence = guard, fence

    def stop(self, why: Ending) -> None:
        """Ask it to end (TERM), and KILL it `kill_after` later; the first `why` stays."""
        self._guard.send({"fence": self._fence, "stop": why})


class LocalHandlers:
    """Starts attempts on this host, under a guardian; an implementation of Handlers.

    `store` names the node's store on this host: what an earlier node of it left here is ended.
    `pass_env` are names, or prefixes with `*`, of the node's variables that attempts get; `cells`
    tells whether control groups are used where they can be. With `allow_run`, what is no
    installed entry point, and no command that it permits, fails for good and is not started. The
    lock guards `_guard`, which is made anew when a guardian died.
    """

    def __init__(
        self,
        *,
        store: str,
        pass_env: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        cells: bool = True,
        allow_run: Sequence[str] | None = None,
    ) -> None:
        self._store, self._cells = store, cells
        self._allow_run = None if allow_run is None else tuple(allow_run)
        self._pass_env = tuple(pass_env)
        self._passed = passed(os.environ if environ is None else environ, pass_env)
        self._lock = threading.Lock()
        self._closed = False
        self._told: dict[str, wire.Message] = {}  # what a guardian has to know, the newest of each
        self._guard = self._guarded()

    def start(self, invocation: Invocation, ended: Ended) -> LocalRun:
        """Start an attempt, don't wait for it; `ended` is called once, from another thread."""
        message = self._message(invocation)
        with self._lock:
            if not self._guard.alive and not self._closed:
                self._guard.close()
                self._guard = self._guarded()
            guard = self._guard
        why = forbidden(invocation, self._allow_run, self._pass_env)
        if why is not None:
            ended(Outcome(ending="failed", error=why, permanent=True))
        else:
            guard.start(invocation, ended, message)
        return LocalRun(guard, invocation.fence)

    def rely(self, term_at: int, kill_at: int) -> None:
        """Say until when claims surely stand; the guardian ends what must not outlive that."""
        self._tell({"rely": [term_at, kill_at]})

    def hold(self, file: str) -> None:
        """Let the guardian lock a session's file, until nothing is left of what runs here."""
        self._tell({"hold": file})

    def close(self) -> None:
        """End whatever still runs, with KILL, and wait until nothing of it is left."""
        with self._lock:
            self._closed = True
        self._guard.close()

    def _guarded(self) -> "_Guard":
        guard = _Guard(self._store, cells=self._cells)
        for message in ({"passed": self._passed}, *self._told.values()):
            guard.send(message)
        return guard

    def _tell(self, message: wire.Message) -> None:
        """Tell the guardian, and each that comes after it."""
        with self._lock:
            self._told |= dict.fromkeys(message, message)
            self._guard.send(message)

    def _message(self, invocation: Invocation) -> wire.Message:
        run, handler = invocation.run, invocation.handler
        words = ["/bin/sh", "-c", run] if isinstance(run, str) else run
        return {
            "start": {
                "job_id": invocation.job_id,
                "schedule_id": invocation.schedule_id,
                "slot": invocation.slot,
                "attempt": invocation.attempt,
                "fence": invocation.fence,
                "input": invocation.input,
                "words": None if words is None else list(words),
                "handler": handler,
                "target": None if handler is None else target(handler),
                "environment": own_environment(invocation),
                "cwd": invocation.cwd,
                "user": invocation.user,
                "timeout": invocation.timeout,
                "kill_after": invocation.kill_after,
                "limits": _given(invocation.limits),
                "stops": invocation.stops,
                "log": invocation.log,
                "steps": dict(invocation.steps),
            }
        }


class _Guard:
    """One guardian process, and what runs under it by fencing token.

    The lock guards `_running` and the order of what is sent, against the thread that reads.
    """

    def __init__(self, store: str, *, cells: bool) -> None:
        self._mark = orphans.mark(store, next(_NUMBERS))
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the path is the node's, and nothing but.
            guardian = ["-P", "-m", "synccron.handlers.heir", str(theirs.fileno())]
            guardian.append("cells" if cells else "plain")
            self._process = subprocess.Popen(
                [sys.executable, *guardian],
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env={**plain_environment(), orphans.MARK: self._mark},
            )
        self._socket = ours
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self.alive = True
        self._reader = threading.Thread(target=self._read, name="synccron-guard", daemon=True)
        self._reader.start()

    def start(self, invocation: Invocation, ended: Ended, message: wire.Message) -> None:
        with self._lock:
            if self.alive:
                self._running[invocation.fence] = _Running(invocation, ended)
                self._send(message)
                return
        ended(_lost())

    def send(self, message: wire.Message) -> None:
        with self._lock:
            self._send(message)

    def close(self) -> None:
        """Close our end: the guardian ends everything, tells it, and exits."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._reader.join()
        self._process.wait()
        self._socket.close()

    def _send(self, message: wire.Message) -> None:
        try:
            self._socket.sendall(wire.pack(message))
        except OSError:
            return  # it died: the reader finds out, and tells all who run

    def _read(self) -> None:
        inbox = wire.Inbox()
        try:
            while (messages := wire.receive(self._socket, inbox)) is not None:
                for message in messages:
                    self._take(message)
        finally:  # also if it fails: a guardian that nobody hears would fill its node for ever
            with self._lock:
                self.alive = False
                left, self._running = self._running, {}
            if left:
                self._end(left)

    def _take(self, message: wire.Message) -> None:
        fence = message["fence"]
        if "ended" in message:
            with self._lock:
                running = self._running.pop(fence)
            fields = message["ended"]
            running.ended(Outcome(**{**fields, "tail": fields["tail"].encode("latin-1")}))
            return
        invocation = self._running[fence].invocation
        # A thread of its own: the store may take its time, and the ends of others must not wait.
        threading.Thread(target=self._remember, args=(invocation, message), daemon=True).start()

    def _remember(self, invocation: Invocation, message: wire.Message) -> None:
        kept = None
        try:
            if invocation.remember is not None:
                kept = invocation.remember(message["remember"], message["value"])
        finally:
            self.send({"fence": invocation.fence, "kept": kept})

    def _end(self, left: Mapping[int, _Running]) -> None:
        """Tell the ends of a guardian's attempts that died.

        Its heir has ended all that was below it; if that was killed too, the mark finds the rest.
        """
        end_cells(self._mark.__eq__)
        orphans.end_orphans(self._mark.__eq__)
        remove_folders(self._mark.__eq__)
        for running in left.values():
            running.ended(_lost())


def _given(limits: Limits) -> dict[str, int]:
    named = ((name, getattr(limits, name)) for name in Limits.__slots__)
    return {name: value for name, value in named if value is not None}


def _lost() -> Outcome:
    return Outcome(ending="lost", error="its guardian died")
