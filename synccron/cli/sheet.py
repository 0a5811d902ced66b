"""What a job wrote, on its way to a stream: escaped for a terminal, byte for byte for a pipe.

Bytes that were left out (the log is bounded, a follower may come late) are told on stderr, so that
a pipe gets nothing but what the job wrote.
"""

import codecs
import json
from datetime import UTC, datetime, timedelta
from typing import TextIO

from synccron.cli.paper import say, visible_text, write_text
from synccron.model.chunk import Chunk
from synccron.model.time import Instant


class Sheet:
    """Takes chunks in their order. `_next` is the attempt and the place that would come next."""

    def __init__(self, stream: TextIO, *, raw: bool = False, timestamps: bool = False) -> None:
        self._stream = stream
        self._plain = raw or not stream.isatty()
        self._timestamps = timestamps
        self._decoder = _decoder()
        self._next = (0, 0)
        self._at_start = True  # of a line

    def write(self, chunk: Chunk) -> None:
        """Write a chunk."""
        self._note_gap(chunk)
        if not self._timestamps:
            self._put(chunk.data)
            return
        for instant, data in chunk.moments():
            for line in _lines(data):
                if self._at_start:
                    self._put(f"{moment(instant)} ".encode())
                self._put(line)
                self._at_start = line.endswith(b"\n")

    def close(self) -> None:
        """Write what is left of a character that never became whole."""
        if not self._plain:
            write_text(self._stream, visible_text(self._decoder.decode(b"", final=True)))

    def _note_gap(self, chunk: Chunk) -> None:
        attempt, place = self._next
        if chunk.attempt != attempt:
            place, self._at_start = 0, True
        if chunk.at > place:
            say(f"... {chunk.at - place} bytes left out ...")
        self._next = chunk.attempt, chunk.end

    def _put(self, data: bytes) -> None:
        if self._plain:
            write_text(self._stream, data)
        else:
            # A character may come in two chunks.
            write_text(self._stream, visible_text(self._decoder.decode(data)))


class JsonLines:
    """Writes chunks as objects, one a line: what came at one time is one."""

    def __init__(self, stream: TextIO, job_id: str) -> None:
        self._stream = stream
        self._job_id = job_id
        self._decoder = _decoder()

    def write(self, chunk: Chunk) -> None:
        """Write a chunk."""
        for instant, data in chunk.moments():
            text = self._decoder.decode(data)
            if text:
                told = {"id": self._job_id, **_chunk(chunk.attempt, instant, text)}
                print(json.dumps(told), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is left but half of a character, which is none."""


class Gathered:
    """Keeps chunks for one JSON document."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, object]] = []
        self.text = ""
        self.size = 0
        self.left_out = False
        self._decoder = _decoder()
        self._next = (0, 0)

    def write(self, chunk: Chunk) -> None:
        """Keep a chunk."""
        attempt, place = self._next
        self.left_out |= chunk.at > (place if chunk.attempt == attempt else 0)
        self._next = chunk.attempt, chunk.end
        self.size += len(chunk.data)
        for instant, data in chunk.moments():
            text = self._decoder.decode(data)
            if text:
                self.text += text
                self.chunks.append(_chunk(chunk.attempt, instant, text))

    def close(self) -> None:
        """Take what is left of a character that never became whole."""
        self.text += self._decoder.decode(b"", final=True)


def moment(instant: Instant | None) -> str:
    """Write an instant with its milliseconds, so that lines stay below each other."""
    if instant is None:
        return "-" * 24
    exact = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=instant)
    return exact.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _chunk(attempt: int, instant: Instant | None, text: str) -> dict[str, object]:
    return {
        "attempt": attempt,
        "ts": None if instant is None else moment(instant),
        "output": text,
    }


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds alone: a carriage return goes back in a line, and ends none."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("backslashreplace")
