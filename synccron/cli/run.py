"""The command that is a node: `run` starts one, logs what happens, and ends it on a signal.

TERM and INT hand over and let running jobs end (a second one ends them); HUP applies the files
again. Signals come through a pipe: a handler that took a lock could meet its own thread in it.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, duration
from synccron.errors import InvalidInput, SynccronError
from synccron.events import Event, Events, json_line, text_line

if TYPE_CHECKING:
    from synccron.engine.node import Node
    from synccron.events import Listener

app = typer.Typer()

_USUAL_GC = (700, 10, 10)  # __main__ made it rare, for what ends soon
_ENDED = 0  # in the pipe, where other bytes are signals
_ENDING = (signal.SIGTERM, signal.SIGINT)


@command(app, "run", json=False)
def run(
    call: Call,
    node_id: Annotated[
        str | None,
        typer.Option("--id", metavar="NAME", help="Default: host name and a random part."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="Jobs at once: 16, or 4 a core if that is more.")
    ] = None,
    lease: Annotated[
        str, typer.Option(metavar="TIME", help="How long a leader stays without renewal.")
    ] = "5s",
    node_lease: Annotated[
        str, typer.Option(metavar="TIME", help="How long a node keeps its jobs without renewal.")
    ] = "15s",
    drain: Annotated[
        str, typer.Option(metavar="TIME", help="How long running jobs may go on at the end.")
    ] = "30s",
    no_lead: Annotated[bool, typer.Option("--no-lead", help="Never dispatch.")] = False,
    no_work: Annotated[bool, typer.Option("--no-work", help="Never run jobs.")] = False,
    pass_env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|PREFIX*", help="Jobs get these variables of the node's."),
    ] = None,
    apply: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Register it at the start and on SIGHUP."),
    ] = None,
    log: Annotated[str, typer.Option(metavar="text|json", help="The form of a log line.")] = "text",
    retention: Annotated[
        str, typer.Option(metavar="TIME", help="How long ended jobs are kept.")
    ] = "7d",
    retention_jobs: Annotated[
        int, typer.Option(metavar="N", min=20, help="How many ended jobs of a schedule are kept.")
    ] = 1000,
) -> None:
    """Run a node. It leads or stands by, and runs jobs, until TERM or INT."""
    if log not in ("text", "json"):
        raise InvalidInput(f"--log: '{log}' is neither text nor json")
    listener = _logger(log)
    gc.set_threshold(*_USUAL_GC)
    from synccron.engine.node import Node

    node = Node(
        call.place,
        id=node_id,
        concurrency=concurrency,
        lease=_span(lease, "--lease"),
        node_lease=_span(node_lease, "--node-lease"),
        drain=_span(drain, "--drain"),
        lead=not no_lead,
        work=not no_work,
        pass_env=pass_env or (),
        retention=_span(retention, "--retention"),
        retention_jobs=retention_jobs,
        on_event=listener,
    )
    files = apply or []
    register_files(call, files, listener)
    _serve(call, node, files, listener)


def _span(text: str, option: str) -> timedelta:
    return timedelta(milliseconds=duration(text, option))


def _logger(form: str) -> "Listener":
    line = json_line if form == "json" else text_line
    lock = threading.Lock()  # against two threads' events in one line

    def write(event: Event) -> None:
        with lock:
            print(line(event), file=sys.stderr, flush=True)

    return write


def register_files(call: Call, files: Sequence[str], listener: "Listener") -> None:
    """Register what these files say. Raises InvalidInput; then nothing was changed."""
    if not files:
        return
    from synccron.cli.files import read_files
    from synccron.client import Client

    definitions = read_files(files)
    timeout = timedelta(milliseconds=call.store_timeout)
    with Client(call.place, timeout=timeout, create=True, on_event=listener) as client:
        client.register(*definitions)


def _serve(call: Call, node: "Node", files: Sequence[str], listener: "Listener") -> None:
    with _signals(node) as signals:
        try:
            node.start()
        except SynccronError:
            if signals.told_to_end:  # while it waited for its id
                return
            raise
        signals.started = True
        tell = Events(call.now, listener)
        failure: list[SynccronError] = []
        threading.Thread(target=_watch, args=(node, signals, failure), name="ended").start()
        _notify("READY=1", tell)
        ending = False
        for number in signals:
            if number == _ENDED:
                break
            if number == signal.SIGHUP:
                _apply_again(call, files, listener)
            elif ending:
                node.hurry()
            else:
                ending = True
                _notify("STOPPING=1", tell)
                threading.Thread(target=node.stop, name="stop").start()
        if failure and not ending:
            node.stop(0)
            raise failure[0]


def _watch(node: "Node", signals: "_Signals", failure: list[SynccronError]) -> None:
    try:
        node.wait()
    except SynccronError as error:
        failure.append(error)
    finally:
        signals.end()


def _apply_again(call: Call, files: Sequence[str], listener: "Listener") -> None:
    try:
        register_files(call, files, listener)
    except SynccronError as error:
        # the node goes on with what is registered: a bad file must not end it
        events = Events(call.now, listener)
        for one in error.details or ({"message": error.message},):
            events.emit("tick_error", "error", during="apply", **one)


class _Signals:
    """The signals that arrived, in order, as numbers; `_ENDED` when the node has."""

    def __init__(self) -> None:
        self.started = False
        self.told_to_end = False
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    @property
    def wakeup(self) -> int:
        return self._writer

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from os.read(self._reader, 64)

    def end(self) -> None:
        os.write(self._writer, bytes([_ENDED]))

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextmanager
def _signals(node: "Node") -> Iterator[_Signals]:
    signals = _Signals()

    def note(number: int, _: FrameType | None) -> None:
        if number in _ENDING:
            signals.told_to_end = True
            if not signals.started:  # it may wait for its id; from then on the pipe is read
                node.hurry()

    before = {number: signal.signal(number, note) for number in (*_ENDING, signal.SIGHUP)}
    fd = signal.set_wakeup_fd(signals.wakeup, warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(fd)
        for number, former in before.items():
            signal.signal(number, former)
        signals.close()


def _notify(state: str, events: Events) -> None:
    """Tell systemd, where it listens (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket

    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.connect(address)
            to.sendall(state.encode())
    except OSError as error:  # the node works as well without
        events.emit("tick_error", "warning", during="sd_notify", error=str(error))
