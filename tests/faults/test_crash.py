"""Three nodes on one file, one killed every moment: the laws hold, and nothing is left running."""

import os
import random
import signal
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.clock import SystemClock
from synccron.model.judge import judge
from synccron.store import open_store
from synccron.store.history import read_history
from tests.faults.field import SCHEDULES, command, limit, playing, register, settle_down, until

pytestmark = [pytest.mark.faults, limit(240)]

KILLS = int(os.environ.get("SYNCCRON_KILLS", "6"))


def test_the_laws_hold_while_nodes_are_killed(tmp_path: Path) -> None:
    luck = random.Random(20_261_123)  # noqa: S311 - a seed that can be repeated
    acknowledged: list[str] = []
    with playing(tmp_path) as made:
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
    with playing(tmp_path) as made:
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
    with playing(tmp_path) as made:
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
