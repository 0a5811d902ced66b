"""Wall clocks that are wrong, jump, and differ: no slot twice, none lost (law 6)."""

from pathlib import Path

import pytest

from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.engine.node import Node
from synccron.events import Event
from tests.etcd import Members
from tests.faults.field import trying, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300), pytest.mark.xdist_group("cluster")]


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


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_jumps_runs_no_slot_twice(
    etcd: Members, tmp_path: Path, hours: int
) -> None:
    url = etcd.url(f"jump/{tmp_path.name}")
    clock = SkewedClock()
    node = Node(url, id="n1", lease=2, node_lease=4, drain=0, clock=clock)
    with (
        trying(f"a wall clock that jumps by {hours:+} h", "F14") as tried,
        Client(url, create=True) as client,
    ):
        client.register(Schedule(id="quick", cron="* * * * * *", run="true"))
        node.start()
        try:
            until(lambda: len(client.jobs(states=["completed"])) > 2, "jobs to run")
            clock.off = hours * 3_600_000
            if hours > 0:
                before = len(client.jobs())
                until(lambda: len(client.jobs()) > before + 2, "jobs to run on")
            clock.off = 0
            client.pause("quick")
            until(lambda: not client.jobs(states=["queued", "running", "scheduled"]), "to settle")
            jobs = client.jobs(limit=500)
            assert len({job.slot for job in jobs}) == len(jobs)
            tried.times, tried.slots = 1, len(jobs)
        finally:
            node.stop()
