"""The log of an attempt: byte for byte, bounded, with times, and read as it grows."""

import os
import threading
from pathlib import Path

import pytest

from synccron.handlers import log
from synccron.handlers.log import LogReader, LogWriter
from synccron.model.chunk import time_at

CHUNK = 1000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can fill."""
    monkeypatch.setattr(log, "HEAD", 4 * CHUNK)
    monkeypatch.setattr(log, "RING", 8 * CHUNK)
    monkeypatch.setattr(log, "PART", 3 * CHUNK)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job" / "1.log"


class Written:
    """A log under way, and all that was written into it."""

    def __init__(self, path: Path) -> None:
        self.whole = b""
        self.writer = LogWriter(str(path))

    def add(self, *chunks: bytes, now: int = 1000) -> None:
        for chunk in chunks:
            self.writer.write(chunk, len(self.whole), now)
            self.whole += chunk

    def flood(self, count: int) -> None:
        for _ in range(count):
            self.add(f"{len(self.whole):08}".encode() * (CHUNK // 8))


def test_bytes_are_read_as_they_were_written_whatever_they_are(path: Path) -> None:
    written = Written(path)
    written.add(b"\x00\xff\xfe", b"\r\n\x1b[2J", b"no end of line")
    written.writer.close()
    assert list(LogReader(path).read()) == [(0, written.whole)]
    assert path.read_bytes() == written.whole


def test_a_log_is_read_on_as_it_grows(path: Path) -> None:
    written, reader = Written(path), LogReader(path)
    assert list(reader.read()) == []
    written.add(b"one")
    assert list(reader.read()) == [(0, b"one")]
    assert list(reader.read()) == []
    written.add(b"two", b"three")
    assert list(reader.read()) == [(3, b"twothree")]


def test_a_reader_that_keeps_up_gets_everything_however_much_it_is(path: Path) -> None:
    written, reader, got = Written(path), LogReader(path), b""
    for _ in range(20):
        written.flood(3)
        for at, part in reader.read():
            assert at == len(got)
            got += part
    assert got == written.whole
    assert path.stat().st_size == log.HEAD + log.RING


def test_of_more_than_is_kept_the_head_and_the_newest_are_read_and_the_gap_is_known(
    path: Path,
) -> None:
    written = Written(path)
    written.flood(33)
    parts = list(LogReader(path).read())
    for at, part in parts:
        assert written.whole[at : at + len(part)] == part
    covered = sum(len(part) for _, part in parts)
    assert covered == log.HEAD + log.RING
    assert parts[-1][0] + len(parts[-1][1]) == len(written.whole)


def test_what_was_written_by_one_who_was_killed_is_read(path: Path) -> None:
    written = Written(path)
    written.flood(33)  # and never closed
    header = path.with_suffix(".times").read_bytes()[:24]
    begun = int.from_bytes(header[8:16], "little")
    # killed after it told what it would write, and before it did
    with path.with_suffix(".times").open("r+b") as file:
        file.seek(8)
        file.write((begun + CHUNK).to_bytes(8, "little"))
    parts = list(LogReader(path).read())
    assert all(written.whole[at : at + len(part)] == part for at, part in parts)
    assert parts[-1][0] + len(parts[-1][1]) == len(written.whole)


def test_a_reader_beside_a_writer_never_gives_what_was_not_there(path: Path) -> None:
    written, reader, stop = Written(path), LogReader(path), threading.Event()
    written.flood(1)
    got: list[tuple[int, bytes]] = []

    def read() -> None:
        while not stop.is_set():
            got.extend(reader.read())
        got.extend(reader.read())

    thread = threading.Thread(target=read)
    thread.start()
    written.flood(400)
    stop.set()
    thread.join()
    assert all(written.whole[at : at + len(part)] == part for at, part in got)
    assert got[-1][0] + len(got[-1][1]) == len(written.whole)


def test_a_reader_may_begin_with_the_newest(path: Path) -> None:
    written, reader = Written(path), LogReader(path)
    written.flood(2)
    reader.skip(10)
    assert list(reader.read()) == [(2 * CHUNK - 10, written.whole[-10:])]
    written.flood(33)
    reader.skip(10)
    assert list(reader.read()) == [(35 * CHUNK - 10, written.whole[-10:])]


def test_each_line_has_its_time(path: Path) -> None:
    written = Written(path)
    line = b"x" * 99 + b"\n"
    for n in range(5):
        written.add(line, now=1000 + n)
    times = LogReader(path).times()
    assert [time_at(times, n * 100) for n in range(5)] == [1000, 1001, 1002, 1003, 1004]
    assert time_at(times, 250) == 1002


def test_short_lines_of_one_moment_share_a_time_and_of_different_seconds_do_not(
    path: Path,
) -> None:
    written = Written(path)
    for now in (1000, 1001, 1002, 2002, 5000):
        written.add(b"x\n", now=now)
    assert LogReader(path).times() == [(0, 1000), (6, 2002), (8, 5000)]


def test_a_clock_that_goes_back_leaves_the_times_in_order(path: Path) -> None:
    written = Written(path)
    for now in (5000, 1000, 9000):
        written.add(b"x" * 100, now=now)
    assert LogReader(path).times() == [(0, 5000), (200, 9000)]


def test_the_times_are_bounded_and_get_coarser_instead(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_TIMES", 64)
    written = Written(path)
    written.add(b"x" * 64, now=0)
    for n in range(1, 1000):
        written.add(b"x" * 64, now=n)
        assert path.with_suffix(".times").stat().st_size <= 24 + 64 * 16
    times = LogReader(path).times()
    assert times[0] == (0, 0)
    assert [instant * 64 for _, instant in times] == [place for place, _ in times]
    assert time_at(times, 999 * 64) is not None


def test_what_came_at_one_moment_needs_no_second_file(path: Path) -> None:
    written = Written(path)
    written.add(b"one\n", b"two\n")
    os.utime(path, ns=(0, 1_795_000_000_123_000_000))
    reader = LogReader(path)
    assert not path.with_suffix(".times").exists()
    assert b"".join(part for _, part in reader.read()) == b"one\ntwo\n"
    assert reader.times() == [(0, 1_795_000_000_123)]
    written.add(b"three\n", now=5000)
    assert reader.times() == [(0, 1000), (8, 5000)]


def test_a_log_that_is_not_there_has_no_times(path: Path) -> None:
    assert LogReader(path).times() == []
    assert time_at([], 0) is None


def test_both_files_are_private_and_no_link_is_followed(path: Path) -> None:
    before = os.umask(0)
    try:
        written = Written(path)
        written.add(b"x")
        written.add(b"y", now=5000)
    finally:
        os.umask(before)
    for file in (path, path.with_suffix(".times")):
        assert file.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (path.parent / "2.log").symlink_to(path)
    with pytest.raises(OSError, match=r"2\.log"):
        LogWriter(str(path.parent / "2.log")).write(b"y", 0, 0)
    with pytest.raises(OSError, match=r"2\.log"):
        list(LogReader(path.parent / "2.log").read())
