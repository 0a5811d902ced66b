"""The guardian: a process that starts a node's attempts, watches them, and ends with the node.

Started with a socket to the node as its first argument. It has one thread, no SQLite and no
network, and may therefore fork. Everything below it is its own to end: it adopts what attempts
leave behind (subreaper), ends what is left of an attempt when its main process has ended, and ends
all when the node's end of the socket closes, however the node died. If it is killed itself, the
kernel kills the main processes of attempts (parent-death signal), and the node the rest.
"""

import heapq
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from synccron.clock import SystemClock
from synccron.handlers import kernel, wire
from synccron.handlers.attempt import CHUNK, Attempt, Refusal
from synccron.handlers.child import SetUpError, execute, run_handler, set_up

DRAIN = 1000  # ms that output is read for after the end of the main process
SWEEP = 5000  # ms after which an attempt ends though something of it cannot be killed


class Guardian:
    """The loop, and what is under way. `_timers` are (when, fence, what), in monotonic ms."""

    def __init__(self, node: socket.socket) -> None:
        self._clock = SystemClock()
        self._node = node
        self._inbox = wire.Inbox()
        self._outbox = bytearray()
        self._selector = selectors.DefaultSelector()
        self._attempts: dict[int, Attempt] = {}
        self._by_pid: dict[int, Attempt] = {}
        self._ending: dict[int, Attempt] = {}
        self._timers: list[tuple[int, int, str]] = []
        self._relied: list[tuple[int, str]] = []  # what happens when claims stand no more
        self._pid = os.getpid()
        # Others may pass through it to a file of theirs, whose name they are told.
        self._folder = Path(tempfile.mkdtemp(prefix="synccron-"))
        self._folder.chmod(0o711)
        self._alarm, alarm = socket.socketpair()
        for end in (self._alarm, alarm):
            end.setblocking(False)
        self._wakeup = alarm
        signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._node.setblocking(False)
        self._selector.register(self._node, selectors.EVENT_READ, "node")
        self._selector.register(self._alarm, selectors.EVENT_READ, "alarm")

    def run(self) -> None:
        """Serve the node until it goes, then end everything."""
        try:
            while self._turn():
                pass
        finally:
            self._end_all()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _turn(self) -> bool:
        for key, events in self._selector.select(self._idle()):
            if key.data == "node":
                if events & selectors.EVENT_WRITE:
                    self._flush()
                if events & selectors.EVENT_READ and not self._hear():
                    return False
            elif key.data == "alarm":
                with suppress(BlockingIOError):
                    self._alarm.recv(4096)
            else:
                attempt, what = key.data
                self._read(attempt, what)
        self._reap()
        self._ring()
        for attempt in tuple(self._ending.values()):
            self._try_to_finish(attempt)
        return True

    def _idle(self) -> float | None:
        wakes = [when for when, *_ in self._timers[:1]] + [when for when, _ in self._relied[:1]]
        if not wakes:
            return None
        return max(0, min(wakes) - self._clock.monotonic()) / 1000

    # The node.

    def _hear(self) -> bool:
        try:
            chunk = self._node.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not chunk:
            return False
        for message in self._inbox.feed(chunk):
            self._obey(message)
        return True

    def _obey(self, message: wire.Message) -> None:
        if "start" in message:
            self._start(message["start"])
            return
        if "rely" in message:
            self._relied = list(zip(message["rely"], ("term", "kill"), strict=True))
            return
        attempt = self._attempts.get(message["fence"])
        if attempt is None:
            return
        if "stop" in message:
            self._stop(attempt, message["stop"])
        else:
            attempt.answer(message["kept"])

    def _tell(self, message: wire.Message) -> None:
        self._outbox += wire.pack(message)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                del self._outbox[: self._node.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self._outbox.clear()  # the node is gone: its end of the socket says so to _hear
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        self._selector.modify(self._node, wanted, "node")

    # Attempts.

    def _start(self, job: wire.Message) -> None:
        attempt = Attempt(job)
        self._attempts[attempt.fence] = attempt
        try:
            attempt.prepare(self._folder)
            self._fork(attempt)
        except (Refusal, OSError) as error:
            attempt.refused = str(error)
            self._finish(attempt)
            return
        self._by_pid[attempt.pid] = attempt
        for fd, what in attempt.readers():
            self._selector.register(fd, selectors.EVENT_READ, (attempt, what))
        if job["timeout"] is not None:
            self._time(job["timeout"], attempt, "timed_out")

    def _fork(self, attempt: Attempt) -> None:
        # Safe: this process has one thread, and nothing that a copy could disturb.
        pid = os.fork()
        if pid == 0:
            self._become(attempt)
        attempt.started(pid)

    def _become(self, attempt: Attempt) -> NoReturn:
        status = 127
        try:
            set_up(self._pid, attempt.stdin, attempt.output_end, attempt.cwd, attempt.login)
            if attempt.words is not None:
                execute(attempt.words, attempt.environment)
            # No exec closes the descriptors: what others read or write must not stay open here.
            keep = {0, 1, 2, attempt.refusal_end, attempt.control_end}
            for entry in tuple(Path("/proc/self/fd").iterdir()):
                if int(entry.name) not in keep:
                    with suppress(OSError):
                        os.close(int(entry.name))
            control = socket.socket(fileno=attempt.control_end)
            os.close(attempt.refusal_end)
            run_handler(attempt.job, attempt.environment, control)
        except SetUpError as error:
            os.write(attempt.refusal_end, str(error).encode()[:4000])
        except BaseException as error:  # noqa: BLE001 - told to the guardian; this process ends
            with suppress(OSError):
                os.write(attempt.refusal_end, f"cannot be started: {error}".encode()[:4000])
        finally:
            os._exit(status)

    def _read(self, attempt: Attempt, what: str) -> None:
        fd = attempt.fds.get(what)
        if fd is None:
            return
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._close(attempt, what)
        elif what == "output":
            attempt.output.write(chunk)
        elif what == "refusal":
            attempt.refused = (attempt.refused or "") + chunk.decode(errors="replace")
        else:
            self._control(attempt, chunk)

    def _control(self, attempt: Attempt, chunk: bytes) -> None:
        try:
            messages = attempt.inbox.feed(chunk)
        except ValueError:
            self._close(attempt, "control")  # the handler wrote into it: no result, then
            return
        for message in messages:
            if "end" in message:
                attempt.told = message["end"]
            else:
                self._tell({"fence": attempt.fence, **message})

    def _close(self, attempt: Attempt, what: str) -> None:
        fd = attempt.fds.pop(what, None)
        if fd is not None:
            self._selector.unregister(fd)
            os.close(fd)

    def _stop(self, attempt: Attempt, why: str) -> None:
        if attempt.why is not None or attempt.ended or _has_exited(attempt.pid):
            return  # what ended by itself keeps its own ending
        attempt.why = why
        _signal_group(attempt.pid, signal.SIGTERM)
        self._time(attempt.job["kill_after"], attempt, "kill")

    def _stop_unsure(self, what: str) -> None:
        """End what must not run beside an attempt of another node, which may begin soon."""
        for attempt in tuple(self._attempts.values()):
            if attempt.job["stops"]:
                self._stop(attempt, "lost")
                if what == "kill" and attempt.why is not None and not attempt.ended:
                    _signal_group(attempt.pid, signal.SIGKILL)

    def _time(self, after: int, attempt: Attempt, what: str) -> None:
        if len(self._timers) > 1000 + 8 * len(self._attempts):
            # Most attempts end long before their timeout, whose timer would stay till then.
            self._timers = [timer for timer in self._timers if timer[1] in self._attempts]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (self._clock.monotonic() + after, attempt.fence, what))

    def _ring(self) -> None:
        now = self._clock.monotonic()
        while self._relied and self._relied[0][0] <= now:
            _, what = self._relied.pop(0)
            self._stop_unsure(what)
        while self._timers and self._timers[0][0] <= now:
            _, fence, what = heapq.heappop(self._timers)
            attempt = self._attempts.get(fence)
            if attempt is None:
                continue
            if what == "timed_out":
                self._stop(attempt, "timed_out")
            elif what == "kill" and not attempt.ended:
                _signal_group(attempt.pid, signal.SIGKILL)
            elif what == "drained":
                attempt.drained = True
            elif what == "swept":
                attempt.swept = True

    # Ends.

    def _reap(self) -> None:
        """Take the ends of main processes and of what was adopted."""
        while True:
            try:
                # Looked at before it is reaped: as long as it is a zombie, its group is its own.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            attempt = self._by_pid.pop(found.si_pid, None)
            if attempt is not None:
                _signal_group(found.si_pid, signal.SIGKILL)
            _, status = os.waitpid(found.si_pid, 0)
            if attempt is not None:
                attempt.exited(status)
                self._ending[attempt.fence] = attempt
                self._time(DRAIN, attempt, "drained")
                self._time(SWEEP, attempt, "swept")

    def _try_to_finish(self, attempt: Attempt) -> None:
        """Finish an attempt whose main process has ended, when nothing of it is left."""
        if not attempt.swept and self._sweep(attempt):
            return
        for what in tuple(attempt.fds):
            self._drain(attempt, what)
        if attempt.fds and not attempt.drained:
            return
        self._finish(attempt)

    def _sweep(self, attempt: Attempt) -> bool:
        """Kill what an attempt left behind; True: something was there.

        What it left became our child when its parent died. It is told by its group, or by the mark
        in the environment that it was born with. What has neither left the session and hid its
        origin: it goes when no attempt is left that it could belong to.
        """
        left = False
        for pid in kernel.children():
            if pid in self._by_pid:
                continue
            mark = kernel.variable(pid, "SYNCCRON_FENCE")
            unknown = mark is None and not self._by_pid
            if mark == str(attempt.fence) or unknown or _group(pid) == attempt.pid:
                left = True
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        return left

    def _drain(self, attempt: Attempt, what: str) -> None:
        """Read what is there; all who could write are dead, so the end comes soon."""
        for _ in range(64):
            if what not in attempt.fds:
                return
            before = attempt.output.written
            self._read(attempt, what)
            if what == "output" and attempt.output.written == before:
                return

    def _finish(self, attempt: Attempt) -> None:
        for what in tuple(attempt.fds):
            self._close(attempt, what)
        attempt.output.close()
        attempt.clear()
        self._attempts.pop(attempt.fence, None)
        self._ending.pop(attempt.fence, None)
        self._tell({"fence": attempt.fence, "ended": attempt.outcome()})

    def _end_all(self) -> None:
        """End every process below us: what dies leaves its own to us, until there is nobody."""
        while True:
            for pid in kernel.children():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            attempt = self._by_pid.pop(pid, None)
            if attempt is not None:
                attempt.why = attempt.why or "given_back"
                attempt.exited(status)
        for attempt in tuple(self._attempts.values()):
            self._finish(attempt)
        with suppress(OSError):
            self._node.setblocking(True)
            self._node.sendall(self._outbox)


def _has_exited(pid: int) -> bool:
    try:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _signal_group(pid: int, number: int) -> None:
    """Signal a group by its leader's pid, or the leader alone that is not set up yet."""
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            os.kill(pid, number)


def main() -> None:
    """Guard for the node at the other end of the socket that the first argument names."""
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    # Blocked too: a child inherits that until it is set up, so that a TERM that comes before waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, ignored)
    node = socket.socket(fileno=int(sys.argv[1]))
    node.set_inheritable(False)
    kernel.become_subreaper()
    Guardian(node).run()


if __name__ == "__main__":
    main()
