"""The write lock: one process writes at a time, and whoever waits is woken at once.

SQLite's own waiting sleeps up to 100 ms in turns, and favours nobody. This lock is a flock on a
file beside the database; its holder writes into it who it is, so that a node that was stopped in
the middle of a transaction can be ended, and anybody else be named.
"""

import fcntl
import json
import os
import threading
from dataclasses import dataclass

from synccron.clock import Clock
from synccron.errors import StoreError
from synccron.model.time import Duration
from synccron.store.beings import Being, kill, myself
from synccron.store.sqlite.connection import failed
from synccron.store.sqlite.files import Files, open_private
from synccron.store.sqlite.sessions import Sessions

_LOOK: Duration = 100  # how often one who waits looks at who holds it, in ms
_SIGNATURE = 256  # bytes: the file keeps its size, so that a full disk does not hinder the signing


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock. `session` is "" for a process that is no node."""

    being: Being
    session: str


class WriteLock:
    """The lock, held by one thread of this process at a time.

    A thread of its own waits in the kernel when another process holds the lock, as that wait has no
    timeout. `_waiting` tells that it does, `_wanted` whether somebody still waits for what it gets,
    `_held` that it got it. The condition guards the three.
    """

    def __init__(self, files: Files, sessions: Sessions, clock: Clock) -> None:
        self._files = files
        self._sessions = sessions
        self._clock = clock
        self._me = myself()
        self._condition = threading.Condition()
        self._waiting = self._wanted = self._held = self._closed = False
        try:
            self._fd = open_private(files.lock)
        except OSError as error:
            raise failed(error, files) from error

    def acquire(self, until: int) -> None:
        """Take the lock, by `until` in monotonic ms. Raises StoreError that names who has it."""
        with self._condition:
            try:
                self._held = not self._waiting and self._try()
                if not self._held:
                    self._wait_for_it(until)
                self._sign()
            except BaseException:
                if self._held:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
                raise
            finally:
                self._wanted = self._held = False

    def release(self) -> None:
        """Let it go."""
        os.pwrite(self._fd, b"-", 0)  # no JSON any more: nobody signed
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; a thread that waits in the kernel closes it when its wait ends."""
        with self._condition:
            self._closed = True
            if not self._waiting:
                os.close(self._fd)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _block(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._condition:
            self._waiting = False
            self._held = self._wanted
            if not self._wanted:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            if self._closed:
                os.close(self._fd)
            self._condition.notify_all()

    def _wait_for_it(self, until: int) -> None:
        self._wanted = True
        if not self._waiting:
            self._waiting = True
            threading.Thread(target=self._block, name="synccron-lock", daemon=True).start()
        while not self._held:
            now = self._clock.monotonic()
            if now >= until:
                raise StoreError(
                    f"{self._files.database} is being written by {self._blocker()}",
                    hint="it may be stopped: look at it with ps, continue it with kill -CONT",
                )
            self._clock.wait(self._condition, min(_LOOK, until - now))
            if not self._held:
                self._end_stopped_holder()

    def _blocker(self) -> str:
        holder = self._holder()
        if holder is None:
            return "another process"
        node = f", a node of session {holder.session}" if holder.session else ""
        return f"process {holder.being.pid}{node}"

    def _end_stopped_holder(self) -> None:
        """End a node that was stopped in mid-transaction and is past its lease.

        Only another node does: a command that waits says who blocks.
        """
        holder = self._holder()
        if holder is None or not holder.session or not self._sessions.newest():
            return
        pulse = self._sessions.pulse(holder.session)
        if pulse is None or pulse.owner != holder.being:
            return
        # Law 4: against a leader that sleeps in a write: what it has not committed never is.
        if self._clock.monotonic() >= pulse.beat + pulse.ttl:
            kill(holder.being)

    def _sign(self) -> None:
        me = [self._me.pid, self._me.start, self._me.boot, self._sessions.newest()]
        os.pwrite(self._fd, json.dumps(me).encode("ascii").ljust(_SIGNATURE), 0)

    def _holder(self) -> Holder | None:
        try:
            pid, start, boot, session = json.loads(os.pread(self._fd, _SIGNATURE, 0))
        except (ValueError, TypeError):
            return None  # it has just been taken, or let go
        return Holder(Being(pid, start, boot), session)
