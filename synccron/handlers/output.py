"""What an attempt writes: the end of it in memory, the whole of it on disk, both bounded."""

import os
from pathlib import Path

TAIL = 16 * 1024  # bytes kept in memory, for the store
HEAD = 5 * 1024 * 1024  # bytes of the log that are kept from the beginning
RING = 5 * 1024 * 1024  # and from the end


class Output:
    """The output of one attempt. The log is made when there is something to write.

    Past its head the log goes round in a ring; `close` puts it in order. A disk that is full costs
    the log, not the attempt.
    """

    def __init__(self, log: str | None) -> None:
        self._path = Path(log or os.devnull)
        self._fd: int | None = None
        self._broken = log is None
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

    def write(self, chunk: bytes) -> None:
        """Take what the attempt wrote, in order."""
        self._tail = (self._tail + chunk)[-TAIL:]
        start, self.written = self.written, self.written + len(chunk)
        if not self._broken:
            try:
                self._log(chunk, start)
            except OSError:
                self._broken = True

    def close(self) -> None:
        """Put the log in order, and close it."""
        if self._fd is None:
            return
        try:
            if self.written > HEAD + RING and not self._broken:
                self._unroll(self._fd)
        except OSError:
            self._broken = True
        finally:
            os.close(self._fd)
            self._fd = None

    def _log(self, chunk: bytes, start: int) -> None:
        if self._fd is None:
            self._fd = self._open()
        view = memoryview(chunk)
        while view:
            place, room = start, HEAD - start
            if start >= HEAD:
                place = HEAD + (start - HEAD) % RING
                room = HEAD + RING - place
            done = os.pwrite(self._fd, view[:room], place)
            view, start = view[done:], start + done

    def _open(self) -> int:
        # Made with 0700 whatever the umask; a folder that exists is left as it is.
        mask = os.umask(0o077)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(self._path, flags, 0o600)
        finally:
            os.umask(mask)

    def _unroll(self, fd: int) -> None:
        place = (self.written - HEAD) % RING
        ring = os.pread(fd, RING, HEAD)
        left_out = self.written - HEAD - RING
        note = f"\n... {left_out} bytes left out ...\n".encode()
        os.ftruncate(fd, HEAD)
        view = memoryview(note + ring[place:] + ring[:place])
        at = HEAD
        while view:
            done = os.pwrite(fd, view, at)
            view, at = view[done:], at + done
