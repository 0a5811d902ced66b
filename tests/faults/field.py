"""Nodes as processes on one store, what their handlers wrote down, and the judgement."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client
from synccron.clock import SystemClock
from synccron.model.judge import Sighting, judge
from synccron.store import open_store
from synccron.store.history import read_history

LONG = os.environ.get("SYNCCRON_FAULTS") == "long"
BUSY = bool(os.environ.get("SYNCCRON_BUSY"))  # the machine does other work besides
PATIENCE = float(os.environ.get("SYNCCRON_PATIENCE", "90"))  # seconds
NOTE = (
    'echo "$SYNCCRON_JOB_ID $SYNCCRON_ATTEMPT $SYNCCRON_FENCE begin" >> "$DEEDS"; {work};'
    ' echo "$SYNCCRON_JOB_ID $SYNCCRON_ATTEMPT $SYNCCRON_FENCE end" >> "$DEEDS"'
)


def command(work: str) -> str:
    return NOTE.format(work=work)


SCHEDULES: dict[str, dict[str, object]] = {
    "quick": {"cron": "* * * * * *", "run": command("true")},
    "catching": {"cron": "* * * * * *", "run": command("true"), "misfire": "catch_up_all"},
    "one": {"cron": "*/2 * * * * *", "run": command("true"), "misfire": "catch_up_one"},
    "slow": {"cron": "* * * * * *", "run": command("sleep 0.7"), "overlap": "skip"},
    "long": {"cron": "*/5 * * * * *", "run": command("sleep 2")},
    "forking": {"cron": "*/3 * * * * *", "run": command("(setsid sleep 600 &) ; sleep 1")},
    "flaky": {
        "cron": "*/2 * * * * *",
        "run": command('test "$SYNCCRON_ATTEMPT" -gt 1 || exit 1'),
        "retry": {"max_attempts": 5, "delay": "200ms"},
    },
    "python": {"cron": "*/2 * * * * *", "handler": "deeds:note"},
    "by-hand": {"cron": "0 0 1 1 *", "run": command("true")},
}
HANDLER = """
import os

def write(ctx, what):
    with open(os.environ["DEEDS"], "a") as deeds:
        deeds.write(f"{ctx.job_id} {ctx.attempt} {ctx.fence} {what}\\n")

def note(ctx):
    write(ctx, "begin")
    ctx.step("once", lambda: 1)
    write(ctx, "end")
"""


@dataclass
class Tried:
    """A line of the table that `make faults` prints; `row` is its number in docs/reliability.md.

    `took` are the seconds until all was well again after each fault, where that was measured.
    """

    row: str
    fault: str
    times: int = 0
    slots: int = 0
    broken: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def healing(self, most: float = PATIENCE) -> Iterator[None]:
        """Measure what is waited for after a fault; it must not take more than `most` seconds."""
        begun = SystemClock().monotonic()
        yield
        self.took.append((SystemClock().monotonic() - begun) / 1000)
        self.times += 1
        assert self.took[-1] <= most, f"well again after {self.took[-1]:.1f} s only"


TRIED: list[Tried] = []


def limit(seconds: int) -> pytest.MarkDecorator:
    """Give a test so long for its short amount, and half an hour for a long one, before it ends.

    What it waits for has limits of its own; this one leaves nodes behind that nobody ends.
    """
    return pytest.mark.timeout(1800 if LONG else seconds)


def within(seconds: float) -> float:
    """Bound what is waited for: in seconds where a machine does nothing else, as for `make faults`.

    `make test` may run on a busy one, and so may a release's run that says so; they only note how
    long it took.
    """
    return seconds if LONG and not BUSY else PATIENCE


def seeded(number: int) -> random.Random:
    """Give the luck of a test; each piece of a release's run has another."""
    piece = int(os.environ.get("SYNCCRON_PIECE", "0"))
    return random.Random(1_000_003 * piece + number)  # noqa: S311 - a seed that can be repeated


