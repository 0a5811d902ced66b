"""The log of an attempt on disk: what it wrote, byte for byte, and when. Both are bounded.

`{attempt}.log` has the bytes as they came: the first HEAD of them and, behind these, the last RING,
where the place after the newest byte is gone round to. `{attempt}.times` has a header, which tells
where that place is once more has come than both, and pairs of a place and an instant: what stands
from there on came at that instant or after it. Numbers are 8 bytes, little-endian. What came at one
moment needs no second file: when the log was last written tells.

One process writes; others may read meanwhile, also on when it was killed.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from synccron.model.chunk import Chunk, Time, times_of
from synccron.model.time import SECOND, Duration, Instant

HEAD = 5 << 20  # bytes that are kept from the beginning
RING = 5 << 20  # and from the end
PART = 1 << 15  # bytes that a reader takes at once
GRAIN = 64  # bytes that an instant is for at the least, if they came within COARSE
COARSE: Duration = SECOND
MOST_TIMES = 1 << 16  # when there are more, every second one goes

_MAGIC = b"sycrlog1"
_HEADER = struct.Struct("<8sQQ")  # magic; how much has begun to be written, and is written
_TIME = struct.Struct("<QQ")
_FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LogWriter:
    """Writes the log of one attempt. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._log = self._times = -1
        self._noted = 0  # entries in the file of times
        self._last: Time | None = None

    def write(self, chunk: bytes, start: int, now: Instant) -> None:
        """Write what came at an instant; `start` is how much came before it."""
        if self._log < 0:
            self._open()
        self._note(start, now)
        end = start + len(chunk)
        round_ = end > HEAD + RING
        if round_:  # before a byte goes that somebody may be reading
            self._begin_times()
            os.pwrite(self._times, _HEADER.pack(_MAGIC, end, start), 0)
        view = memoryview(chunk)
        while view:
            place, room = _place(start)
            done = os.pwrite(self._log, view[:room], place)
            view, start = view[done:], start + done
        if round_:
            os.pwrite(self._times, _HEADER.pack(_MAGIC, end, end), 0)

    def close(self) -> None:
        """Close the files."""
        for fd in (self._log, self._times):
            if fd >= 0:
                os.close(fd)
        self._log = self._times = -1

    def _open(self) -> None:
        # Made with 0700 whatever the umask; a folder that exists is left as it is.
        mask = os.umask(0o077)
        try:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._log = os.open(self._path, _FRESH, 0o600)
        finally:
            os.umask(mask)

    def _begin_times(self) -> None:
        if self._times >= 0:
            return
        self._times = os.open(Path(self._path).with_suffix(".times"), _FRESH, 0o600)
        os.pwrite(self._times, _HEADER.pack(_MAGIC, 0, 0), 0)
        if self._last is not None:
            self._add(self._last)

    def _note(self, start: int, now: Instant) -> None:
        if self._last is None:
            self._last = start, now
            return
        place, before = self._last
        if now <= before or (start - place < GRAIN and now - before < COARSE):
            return
        self._begin_times()
        if self._noted == MOST_TIMES:
            self._thin()
        self._last = start, now
        self._add(self._last)

    def _add(self, time: Time) -> None:
        os.pwrite(self._times, _TIME.pack(*time), _HEADER.size + self._noted * _TIME.size)
        self._noted += 1

    def _thin(self) -> None:
        whole = os.pread(self._times, self._noted * _TIME.size, _HEADER.size)
        step = 2 * _TIME.size
        kept = b"".join(whole[n : n + _TIME.size] for n in range(0, len(whole), step))
        os.pwrite(self._times, kept, _HEADER.size)
        os.ftruncate(self._times, _HEADER.size + len(kept))
        self._noted = len(kept) // _TIME.size


class LogReader:
    """Reads the log of one attempt, on from where the last read ended; `at` is that place.

    What has gone before it was read is left out: then `at` is further on than what was given.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.at = 0

    @property
    def there(self) -> bool:
        """Whether there is such a log on this host, and may be read."""
        return os.access(self._path, os.R_OK)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Give what has been written since, a part at a time: its place, and its bytes."""
        try:
            log = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            while part := self._part(log):
                at, self.at = self.at, self.at + len(part)
                yield at, part
        finally:
            os.close(log)

    def chunks(self, job_id: str, attempt: int) -> Iterator[Chunk]:
        """Give what has been written since, with its times."""
        times: list[Time] = []
        for at, data in self.read():
            end = at + len(data)
            if not times or times[-1][0] < end:  # there may be more by now
                times = self.times()
            yield Chunk(
                job_id=job_id,
                attempt=attempt,
                at=at,
                data=data,
                times=times_of(times, at, end),
            )

    def skip(self, most: int) -> None:
        """Go on with the newest bytes, so many at most."""
        begun, done = self._written()
        end = done if begun else _size(self._path)
        self.at = max(self.at, end - most)

    def times(self) -> list[Time]:
        """Give what is known of when what came, in order of the places."""
        try:
            whole = self._path.with_suffix(".times").read_bytes()
        except FileNotFoundError:
            return _written_once(self._path)
        body = whole[_HEADER.size : len(whole) - (len(whole) - _HEADER.size) % _TIME.size]
        found: list[Time] = []
        for place, instant in _TIME.iter_unpack(body):
            if found and place <= found[-1][0]:
                break  # the rest is being thinned at this moment
            found.append((place, instant))
        return found

    def _part(self, log: int) -> bytes:
        while True:
            begun, done = self._written()
            if self.at >= HEAD:
                self.at = max(self.at, begun - RING)
            place, room = _place(self.at)
            end = done if begun else os.fstat(log).st_size
            room = min(room, PART, end - self.at)
            if room <= 0:
                return b""
            part = os.pread(log, room, place)
            # What was written over meanwhile is not what stood there.
            begun, _ = self._written()
            if self.at < HEAD or begun - RING <= self.at:
                return part

    def _written(self) -> tuple[int, int]:
        try:
            with self._path.with_suffix(".times").open("rb") as file:
                magic, begun, done = _HEADER.unpack(file.read(_HEADER.size))
        except (FileNotFoundError, struct.error):
            return 0, 0
        return (begun, done) if magic == _MAGIC else (0, 0)


def _place(at: int) -> tuple[int, int]:
    """Give where in the file a byte stands, and how many follow it in a row."""
    if at < HEAD:
        return at, HEAD - at
    place = HEAD + (at - HEAD) % RING
    return place, HEAD + RING - place


def _written_once(path: Path) -> list[Time]:
    """Tell when a log came that came at one moment."""
    try:
        return [(0, path.stat().st_mtime_ns // 1_000_000)]
    except FileNotFoundError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
