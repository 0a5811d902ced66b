"""What an attempt writes: the end of it in memory, for the store, the whole of it on disk."""

from synccron.handlers.log import LogWriter
from synccron.model.time import Instant

TAIL = 16 * 1024  # bytes kept in memory, for the store


class Output:
    """The output of one attempt. The log (None: there is none) is made when there is something.

    A disk that is full costs the log, not the attempt.
    """

    def __init__(self, log: str | None) -> None:
        self._log = None if log is None else LogWriter(log)
        self._tail = b""
        self.written = 0

    @property
    def tail(self) -> bytes:
        """The end of the output."""
        return self._tail

    @property
    def truncated(self) -> bool:
        """Whether the tail is not all of it."""
        return self.written > len(self._tail)

    def write(self, chunk: bytes, now: Instant) -> None:
        """Take what the attempt wrote, in order, and when it came."""
        self._tail = (self._tail + chunk)[-TAIL:]
        start, self.written = self.written, self.written + len(chunk)
        if self._log is not None:
            try:
                self._log.write(chunk, start, now)
            except OSError:
                self._log.close()
                self._log = None

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
