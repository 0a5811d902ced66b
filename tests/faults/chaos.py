"""Three nodes that are broken at random, one fault after the other, and mended.

Each fault is a function that returns when the fault is over; whether all is well again is asked
afterwards, by `Ground.recovered`. The numbers are those of docs/reliability.md.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.errors import StoreError
from tests.etcd import Members
from tests.faults.field import Field, command, until
from tests.faults.measure import children
from tests.faults.shifted import Shift
from tests.proxy import Proxy

NAMES = ("n1", "n2", "n3")
SURVIVOR = "n3"  # it is never killed, so that what it takes can be measured for long
LEASE, NODE_LEASE = 2.0, 8.0  # in seconds
LOOK = 0.1  # how often it is asked whether all is well, in seconds
CRONS = ("* * * * * *", "*/2 * * * * *", "@every 3s", "*/5 * * * * *")


class Ground:
    """Nodes on one store, and all that is needed to break them: proxies, clocks, members."""

    def __init__(self, made: Field, client: Client, luck: Random, members: Members | None) -> None:
        self.made = made
        self.client = client
        self.luck = luck
        self.members = members
        self.ended = 0  # nodes that held the store's lock when they were stopped, and were ended
        self.died: list[str] = []  # nodes that ended otherwise, though nobody had told them to
        self.set_from: list[int] = []  # when clocks were set, in ms of the true wall clock
        self.revoked: list[int] = []  # when leases were revoked by hand
        self.proxies: dict[str, list[Proxy]] = {
            name: [Proxy(each.port) for each in members.members] if members else []
            for name in NAMES
        }
        self.shifts = {name: Shift(clock_of(made.folder, name, members)) for name in NAMES}

    def start(self, name: str) -> None:
        """Start a node, on a clock that can be set, and through its own proxies."""
        through = ",".join(f"127.0.0.1:{each.port}" for each in self.proxies[name])
        store = f"etcd://{through}/synccron" if through else None
        shift = str(clock_of(self.made.folder, name, self.members))
        self.made.start(name, store=store, module="tests.faults.shifted", SHIFT=shift)

    def leader(self) -> str:
        """Tell who leads."""
        found: list[str] = []

        def seen() -> bool:
            status = self.client.status()
            found[:] = [status.leader] if status.leader in NAMES else []
            return bool(found)

        until(seen, "a leader", LOOK)
        return found[0]

    def follower(self) -> str:
        """Choose a node that may be killed and does not lead."""
        leader = self.leader()
        return self.luck.choice([each for each in NAMES if each not in (leader, SURVIVOR)])

    def pid(self, name: str) -> int:
        return self.made.nodes[name].pid

    @contextmanager
    def stopped(self, name: str, seconds: float) -> Iterator[None]:
        """Stop a node for a time; meanwhile its guardian goes on."""
        self.made.nodes[name].send_signal(signal.SIGSTOP)
        try:
            pause(seconds)
            yield
        finally:
            self.made.nodes[name].send_signal(signal.SIGCONT)

    def mend(self) -> None:
        """Undo whatever a fault may have left undone."""
        for each in self.shifts.values():
            each.set(0)
        for proxies in self.proxies.values():
            for proxy in proxies:
                proxy.mend()
        for node in self.made.nodes.values():
            node.send_signal(signal.SIGCONT)
        for member in self.members.members if self.members else ():
            if member.process is None:
                member.start()
            member.signal(signal.SIGCONT)

    def whole(self) -> bool:
        """Whether somebody leads and all nodes are there; one that was ended starts again."""
        for name, node in self.made.nodes.items():
            code = node.poll()
            if code == -signal.SIGKILL:  # stopped in a write: who waits for the store ends it
                self.ended += 1
            elif code is not None:
                self.died.append(f"{name} ended by itself with {code}")
            if code is not None:
                self.start(name)  # as systemd would
        try:
            found = [each for each in self.client.nodes() if each.handlers]
        except StoreError:
            return False
        pids = {name: node.pid for name, node in self.made.nodes.items()}
        return {each.id: each.pid for each in found} == pids and any(e.leader for e in found)

    def recovered(self) -> float:
        """Wait until all is well and jobs run; the seconds that it took."""
        clock = SystemClock()
        begun = clock.monotonic()
        until(self.whole, "a leader and three nodes", LOOK)
        before = self.made.deeds.stat().st_size
        until(lambda: self.made.deeds.stat().st_size > before + 200, "jobs to run", LOOK)
        return (clock.monotonic() - begun) / 1000

    def close(self) -> None:
        for proxies in self.proxies.values():
            for proxy in proxies:
                proxy.close()


def clock_of(folder: Path, name: str, members: Members | None) -> Path:
    """Name the file that sets a node's wall clock: nodes of one host share the host's."""
    return folder / ("shift" if members is None else f"shift-{name}")


def pause(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class Fault:
    """What is broken: its number in docs/reliability.md, and how."""

    number: str
    name: str
    happen: Callable[[Ground], None]


def kill_leader(ground: Ground) -> None:
    leader = ground.leader()
    if leader == SURVIVOR:
        stop_leader(ground)
        leader = ground.leader()
    if leader == SURVIVOR:  # it took the lead again at once
        return
    ground.made.kill(leader)
    ground.start(leader)


def kill_worker(ground: Ground) -> None:
    victim = ground.follower()
    ground.made.kill(victim)
    ground.start(victim)


def stop_leader(ground: Ground) -> None:
    with ground.stopped(ground.leader(), LEASE + 1.5):
        pass


def stop_node(ground: Ground) -> None:
    with ground.stopped(ground.luck.choice(NAMES), NODE_LEASE + 3):
        pass


def drain(ground: Ground) -> None:
    name = ground.follower() if ground.luck.random() < 0.5 else ground.leader()
    if name == SURVIVOR:
        name = ground.follower()
    ground.made.nodes[name].send_signal(signal.SIGTERM)
    ground.made.nodes[name].wait(60)
    ground.start(name)


def kill_guardian(ground: Ground) -> None:
    for heir in children(ground.pid(ground.follower())):
        for guardian in children(heir):
            os.kill(guardian, signal.SIGKILL)


def set_clock(ground: Ground) -> None:
    """A wall clock that is off by less than nodes accept of each other, for a time."""
    shift = ground.shifts[ground.luck.choice(NAMES)]
    ground.set_from.append(SystemClock().now())
    shift.set(ground.luck.choice([-20_000, -5_000, 5_000, 20_000]))
    pause(6)
    shift.set(0)


def set_clock_far(ground: Ground) -> None:
    """A leader's wall clock minutes off; then the cursors that it left are brought back by hand."""
    ground.set_from.append(SystemClock().now())
    shift = ground.shifts[ground.leader()]
    shift.set(ground.luck.choice([-120_000, 120_000]))
    pause(6)
    shift.set(0)
    until(ground.whole, "a leader", LOOK)
    ground.client.reset_cursor(*[each.id for each in ground.client.list()])


