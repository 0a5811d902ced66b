"""Wall clocks that are wrong, jump, and differ: no slot twice, none lost (law 6)."""

import secrets
import signal
from pathlib import Path

import pytest

from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.engine.node import Node
from synccron.events import Event
from synccron.model.judge import judge
from synccron.model.time import HOUR, MINUTE, parse_instant
from synccron.store import open_store
from synccron.store.history import read_history
from tests.etcd import Members
from tests.faults.field import command, limit, playing, register, settle_down, trying, until
from tests.faults.game import times
from tests.faults.life import parse_slot
from tests.faults.shifted import Shift

pytestmark = [pytest.mark.faults, limit(200), pytest.mark.xdist_group("clocks")]


AGES = SystemClock().now() - 60_000  # since 1970, and a minute
SUMMER_ENDS = parse_instant("2027-10-31T00:59:57Z") - SystemClock().now()


class SkewedClock(SystemClock):
    """The machine's clock, with a wall clock that somebody has set."""

    def __init__(self, off: int = 0) -> None:
        self.off = off

    def now(self) -> int:
        return super().now() + self.off


def test_a_node_whose_clock_is_off_stops_leading_and_says_so(etcd: Members, tmp_path: Path) -> None:
    url = etcd.url(f"skewed/{tmp_path.name}")
    told: list[Event] = []
    odd = SkewedClock(60_000)
    nodes = [
        Node(url, id="odd", lease=2, node_lease=4, drain=0, clock=odd, on_event=told.append),
        *(Node(url, id=f"n{n}", lease=2, node_lease=4, drain=0) for n in range(2)),
    ]
    with trying("a wall clock a minute ahead of the others'", "F14") as tried:
        try:
            nodes[0].start()
            until(lambda: bool(nodes[0].metrics()["leader"]), "the odd one to lead alone")
            for each in nodes[1:]:
                each.start()
            with Client(url) as client:
                until(lambda: client.status().leader in ("n0", "n1"), "another leader")
                client.register(Schedule(id="quick", cron="* * * * * *", run="true"))
                assert [e for e in told if "ahead of the other" in str(e.fields)]
                until(lambda: len(client.jobs(states=["completed"])) > 3, "jobs to run")
                client.pause("quick")
                late = max(job.lateness.total_seconds() for job in client.jobs() if job.lateness)
                tried.slots = len(client.jobs())
                odd.off = 0
                until(lambda: bool([e for e in told if "agrees" in str(e.fields)]), "to agree")
            tried.times = 1
            tried.notes.append(f"the latest start was {late:.1f} s late")
        finally:
            for each in nodes:
                each.stop()


JUMPS = {
    "by +1 h": (HOUR,),
    "by -1 h": (-HOUR,),
    "5 min to and fro": (5 * MINUTE, -5 * MINUTE) * times(1, 3),
    "to 1970": (-AGES,),
    "into the end of summer time": (SUMMER_ENDS,),
}


@pytest.mark.parametrize("backend", ["sqlite", "etcd"])
def test_a_wall_clock_that_jumps_runs_no_slot_twice(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "synccron.db")
    if backend == "etcd":
        members: Members = request.getfixturevalue("etcd")
        url = members.url(f"jump/{secrets.token_hex(4)}")
    clock = SkewedClock()
    rules = ("skip", "catch_up_one", "catch_up_all")
    node = Node(url, id="n1", lease=2, node_lease=4, drain=0, clock=clock)
    with (
        trying("wall clock that jumps: 1 h, 5 min, to 1970, to next year", "F14") as tried,
        Client(url, create=True, clock=clock) as client,
    ):
        client.register(
            *(
                Schedule(id=rule, cron="* * * * * *", tz="Europe/Berlin", run="true", misfire=rule)
                for rule in rules
            )
        )
        node.start()
        try:
            until(lambda: ran(client) > 5, "jobs to run")
            for jumps in list(JUMPS.values()) * times(1, 5):
                jump(client, clock, jumps)
                client.reset_cursor(*rules)
                before = ran(client)
                with tried.healing():
                    until(lambda seen=before: ran(client) > seen + 5, "jobs to run again")  # type: ignore[misc]
            settle_down(client, list(rules))
            with open_store(url, clock=clock) as store:
                histories = [read_history(store, rule) for rule in rules]
            found = judge(histories, quiet=True)
            tried.broken += map(str, found)
            tried.slots = sum(len(each.jobs) for each in histories)
            tried.slots += sum(miss.count for each in histories for miss in each.misses)
            assert not found
        finally:
            node.stop()


