"""Tells that the store may have changed: by another process, by a node that died, or by ourselves.

Writers write their token into one small file after each commit, which inotify notices; a session
that opens or ends changes the folder of sessions, and so does a guardian that lets go of one; a
node that is killed makes its pidfd readable. A slow poll is the net below: a wake-up may be missed
where processes do not see each other.
"""

import os
import secrets
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from synccron.store.beings import Being, myself, open_being
from synccron.store.sqlite.files import Files, make_private_folder, open_private
from synccron.store.sqlite.sessions import Sessions

_POLL = 1.0  # seconds
_TOKEN = 8  # bytes


class Signal:
    """The small file, and who watches it.

    The lock guards all of its state; the listeners are called without it.
    """

    def __init__(self, files: Files, sessions: Sessions) -> None:
        self._files = files
        self._sessions = sessions
        self._token = secrets.token_bytes(_TOKEN)
        self._lock = threading.Lock()
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._fd: int | None = None
        self._thread: threading.Thread | None = None
        self._stop: int | None = None
        self._closed = False

    def committed(self) -> None:
        """Tell other processes, and our own listeners, that something was written."""
        with suppress(OSError), self._lock:  # a full disk: the others' poll finds what was written
            if self._fd is None and not self._closed:
                self._fd = open_private(self._files.signal)
            if self._fd is not None:
                os.pwrite(self._fd, self._token, 0)
        # After the write: whatever was committed before it is seen by who is woken here, so that
        # the watcher need not tell of a signal that bears our own token.
        self.ring()

    def ring(self) -> None:
        """Call the listeners."""
        for listener in self._listeners:
            listener()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` at each change, from any thread, until closed."""
        with self._lock:
            self._listeners = (*self._listeners, changed)
            if self._thread is not None:
                return
            self._stop = os.eventfd(0, os.EFD_CLOEXEC)
            ready = threading.Event()
            self._thread = threading.Thread(
                target=self._watch, args=(self._stop, ready), name="synccron-watch", daemon=True
            )
            self._thread.start()
        ready.wait()  # what is written from now on is noticed

    def close(self) -> None:
        """Tell nobody any more."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            self._listeners = ()
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
        if thread is not None and self._stop is not None:
            os.eventfd_write(self._stop, 1)
            if thread is not threading.current_thread():
                thread.join()
                os.close(self._stop)

    def _watch(self, stop: int, ready: threading.Event) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(stop, selectors.EVENT_READ)
            watch = _Watch(self._files, self._sessions, selector, self._token)
            try:
                watch.start()
                ready.set()
                while True:
                    events = selector.select(_POLL)
                    if any(key.fd == stop for key, _ in events):
                        return
                    if watch.noticed([key.fd for key, _ in events]):
                        self.ring()
            finally:
                ready.set()
                watch.close()


class _Watch:
    """What the thread looks at: inotify, and the processes of the other sessions."""

    def __init__(
        self,
        files: Files,
        sessions: Sessions,
        selector: selectors.BaseSelector,
        token: bytes,
    ) -> None:
        self._files = files
        self._sessions = sessions
        self._selector = selector
        self._token = token
        self._beings: dict[Being, int] = {}
        self._inotify: Any = None
        self._signal: int | None = None

    def start(self) -> None:
        """Begin to watch; on a read-only disk, or past the limit of watches, the poll must do."""
        from inotify_simple import INotify, flags

        try:
            self._signal = open_private(self._files.signal)
            make_private_folder(self._files.sessions)
            self._inotify = INotify()
            self._inotify.add_watch(self._files.signal, flags.MODIFY)
            self._inotify.add_watch(
                self._files.sessions, flags.MOVED_TO | flags.DELETE | flags.CLOSE_WRITE
            )
        except OSError:
            return
        self._selector.register(self._inotify, selectors.EVENT_READ)
        self.noticed([])

    def noticed(self, ready: list[int]) -> bool:
        """Tell whether what became readable (nothing: the poll's time has come) is a change."""
        try:
            return self._changed(ready)
        except OSError:  # no descriptor is free just now: all look for themselves, as at a poll
            return True

    def _changed(self, ready: list[int]) -> bool:
        if not ready:
            self._look()
            return True
        changed = self._forget([being for being, fd in self._beings.items() if fd in ready])
        if self._inotify is not None and self._inotify.fileno() in ready:
            named = [event.name for event in self._inotify.read(timeout=0)]
            if any(named):
                self._look()
                changed = True
            changed = changed or os.pread(self._signal or 0, _TOKEN, 0) != self._token
        return changed

    def close(self) -> None:
        """Let go of everything."""
        self._forget(list(self._beings))
        if self._inotify is not None:
            self._inotify.close()
        if self._signal is not None:
            os.close(self._signal)

    def _look(self) -> None:
        """Watch the processes of all sessions but our own."""
        pulses = [self._sessions.pulse(name) for name in self._sessions.names()]
        owners = {pulse.owner for pulse in pulses if pulse is not None} - {myself()}
        self._forget([being for being in self._beings if being not in owners])
        for being in owners - self._beings.keys():
            fd = open_being(being)
            if fd is not None:
                self._beings[being] = fd
                self._selector.register(fd, selectors.EVENT_READ)

    def _forget(self, beings: list[Being]) -> bool:
        for being in beings:
            fd = self._beings.pop(being)
            self._selector.unregister(fd)
            os.close(fd)
        return bool(beings)
