"""A process is killed right before or right after each write of its store: the laws hold."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synccron.client import Client
from tests.etcd import Members
from tests.faults.field import (
    LONG,
    PATIENCE,
    SCHEDULES,
    limit,
    playing,
    register,
    settle_down,
    trying,
    until,
)

pytestmark = [pytest.mark.faults, limit(600)]

# The process is a node or a command like any other, but for one verb that kills it.
FAILING = """
import itertools, os, signal, sys
from synccron.store.etcd.store import EtcdStore
from synccron.store.sqlite.store import SqliteStore

verb, when, number = os.environ["FAILPOINT"].split(":")
calls = itertools.count(1)

def failing(kind):
    work = getattr(kind, verb)
    def wrapped(*given, **named):
        fatal = next(calls) == int(number)
        if fatal and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = work(*given, **named)
        if fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    setattr(kind, verb, wrapped)

failing(SqliteStore)
failing(EtcdStore)
from synccron.__main__ import main
main()
"""
WRITES = (
    *("join:1", "report:2", "campaign:1", "renew:1", "prune:1", "dispatch:1", "dispatch:2"),
    *("claim:1", "claim:4", "settle:1", "settle:3", "remember:1"),
)
POINTS = [each.replace(":", f":{when}:") for each in WRITES for when in ("before", "after")]
# Of those that a node of a cluster writes otherwise than one of a host, in the short form.
CHOSEN = ["campaign:after:1", "dispatch:after:2", "claim:after:4", "settle:before:3"]
AT_ONCE = 4
NAMES = ("quick", "catching", "slow", "flaky", "python")


def play(folder: Path, store: str | None, leases: tuple[str, str], point: str) -> None:
    """Kill a node at a point, let another go on, and judge the whole."""
    folder.mkdir()
    with (
        playing(folder, store, leases) as made,
        trying("node killed right before or after each write", "F3") as tried,
    ):
        (folder / "failing.py").write_text(FAILING)
        register(made, {name: SCHEDULES[name] for name in NAMES})
        made.start("n1", module="failing", FAILPOINT=point)
        assert made.nodes["n1"].wait(PATIENCE) == -signal.SIGKILL
        made.start("n2")
        with Client(made.store) as client:
            before = len(made.done())
            until(lambda: len(made.done()) > before + 12, "jobs to run")
            settle_down(client, list(NAMES))
        made.judged(tried, list(NAMES))
        tried.times += 1


def test_a_node_is_killed_at_each_write_to_sqlite(tmp_path: Path) -> None:
    def played(number: int) -> None:
        play(tmp_path / str(number), None, ("1s", "2s"), POINTS[number])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(played, range(len(POINTS))))


def test_a_node_is_killed_at_writes_to_etcd(tmp_path: Path, etcd: Members) -> None:
    points = POINTS if LONG else CHOSEN

    def played(number: int) -> None:
        store = etcd.url(f"failing-{number}")
        play(tmp_path / str(number), store, ("2s", "2s"), points[number])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(played, range(len(points))))


def test_law_7_a_trigger_that_was_killed_is_repeated_and_runs_once(tmp_path: Path) -> None:
    with playing(tmp_path) as made:
        (tmp_path / "failing.py").write_text(FAILING)
        register(made, {"by-hand": SCHEDULES["by-hand"]})
        trigger = ("trigger", "by-hand", "--key", "once", "--json")
        for when in ("before", "after"):
            killed = subprocess.run(
                [sys.executable, "-m", "failing", *trigger],
                env={**made.environment, "FAILPOINT": f"enqueue:{when}:1"},
                cwd=tmp_path,
                check=False,
                timeout=PATIENCE,
            )
            assert killed.returncode == -signal.SIGKILL
        assert json.loads(made.command(*trigger))["deduplicated"] is True
        with Client(made.store) as client:
            assert [job.key for job in client.jobs()] == ["once"]