def jump(client: Client, clock: SkewedClock, jumps: tuple[int, ...]) -> None:
    """Set the clock, let the node see what it makes of it, and set it right."""
    for off in jumps:
        before, begun = ran(client), clock.monotonic()
        clock.off = off
        if off > 0:
            until(lambda seen=before: ran(client) > seen + 5, "jobs to run on")  # type: ignore[misc]
            # What is queued for a time to come would wait for it when the clock is right.
            until(lambda: not client.jobs(states=["queued", "running"]), "the catch-up")
            assert ran(client) < before + 150, "more than a catch-up may run"
        else:  # all that comes has its record: some turns of the node are to see that
            until(lambda since=begun: clock.monotonic() > since + 1500, "turns")  # type: ignore[misc]
    clock.off = 0


def ran(client: Client) -> int:
    """Count the jobs that have run."""
    return len(client.jobs(states=["completed"], limit=2000))


def test_two_clocks_half_a_minute_apart_lose_no_slot_and_double_none(
    tmp_path: Path, etcd: Members
) -> None:
    begun = f'echo "$SYNCCRON_JOB_ID $(date +%s%3N)" >> {tmp_path}/begun'
    schedules: dict[str, dict[str, object]] = {
        "quick": {"cron": "* * * * * *", "run": command(begun)},
        "catching": {"cron": "* * * * * *", "run": command(begun), "misfire": "catch_up_all"},
        "one": {"cron": "*/3 * * * * *", "run": command(begun), "misfire": "catch_up_one"},
    }
    skew = {"n1": 14_000, "n2": -14_000}
    with (
        trying("clocks 28 s apart, the lead handed over", "F15") as tried,
        playing(tmp_path, etcd.url(f"apart/{secrets.token_hex(4)}"), ("2s", "8s")) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, schedules)
        for name, off in skew.items():
            Shift(tmp_path / name).set(off)
            made.start(name, module="tests.faults.shifted", SHIFT=str(tmp_path / name))
        until(lambda: len([n for n in client.nodes() if n.handlers]) == 2, "two nodes")
        for _ in range(times(3, 15)):
            until(lambda: client.status().leader in skew, "a leader")
            leader, epoch = client.status().leader, client.status().epoch or 0
            before = len(made.done())
            until(lambda seen=before: len(made.done()) > seen + 20, "jobs to run")  # type: ignore[misc]
            assert leader is not None
            made.nodes[leader].send_signal(signal.SIGTERM)
            with tried.healing():
                until(lambda seen=epoch: (client.status().epoch or 0) > seen, "the other")  # type: ignore[misc]
            made.nodes[leader].wait(60)
            made.start(leader, module="tests.faults.shifted", SHIFT=str(tmp_path / leader))
            until(lambda: len([n for n in client.nodes() if n.handlers]) == 2, "two nodes")
        settle_down(client, list(schedules))
        made.judged(tried, list(schedules))
    early = [
        parse_slot(job_id) - int(at)
        for job_id, at in (line.split() for line in (tmp_path / "begun").read_text().splitlines())
    ]
    tried.notes.append(f"the earliest start was {max(early) / 1000:.1f} s before its slot")
    assert max(early) <= 15_000
