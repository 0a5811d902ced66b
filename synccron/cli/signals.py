"""The signals of a node's process, read like anything else: from a pipe, one after the other.

A signal's handler runs in the middle of whatever the main thread does, where a lock could be held
already; so it only notes, and the numbers are read where it is safe to act on them.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGTERM, signal.SIGINT)
_NOTED = (*ENDING, signal.SIGHUP)
_OVER = 0  # in the pipe, where other bytes are signals


class Signals:
    """TERM, INT and HUP, while this context lasts: iterate over their numbers, until `end`.

    The HUP of a terminal that was closed is given as TERM: it asks for no reload. Who ignored it
    when this process began, as nohup does, wants it to outlive its terminal.

    `early` is called, in the handler, for what comes before `ready`: nobody reads the pipe yet.
    """

    def __init__(self, early: Callable[[], object]) -> None:
        self.told_to_end = False
        self._early = early
        self._ready = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._open = threading.Lock()  # held once the pipe is closed
        self._former: dict[int, object] = {}
        self._ends_with_terminal = False

    def __enter__(self) -> Self:
        """Take the signals over; only the main thread may."""
        self._former = {number: signal.signal(number, self._note) for number in _NOTED}
        ignored = self._former[signal.SIGHUP] == signal.SIG_IGN
        self._ends_with_terminal = not ignored and _has_terminal()
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back to whoever had them."""
        signal.set_wakeup_fd(self._wakeup)
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]
        self._open.acquire()
        os.close(self._reader)
        os.close(self._writer)

    def __iter__(self) -> Iterator[int]:
        while True:
            for number in os.read(self._reader, 64):
                if number == _OVER:
                    return
                yield signal.SIGTERM if self._asks_to_end(number) else number

    def ready(self) -> None:
        """Tell that the pipe is going to be read from now on."""
        self._ready = True

    def end(self) -> None:
        """End the iteration; from any thread, also when it has ended."""
        if self._open.acquire(blocking=False):
            try:
                os.write(self._writer, bytes([_OVER]))
            finally:
                self._open.release()

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._asks_to_end(number):
            self.told_to_end = True
            if not self._ready:
                self._early()

    def _asks_to_end(self, number: int) -> bool:
        if number == signal.SIGHUP:
            return self._ends_with_terminal and not _has_terminal()
        return number in ENDING


def _has_terminal() -> bool:
    """Tell whether this process has a terminal that is open."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
