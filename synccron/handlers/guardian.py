"""The guardian: a process that starts a node's attempts, watches them, and ends with the node.

It has one thread, no SQLite and no network, and may therefore fork. Everything below it is its own
to end: it adopts what attempts leave behind (subreaper), ends what is left of an attempt when its
main process has ended, and ends all when the node's end of the socket closes, however the node
died. If it is killed itself, its heir, the process above it, does that.
"""

import fcntl
import heapq
import os
import selectors
import signal
import socket
from contextlib import suppress

from synccron.clock import SystemClock
from synccron.handlers import kernel, orphans, wire
from synccron.handlers.adopted import Adopted
from synccron.handlers.attempt import Attempt
from synccron.handlers.child import Refusal
from synccron.handlers.nursery import Nursery
from synccron.handlers.pool import Pool
from synccron.handlers.ward import Ward, has_exited, signal_group

CHUNK = 1 << 16  # bytes read at once: one who floods must not keep the others waiting
DRAIN = 1000  # ms that output is read for after the end of the main process
MOMENT = 10  # ms between two looks whether all of a cell has ended
SWEEP = 5000  # ms after which an attempt ends though something of it cannot be killed


class Guardian:
    """The loop, and what is under way. `_timers` are (when, fence, what), in monotonic ms."""

    def __init__(self, node: socket.socket, heir: int, mark: str, nursery: Nursery) -> None:
        self._clock = SystemClock()
        self._node = node
        self._heir = heir
        self._inbox = wire.Inbox()
        self._outbox = wire.Outbox()
        self._selector = selectors.DefaultSelector()
        self._attempts: dict[int, Attempt] = {}
        self._wards: dict[int, Ward] = {}
        self._mark, self._nursery = mark, nursery
        self._ending: dict[int, Attempt] = {}
        self._pool = Pool()
        self._adopted = Adopted()
        self._timers: list[tuple[int, int, str]] = []
        self._relied: list[tuple[int, str]] = []  # what happens when claims stand no more
        self._unsure = False  # they do not any more
        self._held: int | None = None
        self._alarm, alarm = socket.socketpair()
        for end in (self._alarm, alarm):
            end.setblocking(False)
        self._wakeup = alarm
        signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self._node.setblocking(False)
        self._selector.register(self._node, selectors.EVENT_READ, None)
        self._selector.register(self._alarm, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Serve the node until it goes, then end everything."""
        try:
            while self._turn():
                pass
        finally:
            self._end_all()

    def _turn(self) -> bool:
        for key, events in self._selector.select(self._idle()):
            if key.fileobj is self._node:
                if events & selectors.EVENT_READ and not self._hear():
                    return False
            elif key.fileobj is self._alarm:
                with suppress(BlockingIOError):
                    self._alarm.recv(4096)
                if os.getppid() != self._heir:
                    return False  # nobody would end what is below us if we died
            else:
                ward, what = key.data
                if events & selectors.EVENT_WRITE:
                    self._flush(ward)
                if events & selectors.EVENT_READ:
                    self._read(ward, what)
        self._reap()
        self._ring()
        if self._ending:
            left = self._adopted.sweep(self._attempts, self._wards)
            for attempt in tuple(self._ending.values()):
                self._try_to_finish(attempt, left)
        self._tell()
        return True

    def _idle(self) -> float | None:
        wakes = [when for when, *_ in self._timers[:1]] + [when for when, _ in self._relied[:1]]
        if (when := self._pool.rests_until) is not None:
            wakes.append(when)
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
        if "passed" in message:
            self._nursery.passed = {**message["passed"], orphans.MARK: self._mark}
            return
        if "hold" in message:
            self._hold(message["hold"])
            return
        if "rely" in message:
            self._relied = list(zip(message["rely"], ("term", "kill"), strict=True))
            self._unsure = False
            self._lapse(self._clock.monotonic())  # now: what is said next may take its place
            return
        attempt = self._attempts.get(message["fence"])
        if attempt is None:
            return
        if "stop" in message:
            self._stop(attempt, message["stop"])
        elif attempt.ward is not None:
            self._send(attempt.ward, {"kept": message["kept"]})

    def _hold(self, file: str) -> None:
        """Lock the file of the node's session: it stands until we have ended, and all below us.

        The lock is of POSIX's kind: no fork has it, and it goes before who watches the file is told
        that we have. Nobody else takes it but a guardian before us, which is just ending.
        """
        if self._held is not None:
            os.close(self._held)
            self._held = None
        with suppress(OSError):  # the session is over already
            self._held = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.lockf(self._held, fcntl.LOCK_EX, 1)

    def _tell(self) -> None:
        """Send the node what there is to be told; once a turn, as many ends come together."""
        if self._outbox:
            self._outbox.flush(self._node)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        if self._selector.get_key(self._node).events != wanted:
            self._selector.modify(self._node, wanted)

    # Wards.

    def _start(self, job: wire.Message) -> None:
        attempt = Attempt(job, self._nursery.passed)
        self._attempts[attempt.fence] = attempt
        self._pool.at_work(len(self._attempts))
        try:
            if self._unsure and job["stops"]:
                # Its claim was made by a node that was stopped since: nothing else would end it.
                attempt.why = "lost"
            else:
                self._begin(attempt)
        except Refusal as error:
            attempt.refused = str(error)
        except OSError as error:
            attempt.broken = str(error)  # too many processes, a full disk: it may be better later
        if attempt.ward is None:
            self._finish(attempt)
            return
        if job["timeout"] is not None:
            self._time(job["timeout"], attempt, "timed_out")

    def _begin(self, attempt: Attempt) -> None:
        """Give an attempt its process. Raises Refusal, OSError."""
        self._nursery.check(attempt)
        ward = self._waiting(attempt.handler) if attempt.words is None else None
        if ward is None:
            ward = self._nursery.begin(attempt)
            self._wards[ward.pid] = ward
            for what, fd in ward.fds.items():
                self._selector.register(fd, selectors.EVENT_READ, (ward, what))
        ward.attempt, attempt.ward = attempt, ward
        if attempt.words is None:
            self._send(ward, attempt.job)

    def _waiting(self, handler: str) -> Ward | None:
        ward = self._pool.take(handler)
        while ward is not None and has_exited(ward.pid):  # it was killed, and is not reaped yet
            ward = self._pool.take(handler)
        return ward

    def _send(self, ward: Ward, message: wire.Message) -> None:
        ward.outbox.put(message)
        self._flush(ward)

    def _flush(self, ward: Ward) -> None:
        if ward.control is None or "control" not in ward.fds:
            return
        ward.outbox.flush(ward.control)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if ward.outbox else 0)
        fd = ward.fds["control"]
        if self._selector.get_key(fd).events != wanted:
            self._selector.modify(fd, wanted, (ward, "control"))

    def _read(self, ward: Ward, what: str) -> bool:
        """Take what a ward wrote; True: there may be more."""
        fd = ward.fds.get(what)
        if fd is None:
            return False
        try:
            chunk = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        attempt = ward.attempt
        if not chunk:
            self._close(ward, what)
            return False
        if attempt is None:
            ward.spoiled = True  # it writes, and nobody asked it to
        elif what == "output":
            attempt.output.write(chunk, self._clock.now())
        elif what == "refusal":
            attempt.refused = (attempt.refused or "") + chunk.decode(errors="replace")
        else:
            self._listen(ward, chunk)
        return True

    def _listen(self, ward: Ward, chunk: bytes) -> None:
        """Hear what a warm child says."""
        try:
            messages = ward.inbox.feed(chunk)
        except ValueError:
            self._close(ward, "control")  # the handler wrote into it: no result, then
            return
        for message in messages:
            attempt = ward.attempt
            if attempt is None:
                ward.spoiled = True
            elif "remember" in message:
                self._outbox.put({"fence": attempt.fence, **message})
            elif "stale" in message:
                self._replace(ward, attempt)
            else:
                attempt.told = message["end"]
                if message["again"] and attempt.why is None and not ward.spoiled:
                    self._return(ward, attempt, message["end"]["status"])
                else:
                    self._dismiss(ward)

    def _replace(self, ward: Ward, attempt: Attempt) -> None:
        """Give an attempt another child, as its handler has changed since this one began."""
        ward.attempt = attempt.ward = None
        self._dismiss(ward)
        try:
            self._begin(attempt)
        except (Refusal, OSError) as error:
            attempt.broken = str(error)
            self._finish(attempt)
            return
        if attempt.why is not None:
            self._signal(attempt, signal.SIGTERM)

    def _return(self, ward: Ward, attempt: Attempt, status: int) -> None:
        """Take the end of an attempt whose child is as it was before."""
        while self._read(ward, "output"):
            pass  # it has written all of it, and nobody else of it is left
        attempt.exited(status << 8)  # as wait() would give it
        ward.attempt = None
        self._finish(attempt)
        for idle in self._pool.put(ward, self._clock.monotonic()):
            self._dismiss(idle)

    def _dismiss(self, ward: Ward) -> None:
        """Tell a warm child that no more comes; it ends when it has heard so."""
        self._pool.forget(ward)
        if ward.control is not None:
            with suppress(OSError):
                ward.control.shutdown(socket.SHUT_WR)
        if ward.attempt is None:
            signal_group(ward.pid, signal.SIGKILL)

    def _close(self, ward: Ward, what: str) -> None:
        fd = ward.fds.pop(what, None)
        if fd is not None:
            self._selector.unregister(fd)
            os.close(fd)

    def _abandon(self, ward: Ward) -> None:
        for what in tuple(ward.fds):
            self._close(ward, what)
        ward.close()
        if ward.cell is not None:
            ward.cell.kill()
            ward.cell.remove()

    # Stops.

    def _stop(self, attempt: Attempt, why: str) -> None:
        if attempt.why is not None or attempt.ward is None:
            return
        self._read(attempt.ward, "control")  # it may have returned by now
        if self._is_over(attempt):
            return  # what ended by itself keeps its own ending
        attempt.why = why
        self._signal(attempt, signal.SIGTERM)
        self._time(attempt.job["kill_after"], attempt, "kill")

    def _is_over(self, attempt: Attempt) -> bool:
        return attempt.ended or attempt.ward is None or has_exited(attempt.ward.pid)

    def _signal(self, attempt: Attempt, number: int) -> None:
        if attempt.ward is not None and not attempt.ended:
            attempt.ward.spoiled = True
            signal_group(attempt.ward.pid, number)

    def _lapse(self, now: int) -> None:
        while self._relied and self._relied[0][0] <= now:
            _, what = self._relied.pop(0)
            self._unsure = True
            self._stop_unsure(what)

    def _stop_unsure(self, what: str) -> None:
        """End what must not run beside an attempt of another node, which may begin soon."""
        for attempt in tuple(self._attempts.values()):
            if attempt.job["stops"]:
                self._stop(attempt, "lost")
                if what == "kill" and attempt.why is not None:
                    self._signal(attempt, signal.SIGKILL)

    def _time(self, after: int, attempt: Attempt, what: str) -> None:
        if len(self._timers) > 1000 + 8 * len(self._attempts):
            # Most attempts end long before their timeout, whose timer would stay till then.
            self._timers = [timer for timer in self._timers if timer[1] in self._attempts]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (self._clock.monotonic() + after, attempt.fence, what))

    def _ring(self) -> None:
        now = self._clock.monotonic()
        self._lapse(now)
        for ward in self._pool.rested(now):
            self._dismiss(ward)
        while self._timers and self._timers[0][0] <= now:
            _, fence, what = heapq.heappop(self._timers)
            attempt = self._attempts.get(fence)
            if attempt is None:
                continue
            if what == "timed_out":
                self._stop(attempt, "timed_out")
            elif what == "kill":
                self._signal(attempt, signal.SIGKILL)
            elif what == "drained":
                attempt.drained = True
            elif what == "swept":
                attempt.swept = True

    # Ends.

    def _reap(self) -> None:
        """Take the ends of wards and of what was adopted."""
        while True:
            try:
                # Looked at before it is reaped: as long as it is a zombie, its group is its own.
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            ward = self._wards.pop(found.si_pid, None)
            if ward is not None:
                while self._read(ward, "control"):
                    pass  # its last words may be that it is not this attempt's any more
                signal_group(found.si_pid, signal.SIGKILL)
                if ward.cell is not None:
                    ward.cell.kill()
            _, status = os.waitpid(found.si_pid, 0)
            if ward is None:
                self._adopted.reaped(found.si_pid)
                continue
            self._pool.forget(ward)
            attempt = ward.attempt
            if attempt is None:
                self._abandon(ward)
                continue
            attempt.exited(status)
            self._ending[attempt.fence] = attempt
            self._time(DRAIN, attempt, "drained")
            self._time(SWEEP, attempt, "swept")

    def _try_to_finish(self, attempt: Attempt, left: set[int]) -> None:
        """Finish an attempt whose main process has ended, when nothing of it is left."""
        ward = attempt.ward
        if ward is None or (attempt.fence in left and not attempt.swept):
            return
        if ward.cell is not None and not ward.cell.remove() and not attempt.swept:
            self._time(MOMENT, attempt, "look")  # what was killed there is ending
            return
        for what in tuple(ward.fds):
            for _ in range(64):  # all who could write are dead, so the end comes soon
                if not self._read(ward, what):
                    break
        if ward.fds and not attempt.drained:
            return
        self._finish(attempt)

    def _finish(self, attempt: Attempt) -> None:
        ward = attempt.ward
        if ward is not None and ward.attempt is attempt:
            self._abandon(ward)
        attempt.output.close()
        attempt.clear()
        self._attempts.pop(attempt.fence, None)
        self._ending.pop(attempt.fence, None)
        self._outbox.put({"fence": attempt.fence, "ended": attempt.outcome()})

    def _end_all(self) -> None:
        """End every process below us, and tell the node, if it is there, what became of it."""
        for pid, status in kernel.end_children():
            ward = self._wards.pop(pid, None)
            if ward is not None and ward.attempt is not None:
                ward.attempt.why = ward.attempt.why or "given_back"
                ward.attempt.exited(status)
        for attempt in tuple(self._attempts.values()):
            self._finish(attempt)
        self._nursery.close()
        if os.getppid() == self._heir:
            with suppress(OSError):
                self._node.setblocking(True)
                self._outbox.flush(self._node)
