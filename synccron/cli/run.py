"""The command that is a node: `run` starts one, logs what happens, and ends it on a signal.

TERM and INT hand over and let running jobs end (a second one ends them); HUP applies the files
again. A service manager that listens is told of all of it.
"""

import gc
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, duration, pairs
from synccron.cli.http import serving
from synccron.cli.paper import say
from synccron.cli.signals import Signals
from synccron.cli.systemd import ServiceManager, Watchdog
from synccron.clock import SystemClock
from synccron.errors import InvalidInput, SynccronError
from synccron.events import Event, Events, json_line, text_line
from synccron.handlers import keep_memory_private, keep_one_heap
from synccron.store import has_password, is_cluster, leaks

if TYPE_CHECKING:
    from synccron.engine.figures import Figures
    from synccron.engine.metrics import Metrics
    from synccron.engine.node import Node
    from synccron.events import Listener

app = typer.Typer()

_USUAL_GC = (700, 10, 10)  # __main__ made it rare, for what ends soon


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
    ahead: Annotated[
        str, typer.Option(metavar="TIME", help="How long before its time a job is written.")
    ] = "20s",
    node_lease: Annotated[
        str, typer.Option(metavar="TIME", help="How long a node keeps its jobs without renewal.")
    ] = "15s",
    drain: Annotated[
        str, typer.Option(metavar="TIME", help="How long running jobs may go on at the end.")
    ] = "30s",
    max_skew: Annotated[
        str, typer.Option(metavar="TIME", help="How far its wall clock may be off the others'.")
    ] = "30s",
    no_lead: Annotated[bool, typer.Option("--no-lead", help="Never dispatch.")] = False,
    no_work: Annotated[bool, typer.Option("--no-work", help="Never run jobs.")] = False,
    only_handlers: Annotated[
        bool,
        typer.Option(
            "--only-handlers", help="Run installed handlers, and no command of the store."
        ),
    ] = False,
    allow_run: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-run",
            metavar="PATTERN",
            help="Run installed handlers, and of commands these: '/usr/local/bin/backup *'.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="What it carries, for a schedule's node_labels."),
    ] = None,
    pass_env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|PREFIX*", help="Jobs get these variables of the node's."),
    ] = None,
    apply: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Register it at the start and on SIGHUP."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="ADDR", help="Serve /healthz, /readyz and /metrics here: :9180."),
    ] = None,
    log: Annotated[str, typer.Option(metavar="text|json", help="The form of a log line.")] = "text",
    retention: Annotated[
        str, typer.Option(metavar="TIME", help="How long ended jobs are kept.")
    ] = "7d",
    retention_jobs: Annotated[
        int, typer.Option(metavar="N", min=20, help="How many ended jobs of a schedule are kept.")
    ] = 1000,
    history_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="On etcd: how large the history may grow: 256MiB."),
    ] = None,
    log_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="How large the logs of jobs on this host may grow.")
    ] = "4GiB",
) -> None:
    """Run a node. It leads or stands by, and runs jobs, until TERM or INT."""
    if log not in ("text", "json"):
        raise InvalidInput(f"--log: '{log}' is neither text nor json")
    log_event = _logger(log)
    gc.set_threshold(*_USUAL_GC)
    keep_one_heap()
    from synccron.engine.node import Node

    metrics = None if http is None else _metrics(lambda: node.figures())  # noqa: PLW0108
    signals = Signals(early=lambda: node.hurry())  # noqa: PLW0108 - there is no node yet

    def listener(event: Event) -> None:
        if event.event == "node_joined":  # before any job starts: from now on it drains
            signals.ready()
        log_event(event)
        if metrics is not None:
            metrics.hear(event)

    node = Node(
        call.place,
        id=node_id,
        concurrency=concurrency,
        lease=_span(lease, "--lease"),
        ahead=_span(ahead, "--ahead"),
        node_lease=_span(node_lease, "--node-lease"),
        drain=_span(drain, "--drain"),
        max_skew=_span(max_skew, "--max-skew"),
        lead=not no_lead,
        work=not no_work,
        only_handlers=only_handlers,
        allow_run=allow_run or (),
        labels=pairs(label, "--label") if label else None,
        pass_env=pass_env or (),
        retention=_span(retention, "--retention"),
        retention_jobs=retention_jobs,
        history_bytes=None if history_bytes is None else _history(call.place, history_bytes),
        log_bytes=_size(log_bytes, "--log-bytes"),
        on_event=listener,
        measure=None if metrics is None else metrics.measure,
    )
    if leaks(call.place):
        say(
            "warning: commands and their inputs go to etcd unencrypted, and whoever is in between"
            " can change them: give it certificates, and write etcds://"
        )
    if has_password(call.place):
        keep_memory_private()
    files = apply or []
    with serving(http, node.health, None if metrics is None else metrics.page):
        register_files(call, files, listener)
        with signals:
            _serve(call, node, files, signals, listener, ServiceManager())