def edit(ground: Ground) -> None:
    ground.client.register(
        Schedule(id="edited", cron=ground.luck.choice(CRONS), run=command("true"))
    )


def back_up(ground: Ground) -> None:
    ground.client.backup(ground.made.folder / f"backup-{ground.luck.getrandbits(40):x}")


def cut(ground: Ground, *, there: bool = True, back: bool = True) -> None:
    """Cut a node off from etcd for longer than its lease, every second time the leader."""
    name = ground.leader() if ground.luck.random() < 0.5 else ground.luck.choice(NAMES)
    for each in ground.proxies[name]:
        each.cut(there=there, back=back)
    pause(ground.luck.choice([LEASE + 2, NODE_LEASE + 4]))
    for each in ground.proxies[name]:
        each.mend()


def flap(ground: Ground) -> None:
    proxies = ground.proxies[ground.leader()]
    for _ in range(6):
        for each in proxies:
            each.cut()
        pause(1)
        for each in proxies:
            each.mend()
        pause(1)


def lose_quorum(ground: Ground) -> None:
    assert ground.members is not None
    stopped = ground.luck.sample(ground.members.members, 2)
    for each in stopped:
        each.signal(signal.SIGSTOP)
    pause(ground.luck.choice([3, 12]))
    for each in stopped:
        each.signal(signal.SIGCONT)


def kill_member(ground: Ground) -> None:
    assert ground.members is not None
    member = ground.luck.choice(ground.members.members)
    member.kill()
    pause(2)
    member.start()
    ground.members.wait()


def stop_member(ground: Ground) -> None:
    assert ground.members is not None
    member = ground.luck.choice(ground.members.members)
    member.signal(signal.SIGSTOP)
    pause(2)
    member.signal(signal.SIGCONT)


def compact(ground: Ground) -> None:
    assert ground.members is not None
    ground.members.ctl_any("compact", str(ground.members.revision()))


def revoke(ground: Ground) -> None:
    assert ground.members is not None
    ground.revoked.append(SystemClock().now())
    for lease in ground.members.ctl_any("lease", "list").splitlines()[1:]:
        with suppress(subprocess.CalledProcessError):  # one that ended meanwhile
            ground.members.ctl_any("lease", "revoke", lease.strip())


EVERYWHERE = (
    Fault("F1", "leader killed with -9", kill_leader),
    Fault("F2", "worker killed with -9 in mid-handler", kill_worker),
    Fault("F4", "leader stopped past its lease, woken", stop_leader),
    Fault("F5", "node stopped past its registration, woken", stop_node),
    Fault("F14", "wall clock set by 5 to 20 s, and back", set_clock),
    Fault("F25", "guardian of the attempts killed", kill_guardian),
    Fault("F31", "rhythm of a schedule changed", edit),
    Fault("F32", "node told to end, and started", drain),
)
ON_SQLITE = (Fault("F19", "backup while all write", back_up),)
ON_ETCD = (
    Fault("F6", "node cut off from etcd", cut),
    Fault("F6", "node that etcd does not hear", lambda ground: cut(ground, back=False)),
    Fault("F6", "node that does not hear etcd", lambda ground: cut(ground, there=False)),
    Fault("F6", "leader's network flaps every second", flap),
    Fault("F7", "etcd without quorum", lose_quorum),
    Fault("F8", "member of etcd killed with -9", kill_member),
    Fault("F9", "history compacted to its head", compact),
    Fault("F10", "all leases revoked by hand", revoke),
    Fault("F13", "member of etcd stopped for 2 s", stop_member),
    Fault("F14", "leader's wall clock set by 2 min, cursors reset", set_clock_far),
)


def faults(members: Members | None) -> Sequence[Fault]:
    """Give what can be broken."""
    return EVERYWHERE + (ON_SQLITE if members is None else ON_ETCD)
