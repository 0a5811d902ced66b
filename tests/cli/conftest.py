"""Ways to call the command line: within this process, or as the program that users start."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synccron.__main__ import main

ENOUGH = 30  # seconds: for a slow machine, never to be waited for on a good day


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a store that is not there yet; commands use it unless told otherwise."""
    path = tmp_path / "state" / "synccron.db"
    monkeypatch.setenv("SYNCCRON_STORE", str(path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return path


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Call a command within this process, as in a pipe."""

    def call(*words: str, stdin: str = "") -> Answer:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with redirect_stdout(out), redirect_stderr(err):
            status = main(words)
        out.flush()
        err.flush()
        texts = [stream.buffer.getvalue().decode(errors="surrogateescape") for stream in (out, err)]
        return Answer(status, *texts)

    return call


@pytest.fixture
def cli(store: Path, call: Callable[..., Answer]) -> Callable[..., Answer]:
    """Call a command on the file of a store that is not there yet."""
    del store
    return call


@pytest.fixture
def program(store: Path) -> Callable[..., Answer]:
    """Call a command as users do: a process of its own, in a pipe."""
    del store

    def call(*words: str, **variables: str) -> Answer:
        ended = subprocess.run(
            [sys.executable, "-m", "synccron", *words],
            capture_output=True,
            timeout=ENOUGH,
            check=False,
            env={**os.environ, **variables},
        )
        return Answer(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return call


@pytest.fixture
def terminal(store: Path) -> Callable[..., Answer]:
    """Call a command on a terminal; what it wrote to either stream is in `out`."""
    del store

    def call(*words: str, **variables: str) -> Answer:
        ours, theirs = pty.openpty()
        child = subprocess.Popen(
            [sys.executable, "-m", "synccron", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **variables},
        )
        os.close(theirs)
        written = b""
        try:
            while select.select([ours], [], [], ENOUGH)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the last one who had it open has closed it
                    break
                written += piece
            return Answer(child.wait(ENOUGH), written.decode(errors="replace"), "")
        finally:
            child.kill()
            child.wait()
            os.close(ours)

    return call


class Screen:
    """A command that goes on, on a terminal; what it has written so far is in `written`."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "synccron", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "100", "LINES": "40"},
        )
        os.close(theirs)
        self.written = ""

    def until(self, text: str) -> None:
        """Read on until it has written this."""
        while text not in self.written:
            assert self._read(), f"it ended without {text!r}: {self.written!r}"

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C: the exit status, and all that was written."""
        self.child.send_signal(signal.SIGINT)
        while self._read():
            pass
        return self.child.wait(ENOUGH), self.written

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], ENOUGH)[0]:
            return False
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # the last one who had it open has closed it
            return False
        self.written += piece.decode(errors="replace")
        return bool(piece)


@pytest.fixture
def screen(store: Path) -> Iterator[Callable[..., Screen]]:
    """Start commands that go on, on terminals; none outlives the test."""
    del store
    started: list[Screen] = []

    def start(*words: str) -> Screen:
        started.append(Screen(*words))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def begin(store: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command that goes on until it is interrupted; none outlives the test."""
    del store
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "synccron", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=ENOUGH)


class RunningNode:
    """A node as users start it, and the events that it tells."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "synccron", "run", "--log", "json", *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.seen: list[dict[str, Any]] = []

    def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """Read its log up to an event with these fields."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            told: dict[str, Any] = json.loads(line)
            self.seen.append(told)
            if told["event"] == event and fields.items() <= told.items():
                return told
        raise AssertionError(f"it ended without {event} {fields}: {self.seen}")

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end: the status, and what is left of its streams."""
        out, err = self.process.communicate(timeout=ENOUGH)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def node(store: Path) -> Iterator[Callable[..., RunningNode]]:
    """Start nodes on the store; none outlives the test."""
    del store
    started: list[RunningNode] = []

    def start(*words: str) -> RunningNode:
        one = RunningNode(*words)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.terminate()
        one.end()
