"""Three nodes on three members of etcd, with real schedules: each fault is a few lines."""

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from synccron.client import Client
from tests.etcd import Members
from tests.faults.field import (
    LONG,
    SCHEDULES,
    Field,
    Tried,
    playing,
    register,
    settle_down,
    until,
)
from tests.proxy import Proxy

LEASE = 2.0  # seconds
LEASES = ("2s", "4s")
NAMES = ("n1", "n2", "n3")


def times(short: int, long: int) -> int:
    return long if LONG else short


class Game:
    """Three nodes on three members, with real schedules; `proxies` stand before each node."""

    def __init__(self, made: Field, client: Client, members: Members, tried: Tried) -> None:
        self.made = made
        self.client = client
        self.members = members
        self.tried = tried
        self.proxies: dict[str, list[Proxy]] = {}

    def start(self, name: str) -> None:
        proxies = self.proxies.get(name, ())
        through = ",".join(f"127.0.0.1:{each.port}" for each in proxies)
        self.made.start(name, store=f"etcd://{through}/synccron" if through else None)

    def leader(self) -> str:
        until(lambda: self._leader() is not None, "a leader")
        found = self._leader()
        assert found is not None
        return found

    def epoch(self) -> int:
        return self.client.status().epoch or 0

    def succeeded(self, epoch: int) -> None:
        """Wait until another leader has begun its term."""
        until(lambda: self.epoch() > epoch, "another leader")

    def answers(self, name: str) -> bool:
        """Whether a node is there, and runs jobs or would."""
        return name in [each.id for each in self.client.nodes() if each.handlers]

    def runs_on(self, more: int = 15) -> None:
        """Wait until handlers have run again."""
        before = len(self.made.done())
        until(lambda: len(self.made.done()) > before + more, "jobs to run")

    def _leader(self) -> str | None:
        name = self.client.status().leader
        return name if name in self.made.nodes else None


def play(
    tmp_path: Path,
    members: Members,
    tried: Tried,
    fault: Callable[[Game], None],
    schedules: dict[str, dict[str, object]] = SCHEDULES,
    *,
    proxies: bool = False,
) -> None:
    """Start nodes, let the fault happen, end in peace, and judge."""
    with playing(tmp_path, members.url(), LEASES) as made, ExitStack() as stack:
        register(made, schedules)
        client = stack.enter_context(Client(made.store))
        game = Game(made, client, members, tried)
        for name in NAMES:
            if proxies:
                game.proxies[name] = [Proxy(member.port) for member in members.members]
                for proxy in game.proxies[name]:
                    stack.callback(proxy.close)
            game.start(name)
        until(lambda: len([n for n in client.nodes() if n.handlers]) == 3, "three nodes")
        game.runs_on()
        fault(game)
        game.runs_on()
        settle_down(client, list(schedules))
        made.judged(tried, list(schedules))
        check_revisions(game)
    until(lambda: not made.left(), f"the end of {made.left()}")


def check_revisions(game: Game) -> None:
    """See in etcd's own order that no leader wrote a job after the next one's term had begun.

    An epoch is the revision at which a term began, and each key tells the one that made it.
    """
    told = [event for name in game.made.nodes for event in game.made.events(name)]
    epochs = sorted({each["epoch"] for each in told if each["event"] == "leader_acquired"})
    page = json.loads(game.members.ctl_any("get", "--prefix", "synccron/kept/job/", "-w", "json"))
    written: list[tuple[int, int]] = []
    for each in page["kvs"]:
        epoch = json.loads(base64.b64decode(each["value"])).get("epoch")
        if epoch is not None:
            written.append((epoch, each["create_revision"]))
    assert written
    late = [
        f"the leader of epoch {epoch} wrote at {revision}"
        for epoch, revision in written
        if any(epoch < begun < revision for begun in epochs)
    ]
    game.tried.broken += late
    assert not late
    deposed = sum("is over" in str(each.get("reason")) for each in told)
    refused = sum("refused" in str(each.get("reason")) for each in told)
    if deposed or refused:
        game.tried.notes.append(
            f"{deposed} writes of deposed leaders and {refused} late results were refused;"
            f" of {len(written)} jobs none was written late"
        )


def said(game: Game, name: str, event: str) -> int:
    """Count what a node has said of one kind."""
    return [each["event"] for each in game.made.events(name)].count(event)


def live(client: Client) -> list[str]:
    return [node.id for node in client.nodes()]


def handed_over(made: Field, leader: str) -> float:
    """Tell how long nobody led, in ms."""
    lost = max(at(e) for e in made.events(leader) if e["event"] == "leader_lost")
    taken = [
        at(event)
        for name in made.nodes
        for event in made.events(name)
        if event["event"] == "leader_acquired" and at(event) >= lost
    ]
    return (min(taken) - lost) * 1000


def at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["ts"]).timestamp()
