"""Several leaders, simulated: the real plan, a store in memory, and time that is counted.

Each partition has an election and an epoch of its own; docs/sharding.md has the design. A leader is
a processor of its own whose clock moves by what `plan` really takes here, and by what a write costs
in a store that takes so many rows a second from all of them together. So it shows where more
leaders help, and where the store is what is full.
"""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from benchmarks.measure import Amount, number, table
from synccron.model.lease import Term
from synccron.model.plan import Due, Plan, plan
from synccron.model.schedule import Schedule
from synccron.model.time import MINUTE, SECOND, Instant
from tests.make import NOW, definition, schedule

TITLE = "Several leaders, simulated"
PARTITIONS = 64
BATCH = 500
OFFERED = frozenset({"run"})
LEASE = 5 * SECOND


def partition_of(schedule_id: str) -> int:
    return crc32(schedule_id.encode()) % PARTITIONS


def leader_of(partition: int, alive: Sequence[str]) -> str:
    """Rendezvous: when a leader comes or goes, only its own partitions move."""
    return max(alive, key=lambda name: crc32(f"{partition}\0{name}".encode()))


@dataclass
class Store:
    """Cursors and jobs by key, an epoch a partition; compares, and writes a plan or nothing of it.

    `rows` is how many it takes a second, from all; `free_at` is when it has taken what came.
    """

    rows: float
    schedules: dict[str, Schedule] = field(default_factory=dict)
    partitions: dict[int, list[str]] = field(default_factory=dict)
    jobs: dict[str, Instant] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    free_at: float = 0.0
    refused: int = 0

    def add(self, each: Schedule) -> None:
        self.schedules[each.id] = each
        self.partitions.setdefault(partition_of(each.id), []).append(each.id)

    def due(self, partition: int, now: Instant) -> list[Due]:
        names = self.partitions.get(partition, ())
        found = (self.schedules[name] for name in names)
        return [Due(schedule=each) for each in found if each.cursor.next <= now][:BATCH]

    def dispatch(self, partition: int, epoch: int, plans: Sequence[Plan], at: float) -> float:
        """Write plans that come at a moment (seconds); when they are written."""
        if self.epochs.get(partition) != epoch:  # law 4, for this partition alone
            self.refused += len(plans)
            return at
        rows = 0
        for each in plans:
            old = self.schedules[each.schedule_id]
            if old.cursor.mod != each.seen:  # laws 1 and 3
                self.refused += 1
                continue
            for job in each.jobs:
                assert job.id not in self.jobs, "law 1: a slot has two jobs"
                self.jobs[job.id] = job.run_at
            cursor = replace(each.cursor, mod=old.cursor.mod + 1)
            self.schedules[each.schedule_id] = replace(old, cursor=cursor)
            rows += 1 + len(each.jobs)
        self.free_at = max(self.free_at, at) + rows / self.rows
        return self.free_at


@dataclass
class Leader:
    """One node that leads some partitions; `at` is its moment, in seconds of simulated time."""

    name: str
    at: float = 0.0
    epochs: dict[int, int] = field(default_factory=dict)

    def turn(self, store: Store, partition: int, now: Instant) -> int:
        """Take one turn on a partition; how many slots were written."""
        found = store.due(partition, now)
        if not found:
            return 0
        epoch = self.epochs[partition]
        term = Term(node=self.name, session=self.name, epoch=epoch, ttl=LEASE, until=1 << 60)
        start = time.process_time()
        made = [plan(each, now, term, OFFERED) for each in found]
        self.at += time.process_time() - start
        plans = [each for each in made if each is not None]
        before = len(store.jobs)
        self.at = store.dispatch(partition, epoch, plans, self.at)
        return len(store.jobs) - before


def elect(store: Store, leaders: dict[str, Leader]) -> None:
    """Give each partition to its leader, under a new epoch where it changes."""
    for partition in store.partitions:
        chosen = leaders[leader_of(partition, sorted(leaders))]
        if partition not in chosen.epochs:
            for other in leaders.values():
                other.epochs.pop(partition, None)
            store.epochs[partition] = store.epochs.get(partition, 0) + 1
            chosen.epochs[partition] = store.epochs[partition]


def filled(rows: float, count: int) -> Store:
    store = Store(rows)
    for n in range(count):
        store.add(schedule(NOW, id=f"s{n}", cron="* * * * *"))
    return store


def rate(leader_count: int, rows: float, count: int) -> float:
    """Slots a second when all are due at once."""
    store = filled(rows, count)
    leaders = {f"n{n}": Leader(f"n{n}") for n in range(leader_count)}
    elect(store, leaders)
    now = NOW + MINUTE
    gc.disable()  # its pauses are this process's own
    # The leader whose moment is the earliest goes on, so that writes come in the order of time.
    open_turns = [(name, each) for name, leader in leaders.items() for each in leader.epochs]
    while open_turns:
        open_turns.sort(key=lambda one: leaders[one[0]].at, reverse=True)
        name, partition = open_turns[-1]
        if not leaders[name].turn(store, partition, now):
            open_turns.pop()
    gc.enable()
    assert len(store.jobs) == count, "law 2: a slot has no job"
    return count / max(each.at for each in leaders.values())


def survived(leader_count: int, count: int) -> int:
    """Kill a leader between two turns, let it write once more; how many of its plans were refused.

    Every slot has one job in the end, as the partitions that it led have new epochs.
    """
    store = filled(1e9, count)
    leaders = {f"n{n}": Leader(f"n{n}") for n in range(leader_count)}
    elect(store, leaders)
    now = NOW + MINUTE
    dead = leaders.pop("n0")
    partition = next(iter(dead.epochs))
    found = store.due(partition, now)
    old = Term(node="n0", session="n0", epoch=dead.epochs[partition], ttl=LEASE, until=1 << 60)
    late = [made for each in found if (made := plan(each, now, old, OFFERED)) is not None]
    elect(store, leaders)
    for leader in leaders.values():
        for each in leader.epochs:
            while leader.turn(store, each, now):
                pass
    store.dispatch(partition, old.epoch, late, 0.0)  # it wakes, and is refused
    assert len(store.jobs) == count
    return store.refused


def section(amount: Amount) -> str:
    counts = (1, 2, 4, 8, 16)
    schedules = amount.pick(8_000, 2_000)
    definition(id="warm")  # what is imported with the first is not measured
    rate(1, 1e9, 200)
    stores = {"20,000": 20_000.0, "100,000": 100_000.0, "any number of": 1e9}
    rows = [
        [f"{each}", *(number(rate(each, limit, schedules)) for limit in stores.values())]
        for each in counts
    ]
    refused = survived(4, schedules)
    return (
        f"[The design](sharding.md). Slots a second when {schedules:,} schedules in {PARTITIONS} "
        "partitions are due at once, by the number\nof leaders and by how many rows a second the "
        "store takes (a slot is two). Time is simulated: a leader's is\nwhat the real `plan` took, "
        "the store's is its rate.\n\n"
        + table(("leaders", *(f"{name} rows/s" for name in stores)), rows)
        + "\n\nA leader that is killed between reading and writing, wakes when its partitions have "
        f"new leaders and writes:\nall {refused} of its plans are refused, and each slot has one "
        "job.\n"
    )
