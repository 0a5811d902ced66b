"""Liveness of nodes: one file for each session, locked by its owner, with heartbeats in memory.

A row would cost an fsync a node a renewal, and the write lock. The kernel frees a file's lock when
its owner is killed, so that a dead node is known at once; only a stopped one takes its lease. Time
is the clock's monotonic time, never the wall's (law 6): all processes of a host share it, and it
sleeps with them. That a session has ended for good is a row's to say (`nodes`), not a file's.

A killed node's guardian still has to end what it ran. It holds a lock of another kind on the file,
until nothing is left of that: so long the session stands, but for the lead, within its lease.
"""

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from synccron.clock import Clock
from synccron.model.time import Duration
from synccron.store.beings import Being, boot_id, myself
from synccron.store.sqlite.files import Files, make_private_folder, open_private

_SIZE = 4096
_HEAD = struct.Struct("<8sQQ40s")  # what it is, pid, start, boot
_MAGIC = b"synccron"
# Words of 8 bytes, each written by its owner alone and at once: readers see the old or the new.
_BEAT, _TTL, _LEASE_BEAT, _LEASE_TTL = 16, 17, 18, 19
_FLOCK = struct.Struct("@hhqqi4x")  # of fcntl(2): type, whence, start, length, pid


class Pulse(NamedTuple):
    """What a session's file says: whose it is, its last heartbeats (monotonic ms), their leases."""

    owner: Being
    beat: int
    ttl: Duration
    lease_beat: int
    lease_ttl: Duration


class Own:
    """The file of a session of this process: locked as long as it is open."""

    def __init__(self, path: Path, clock: Clock, ttl: Duration) -> None:
        draft = path.with_name(f".{path.name}")
        self._clock = clock
        self._fd = open_private(draft)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._fd, bytes(_SIZE), 0)  # room on the disk now, or an error: never later
            self._map = mmap.mmap(self._fd, _SIZE)
            self._words = memoryview(self._map).cast("Q")
            being = myself()
            _HEAD.pack_into(
                self._map, 0, _MAGIC, being.pid, being.start, being.boot.encode("ascii")
            )
            self._words[_TTL] = ttl
            self.beat()
            draft.rename(path)  # whoever finds it by name finds it locked and complete
        except BaseException:
            os.close(self._fd)
            draft.unlink(missing_ok=True)
            raise

    def beat(self) -> None:
        """Renew the session."""
        self._words[_BEAT] = self._clock.monotonic()

    def beat_lease(self, now: int, ttl: Duration) -> None:
        """Renew the lead, as of a monotonic instant read before it was known to be held."""
        self._words[_LEASE_TTL] = ttl
        self._words[_LEASE_BEAT] = now

    def close(self) -> None:
        """Let go of it: to all others the session is over."""
        self._words.release()
        self._map.close()
        os.close(self._fd)


class Sessions:
    """The sessions of a store, and those among them that are this process's own."""

    def __init__(self, files: Files, clock: Clock) -> None:
        self._folder = files.sessions
        self._clock = clock
        self._lock = threading.Lock()
        self._own: dict[str, Own] = {}

    def open(self, session: str, ttl: Duration) -> None:
        """Make the file of a session of ours, alive from now on. Raises OSError."""
        make_private_folder(self._folder)
        own = Own(self._folder / session, self._clock, ttl)
        with self._lock:
            self._own[session] = own

    def beat(self, session: str) -> None:
        """Renew a session of ours."""
        with self._lock:
            own = self._own.get(session)
            if own is not None:
                own.beat()

    def beat_lease(self, session: str, now: int, ttl: Duration) -> bool:
        """Renew the lead of a session of ours; False: it is none."""
        with self._lock:
            own = self._own.get(session)
            if own is not None:
                own.beat_lease(now, ttl)
        return own is not None

    def newest(self) -> str:
        """Name the newest session of ours; "" for a process that is no node."""
        with self._lock:
            return next(reversed(self._own), "")

    def let_go(self, session: str) -> None:
        """Close the file of a session of ours, as if its process had died."""
        with self._lock:
            own = self._own.pop(session, None)
        if own is not None:
            own.close()

    def close(self) -> None:
        """Let go of all."""
        for session in tuple(self._own):
            self.let_go(session)

    def remove(self, session: str) -> None:
        """Remove the file of a session that has ended. A stopped owner keeps what it has open."""
        self.let_go(session)
        with suppress(FileNotFoundError):
            (self._folder / session).unlink()

    def file(self, session: str) -> str:
        """Name its file, on whose first byte a guardian holds a lock of POSIX's."""
        return str(self._folder / session)

    def alive(self, session: str) -> bool:
        """Tell whether it was renewed within its time, and its owner or its guardian lives."""
        pulse = self._living(session, guarded=True)
        return pulse is not None and self._clock.monotonic() < pulse.beat + pulse.ttl

    def leads(self, session: str) -> int | None:
        """Tell until when (monotonic) the lead of a living session lasts; None: it is over."""
        pulse = self._living(session)
        if pulse is None:
            return None
        now, until = self._clock.monotonic(), pulse.lease_beat + pulse.lease_ttl
        return until if now < min(pulse.beat + pulse.ttl, until) else None

    def pulse(self, session: str) -> Pulse | None:
        """Read a session's file, whether or not its owner lives; None: it is not there."""
        with self._opened(session) as fd:
            return None if fd is None else _pulse(fd)

    def names(self) -> list[str]:
        """List the sessions that have a file."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [name for name in names if not name.startswith(".")]

    def _living(self, session: str, *, guarded: bool = False) -> Pulse | None:
        with self._opened(session) as fd:
            # Overlap: against what a killed node ran, for as long as its guardian needs to end it.
            if fd is None or not (_held(fd) or (guarded and _guarded(fd))):
                return None
            pulse = _pulse(fd)
        # A boot ends all sessions: its monotonic time begins anew.
        return pulse if pulse is not None and pulse.owner.boot == boot_id() else None

    @contextmanager
    def _opened(self, session: str) -> Iterator[int | None]:
        try:
            fd = os.open(self._folder / session, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)


def _held(fd: int) -> bool:
    """Tell whether its owner holds the file. Probers share their lock, and disturb nobody."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _guarded(fd: int) -> bool:
    """Tell whether a guardian holds the file."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    found: int = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))[0]
    return found != fcntl.F_UNLCK


def _pulse(fd: int) -> Pulse | None:
    raw = os.pread(fd, 8 * (_LEASE_TTL + 1), 0)
    if len(raw) < 8 * (_LEASE_TTL + 1):
        return None
    magic, pid, start, boot = _HEAD.unpack_from(raw)
    if magic != _MAGIC:
        return None
    beat, ttl, lease_beat, lease_ttl = struct.unpack_from("<4Q", raw, 8 * _BEAT)
    owner = Being(pid, start, boot.rstrip(b"\0").decode("ascii", "replace"))
    return Pulse(owner, beat, ttl, lease_beat, lease_ttl)
