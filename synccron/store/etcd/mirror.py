"""A view that follows the store: loaded once, then kept up to date by one watch.

One watch over all of `watched/` gives the writes in the order in which etcd took them, each
transaction whole: what is read here was so at one revision, if not always at the newest. A write
that was decided from it compares what it read, so that being late costs a refusal, never a wrong
write (laws 1 to 5).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from synccron.clock import Clock
from synccron.errors import StoreError
from synccron.model.time import Duration
from synccron.store.etcd.client import Compacted, Etcd
from synccron.store.etcd.draft import pair_of
from synccron.store.etcd.layout import Layout, end_of
from synccron.store.etcd.roster import TEXTS
from synccron.store.etcd.view import View

_PAGE = 1024 * 1024  # bytes that are read at once: what they take in memory is not given back
_PAUSE = 0.2  # seconds between tries to watch
_PATIENCE = 2.0  # seconds for a watch that broke to begin again, at another member


class Horizon:
    """The newest revision that this handle wrote: what it reads next is at least as new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.revision = 0

    def wrote(self, revision: int) -> None:
        """Note a write to `watched/`."""
        with self._lock:
            self.revision = max(self.revision, revision)


class Mirror:
    """Keeps one view; a thread of its own watches.

    `_reached` is the revision that the view shows, `_loaded` how many pages were read to begin
    with, which may be many: whoever waits, waits as long as there are more. The condition guards
    them. `_error` is why it does not follow at the moment.
    """

    def __init__(
        self,
        etcd: Etcd,
        layout: Layout,
        base: int,
        clock: Clock,
        horizon: Horizon,
        timeout: Duration,
    ) -> None:
        self._etcd = etcd
        self._layout = layout
        self._base = base
        self._clock = clock
        self._horizon = horizon
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._timeout = timeout / 1000
        self._condition = threading.Condition()
        self._view = View(layout, base, TEXTS)
        self._reached = -1
        self._loaded = 0
        self._error: StoreError | None = None
        self._skews: dict[str, Duration] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="synccron-mirror", daemon=True)
        self._thread.start()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever something may have changed."""
        self._listeners = (*self._listeners, changed)

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def close(self) -> None:
        """Stop following; the calls of its client end the watch."""
        self._closed.set()

    def join(self) -> None:
        """Wait for its thread, once the client is closed."""
        self._thread.join()

    @contextmanager
    def view(self) -> Iterator[View]:
        """Hold the view still, at the newest of this handle's own writes or later.

        Raises StoreError while it does not follow: what it shows may be long past.
        """
        if self._etcd.trouble is not None:
            # Somebody has to ask whether it is over: all who read here would wait for another.
            self._etcd.range(self._layout.meta(), count_only=True)
        with self._condition:
            following = self._wait()
            # While calls fail, a silent watch proves nothing.
            trouble = self._error or self._etcd.trouble
            if trouble is not None:
                raise trouble
            if not following:
                self._etcd.abandon()
                raise StoreError("the watch of etcd has fallen silent")
            yield self._view

    def _wait(self) -> bool:
        """Wait until it follows or fails; False: nothing has come in for too long."""
        while True:
            loaded = self._loaded
            following = self._condition.wait_for(
                lambda: (
                    self._etcd.trouble is not None
                    or (self._error is None and self._reached >= self._horizon.revision)
                ),
                self._timeout if self._error is None else min(self._timeout, _PATIENCE),
            )
            if following or self._loaded == loaded:
                return following

    def skews(self) -> dict[str, Duration]:
        """Tell how far the wall clock of each session was ahead of ours, in ms."""
        with self._condition:
            self._skews = {
                session: skew for session, skew in self._skews.items() if session in self._view.live
            }
            return self._skews

    def _follow(self) -> None:
        revision = 0
        while not self._closed.is_set():
            try:
                if not revision:
                    revision = self._load()
                for answer in self._etcd.watch(*self._range(), revision + 1):
                    revision = self._take(answer, revision)
            except Compacted:
                revision = 0  # what was missed is gone: read all again, then go on
            except StoreError as error:
                self._note(error)
                self._closed.wait(_PAUSE)

    def _range(self) -> tuple[bytes, bytes]:
        start = self._layout.watched("")
        return start, end_of(start)

    def _load(self) -> int:
        view, revision = View(self._layout, self._base, TEXTS), 0
        for answer in _ahead(self._etcd.pages(*self._range(), size=_PAGE)):
            revision = revision or answer.header.revision
            for kv in answer.kvs:
                view.set(pair_of(kv))
            with self._condition:
                self._loaded += 1
        with self._condition:
            self._view, self._reached = view, revision
        self._note(None)
        return revision

    def _take(self, answer: object, revision: int) -> int:
        """Take in the events of one answer; the revision that has been reached."""
        events = answer.events  # type: ignore[attr-defined]
        with self._condition:
            for event in events:
                pair = pair_of(event.kv)
                if event.type:  # DELETE
                    self._view.remove(pair.key)
                else:
                    self._view.set(pair)
                    self._note_skew(pair.key)
                revision = max(revision, pair.mod)
            self._reached = max(self._reached, revision)
            fresh = self._error is not None
            self._error = None
            self._condition.notify_all()
        if events or fresh:
            self._changed()
        return revision

    def _note_skew(self, key: bytes) -> None:
        """Compare a node's wall clock with ours at the moment when its record comes in."""
        seat = self._view.seat_at(key)
        if seat is not None and seat.node.last_seen_at is not None:
            self._skews[seat.node.session] = seat.node.last_seen_at - self._clock.now()

    def _note(self, error: StoreError | None) -> None:
        with self._condition:
            self._error = error
            self._condition.notify_all()
        self._changed()


def _ahead(pages: Iterator[Any]) -> Iterator[Any]:
    """Ask for the next page while one is taken in: etcd and this node work at once."""
    with ThreadPoolExecutor(1, "synccron-load") as reader:
        coming = reader.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = reader.submit(next, pages, None)
            yield page