def _metrics(figures: "Callable[[], Figures]") -> "Metrics | None":
    """Measure, where the package for that is installed."""
    try:
        from synccron.engine.metrics import Metrics
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        say("warning: /metrics needs a package: pip install 'synccron[metrics]'")
        return None
    return Metrics(figures)


def _span(text: str, option: str) -> timedelta:
    return timedelta(milliseconds=duration(text, option))


def _history(store: str, text: str) -> int:
    if not is_cluster(store):
        raise InvalidInput("--history-bytes bounds a store on etcd, and this one is a file")
    return _size(text, "--history-bytes")


def _size(text: str, option: str) -> int:
    """Read a number of bytes, with KiB, MiB or GiB. Raises InvalidInput."""
    found = re.fullmatch(r"([1-9][0-9]{0,15})(KiB|MiB|GiB)?", text)
    if found is None:
        raise InvalidInput(f"{option}: '{text}' is no size", hint="write 256MiB, say")
    return int(found[1]) << {None: 0, "KiB": 10, "MiB": 20, "GiB": 30}[found[2]]


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

    timeout = timedelta(milliseconds=call.store_timeout)
    with (
        read_files(files) as definitions,
        Client(call.place, timeout=timeout, create=True, on_event=listener) as client,
    ):
        client.register_checked(definitions)


def _serve(
    call: Call,
    node: "Node",
    files: Sequence[str],
    signals: Signals,
    listener: "Listener",
    manager: ServiceManager,
) -> None:
    try:
        node.start()
    except SynccronError:
        if signals.told_to_end:  # while it waited for its id
            return
        raise
    events = Events(call.now, listener)
    fatal: list[Exception] = []
    broken: list[Exception] = []
    watchdog = Watchdog(manager, SystemClock(), node.health)
    watchdog.start()
    manager.tell("READY=1", f"STATUS={node.health()}")
    _aside(node.wait, signals, fatal)
    ending = False
    for number in signals:
        if number == signal.SIGHUP:
            manager.reloading(SystemClock())
            _apply_again(call, files, listener, events)
            manager.tell("READY=1")
        elif ending:
            node.hurry()
        else:
            ending = True
            manager.tell("STOPPING=1")
            _aside(node.stop, signals, broken)
    watchdog.stop()
    if fatal and not ending:
        node.stop(0)
        raise fatal[0]
    if broken:
        raise broken[0]


def _aside(step: Callable[[], object], signals: Signals, failures: list[Exception]) -> None:
    """Do a step of the node's in a thread; signals end with it."""

    def take() -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - it is raised where the threads meet
            failures.append(error)
        finally:
            signals.end()

    threading.Thread(target=take, daemon=True).start()


def _apply_again(call: Call, files: Sequence[str], listener: "Listener", events: Events) -> None:
    try:
        register_files(call, files, listener)
    except SynccronError as error:
        # the node goes on with what is registered: a bad file must not end it
        for one in error.details or ({"message": error.message},):
            events.emit("tick_error", "error", during="apply", **one)