class Field:
    """A folder, the nodes on a store, and what its handlers wrote down."""

    def __init__(
        self, folder: Path, store: str | None = None, leases: tuple[str, str] = ("1s", "2s")
    ) -> None:
        self.folder = folder
        self.store = store or str(folder / "synccron.db")
        self.leases = leases
        self.options: tuple[str, ...] = ()
        self.deeds = folder / "deeds"
        self.deeds.touch()
        (folder / "deeds.py").write_text(HANDLER)
        # Each process of this test carries the folder's name in its environment.
        self.environment = {
            **os.environ,
            "DEEDS": str(self.deeds),
            "SYNCCRON_STORE": self.store,
            "PYTHONPATH": os.pathsep.join([str(folder), str(Path.cwd())]),
        }
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, store: str | None = None, module: str = "synccron", **environment: str
    ) -> None:
        lease, node_lease = self.leases
        with (self.folder / f"{name}.log").open("ab") as log:
            self.nodes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", module, "run", "--id", name, "--log", "json"),
                    *("--lease", lease, "--node-lease", node_lease, "--pass-env", "DEEDS"),
                    *("--store", store or self.store),
                    *self.options,
                ],
                env={**self.environment, **environment},
                cwd=self.folder,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        self.nodes[name].kill()
        self.nodes[name].wait(PATIENCE)

    def returned(self, name: str, client: Client) -> bool:
        """Whether a woken node is back; one that was ended starts again, as systemd would do."""
        if self.nodes[name].poll() == -signal.SIGKILL:
            # It was stopped inside a write: who waits for the store's lock ends such a holder.
            self.start(name)
        return name in [node.id for node in client.nodes()]

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "synccron", *words],
            env=self.environment,
            capture_output=True,
            check=False,
            timeout=PATIENCE,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def events(self, name: str) -> list[dict[str, Any]]:
        """What a node has logged so far."""
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def judged(self, tried: Tried, names: list[str], acknowledged: tuple[str, ...] = ()) -> None:
        """Judge the whole history, and note it for the table. All jobs have ended."""
        with open_store(self.store, clock=SystemClock()) as store:
            histories = [read_history(store, name) for name in names]
        found = judge(histories, self.done(), acknowledged, quiet=True)
        tried.slots += sum(len(each.jobs) for each in histories)
        tried.slots += sum(miss.count for each in histories for miss in each.misses)
        tried.broken += [str(each) for each in found]
        assert not found, "\n".join(map(str, found))
        self.command("audit", *names)

    def done(self) -> list[Sighting]:
        deeds = []
        for line in self.deeds.read_text().splitlines():
            job_id, attempt, fence, what = line.split()
            deeds.append(
                Sighting(job_id=job_id, attempt=int(attempt), fence=int(fence), ended=what == "end")
            )
        return deeds

    def running(self) -> list[str]:
        """What handlers still run: all but nodes, their guardians, and children that wait."""
        return [each for each in self.left() if "synccron" not in each]

    def left(self) -> list[str]:
        """Processes that carry this test's folder, other than this one."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                if os.fsencode(self.deeds) in (each / "environ").read_bytes():
                    found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found


@contextmanager
def playing(folder: Path, *place: Any) -> Iterator[Field]:
    made = Field(folder, *place)
    try:
        yield made
    finally:
        for node in made.nodes.values():
            if node.poll() is None:
                node.send_signal(signal.SIGCONT)
                node.send_signal(signal.SIGTERM)
        for node in made.nodes.values():
            try:
                node.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


def until(seen: Callable[[], bool], what: str, every: float = 0.02) -> None:
    """Wait for the thing itself, looking `every` so many s; the limit only ends what failed."""
    for _ in range(int(PATIENCE / every)):
        if seen():
            return
        threading.Event().wait(every)
    pytest.fail(f"waited in vain for {what}")


@contextmanager
def trying(fault: str, row: str = "") -> Iterator[Tried]:
    """Note what a test tries in the table, also where it fails."""
    tried = Tried(row, fault)
    TRIED.append(tried)
    try:
        yield tried
    except BaseException as error:
        if not tried.broken:
            tried.broken.append(f"the test failed: {error}".splitlines()[0][:100])
        raise


def register(made: Field, schedules: dict[str, dict[str, object]]) -> None:
    (made.folder / "jobs.yaml").write_text(json.dumps({"schedules": schedules}))
    made.command("register", "-f", str(made.folder / "jobs.yaml"))


def settle_down(client: Client, names: list[str]) -> None:
    """Stop the clockwork, and wait until every job has ended."""
    client.pause(*names)
    until(
        lambda: not client.jobs(states=["scheduled", "queued", "running"], limit=1),
        "all jobs to settle",
    )
