"""Three nodes on one file, one killed every moment: the laws hold, and nothing is left running."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.clock import SystemClock
from synccron.model.judge import Deed, judge
from synccron.store import open_store
from synccron.store.history import read_history

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

KILLS = int(os.environ.get("SYNCCRON_KILLS", "6"))
PATIENCE = 90.0
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


class Field:
    """A folder with a store, the nodes on it, and what its handlers wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = str(folder / "synccron.db")
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

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.nodes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "synccron", "run", "--id", name, "--log", "json"),
                    *("--lease", "1s", "--node-lease", "2s", "--pass-env", "DEEDS"),
                ],
                env=self.environment,
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

    def done(self) -> list[Deed]:
        deeds = []
        for line in self.deeds.read_text().splitlines():
            job_id, attempt, fence, what = line.split()
            deeds.append(
                Deed(job_id=job_id, attempt=int(attempt), fence=int(fence), ended=what == "end")
            )
        return deeds

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
def field(folder: Path) -> Iterator[Field]:
    made = Field(folder)
    try:
        yield made
    finally:
        for node in made.nodes.values():
            if node.poll() is None:
                node.send_signal(signal.SIGTERM)
        for node in made.nodes.values():
            try:
                node.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


def until(seen: Callable[[], bool], what: str) -> None:
    """Wait for the thing itself; the limit only ends a test that failed."""
    for _ in range(int(PATIENCE * 50)):
        if seen():
            return
        threading.Event().wait(0.02)
    pytest.fail(f"waited in vain for {what}")


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


def test_the_laws_hold_while_nodes_are_killed(tmp_path: Path) -> None:
    luck = random.Random(20_261_123)  # noqa: S311 - a seed that can be repeated
    acknowledged: list[str] = []
    with field(tmp_path) as made:
        register(made, SCHEDULES)
        for name in ("n1", "n2", "n3"):
            made.start(name)
        with Client(made.store) as client:
            until(lambda: len([n for n in client.nodes() if n.handlers]) == 3, "three nodes")
            for number in range(KILLS):
                before = len(made.done())
                until(lambda seen=before: len(made.done()) > seen + 12, "jobs to run")  # type: ignore[misc]
                victim = luck.choice(sorted(made.nodes))
                key = f"kill-{number}"
                acknowledged += [client.trigger("by-hand", key=key).id for _ in range(2)]
                made.kill(victim)
                made.start(victim)
            settle_down(client, list(SCHEDULES))
        with open_store(made.store, clock=SystemClock()) as store:
            histories = [read_history(store, name) for name in SCHEDULES]
    assert len(set(acknowledged)) == KILLS
    violations = judge(histories, made.done(), acknowledged, quiet=True)
    assert not violations, "\n".join(map(str, violations))
    assert sum(len(history.jobs) for history in histories) > 5 * KILLS
    until(lambda: not made.left(), f"the end of {made.left()}")


def test_an_outage_is_decided_by_each_misfire_policy(tmp_path: Path) -> None:
    policies = ("skip", "catch_up_one", "catch_up_all")
    schedules: dict[str, dict[str, object]] = {
        policy: {"cron": "* * * * * *", "run": command("true"), "misfire": policy}
        for policy in policies
    }
    with field(tmp_path) as made:
        register(made, schedules)
        made.start("n1")
        until(lambda: len(made.done()) > 6, "jobs to run")
        made.kill("n1")
        clock = SystemClock()
        down, seconds = clock.now(), 4_000
        until(lambda: clock.now() > down + seconds, "the outage to last")
        made.start("n1")
        before = len(made.done())
        until(lambda: len(made.done()) > before + 12, "jobs to run again")
        with Client(made.store) as client:
            settle_down(client, list(policies))
        with open_store(made.store, clock=clock) as store:
            histories = {name: read_history(store, name) for name in policies}
    violations = judge(list(histories.values()), made.done(), quiet=True)
    assert not violations, "\n".join(map(str, violations))
    missed = {
        name: sum(miss.count for miss in history.misses if miss.reason == "misfire")
        for name, history in histories.items()
    }
    assert missed["skip"] >= 3
    assert missed["catch_up_one"] >= 3
    assert missed["catch_up_all"] == 0


def test_the_laws_hold_while_leaders_are_stopped_and_woken(tmp_path: Path) -> None:
    with field(tmp_path) as made:
        register(made, SCHEDULES)
        for name in ("n1", "n2"):
            made.start(name)
        with Client(made.store) as client:
            until(lambda: len([n for n in client.nodes() if n.handlers]) == 2, "two nodes")
            for _ in range(2):
                until(lambda: client.status().leader is not None, "a leader")
                leader, epoch = client.status().leader, client.status().epoch
                assert leader is not None
                made.nodes[leader].send_signal(signal.SIGSTOP)
                until(lambda seen=epoch: (client.status().epoch or 0) > seen, "another leader")  # type: ignore[misc]
                # Stopped for longer than its registration, too: its claims are taken up.
                until(lambda gone=leader: gone not in [n.id for n in client.nodes()], "its end")  # type: ignore[misc]
                before = len(made.done())
                until(lambda seen=before: len(made.done()) > seen + 12, "jobs to run")  # type: ignore[misc]
                made.nodes[leader].send_signal(signal.SIGCONT)
                until(lambda back=leader: made.returned(back, client), "its return")  # type: ignore[misc]
            settle_down(client, list(SCHEDULES))
        with open_store(made.store, clock=SystemClock()) as store:
            histories = [read_history(store, name) for name in SCHEDULES]
    violations = judge(histories, made.done(), quiet=True)
    assert not violations, "\n".join(map(str, violations))
    until(lambda: not made.left(), f"the end of {made.left()}")
