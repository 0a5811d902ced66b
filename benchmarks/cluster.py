"""The store on etcd, beside plain etcd in the same run.

The limit of a figure is what plain transactions of the same rows do from one client on the same
members at that time.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.measure import Amount, Figure, figures, quantiles, table, until
from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.model.change import register
from synccron.model.job import Admission, Claim, Outcome
from synccron.model.lease import Node, Session
from synccron.model.plan import plan
from synccron.model.schedule import Definition
from synccron.model.settle import settle
from synccron.model.time import DAY
from synccron.store import open_store
from synccron.store.base import Look
from synccron.store.etcd import bridge
from synccron.store.etcd.address import address
from synccron.store.etcd.draft import MOST_OPERATIONS
from synccron.store.etcd.layout import end_of
from synccron.store.etcd.store import EtcdStore
from tests.etcd import Members
from tests.make import definition

TITLE = "On etcd"
OPERATIONS = {"dispatched": 3, "a whole turn": 3, "claimed": 3, "settled": 3}
CLOCK = SystemClock()
OFFERED = frozenset({"run"})


def plain(store: EtcdStore, since: int, url: str) -> tuple[float, float]:
    """Puts a second of all rows that were written since a revision, twice more, beside them.

    As many in a transaction as etcd takes, one after another; nothing is compared. By messages that
    are filled by hand, from the same client, and by the calls of the package etcd3.
    """
    etcd, root = store.cluster.etcd, store.cluster.layout.root.encode()
    rows = [
        (root + b"kept/plain/" + kv.key, kv.value)
        for answer in etcd.pages(root, end_of(root), min_mod_revision=since + 1)
        for kv in answer.kvs
    ]

    def rate(put: Callable[[list[tuple[bytes, bytes]]], object]) -> float:
        start = time.perf_counter()
        for n in range(0, len(rows), MOST_OPERATIONS):
            put(rows[n : n + MOST_OPERATIONS])
        return len(rows) / (time.perf_counter() - start)

    def by_hand(piece: list[tuple[bytes, bytes]]) -> None:
        request = etcd.messages.TxnRequest()
        for key, value in piece:
            request.success.add(request_put={"key": key, "value": value})
        etcd.txn(request)

    host, port = address(url).endpoints[0]
    with bridge.load()[0].client(host=host, port=port) as client:

        def by_call(piece: list[tuple[bytes, bytes]]) -> None:
            puts = [client.transactions.put(*row) for row in piece]
            client.transaction(compare=[], success=puts, failure=[])

        called = rate(by_call)
    return rate(by_hand), called


def verbs(url: str, count: int) -> dict[str, float]:
    """Slots dispatched, jobs claimed and jobs settled a second, all due at once, one handle."""
    with open_store(url, create=True, clock=CLOCK, timeout=30_000) as store:
        assert isinstance(store, EtcdStore)
        store.watch(lambda: None)
        now = CLOCK.now()
        for n in range(0, count, store.changes_at_once):
            # Registered a day ago: one slot of each is due, and no other comes meanwhile.
            changes = [
                register(None, daily(f"s{each}"), now - DAY, "bench", "t")
                for each in range(n, min(n + store.changes_at_once, count))
            ]
            assert store.apply([each for each in changes if each is not None])
        at = joined(store)
        term = store.campaign(at, 60_000)
        assert term is not None
        rates: dict[str, float] = {}
        before = store.cluster.etcd.range(b"\0").header.revision
        writing, start, slots = 0.0, time.perf_counter(), 0
        now = CLOCK.now()
        look = Look(now=now, until=now, overdue=0, offered=OFFERED)
        while due := store.due(look, 500):
            made = [plan(each, CLOCK.now(), term, OFFERED) for each in due]
            plans = [each for each in made if each is not None]
            begun = time.perf_counter()
            assert all(store.dispatch(term, plans))
            writing += time.perf_counter() - begun
            slots += sum(len(each.jobs) for each in plans)
        rates["a whole turn"] = slots / (time.perf_counter() - start)
        rates["dispatched"] = slots / writing
        rates["plain"], rates["called"] = plain(store, before, url)
        claims: list[Claim] = []
        start = time.perf_counter()
        while found := store.waiting(OFFERED, CLOCK.now(), 120):
            admissions = [Admission(candidate=each) for each in found]
            won = store.claim(at, admissions, CLOCK.now())
            claims += [each for each in won if each is not None]
        rates["claimed"] = len(claims) / (time.perf_counter() - start)
        start = time.perf_counter()
        for n in range(0, len(claims), 120):
            ended = [
                settle(each, Outcome(ending="completed", tail=b"x" * 100), CLOCK.now(), 0.5)
                for each in claims[n : n + 120]
            ]
            assert all(store.settle(ended, CLOCK.now()))
        rates["settled"] = len(claims) / (time.perf_counter() - start)
        assert len(claims) == slots == count
        return rates


def daily(name: str) -> Definition:
    noon = "0 12 * * *" if datetime.now(UTC).hour < 6 else "0 0 * * *"
    return definition(id=name, cron=noon, misfire="catch_up_one")


def joined(store: EtcdStore) -> Session:
    record = Node(
        id="bench",
        session="bench",
        host="h",
        pid=1,
        version="1",
        started_at=0,
        tzdata="t",
        concurrency=1,
        offers=OFFERED,
    )
    return store.join(record, 60_000)


@contextmanager
def nodes(
    url: str, count: int, folder: Path, *options: str
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Real nodes, in processes of their own."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for n in range(count):
            with (folder / f"n{n}.log").open("ab") as log:
                running[f"n{n}"] = subprocess.Popen(
                    [sys.executable, "-m", "synccron", "run", "--store", url, "--id", f"n{n}",
                     "--log", "json", *options],
                    stderr=log,
                    env={**os.environ, "XDG_STATE_HOME": str(folder)},
                )  # fmt: skip
        yield running
    finally:
        for each in running.values():
            each.send_signal(signal.SIGTERM)
        for each in running.values():
            each.wait(60)


def lateness(url: str, folder: Path, count: int, schedules: int, seconds: int) -> list[float]:
    """Lateness in ms of every-second schedules on some nodes; each slot has one job."""
    with Client(url, create=True) as client:
        client.register(
            *(
                Schedule(id=f"tick-{n}", cron="* * * * * *", run=["/bin/true"])
                for n in range(schedules)
            )
        )
        with nodes(url, count, folder, "--concurrency", "100"):
            until(lambda: len([each for each in client.nodes() if each.handlers]) == count)
            until(lambda: client.jobs(states=["completed"], limit=1))
            threading.Event().wait(3)
            since = datetime.now(UTC)
            threading.Event().wait(seconds)
            client.pause(*(each.id for each in client.list()))
            until(lambda: not client.jobs(states=["queued", "running"], limit=1))
        jobs = [
            job
            for n in range(schedules)
            for job in client.jobs(schedule=f"tick-{n}", limit=1000)
            if job.slot is not None and job.slot >= since and job.lateness is not None
        ]
        assert len({(job.schedule_id, job.slot) for job in jobs}) == len(jobs)
        return [job.lateness.total_seconds() * 1000 for job in jobs if job.lateness is not None]


def failover(url: str, folder: Path, lease: str, rounds: int) -> list[float]:
    """Seconds from the kill -9 of the leader to the next dispatch by another."""
    took = []
    with Client(url, create=True) as client:
        client.register(Schedule(id="tick", cron="* * * * * *", run="true"))
        with nodes(url, 2, folder, "--lease", lease) as running:
            for _ in range(rounds):
                until(lambda: client.status().leader in running and len(client.nodes()) == 2)
                leader, before = client.status().leader, client.get("tick").cursor_at
                assert leader is not None
                until(partial(moved, client, before))
                seen = client.get("tick").cursor_at
                killed = time.perf_counter()
                running[leader].kill()
                running[leader].wait()
                until(partial(moved, client, seen))
                took.append(time.perf_counter() - killed)
                with (folder / f"{leader}.log").open("ab") as log:
                    running[leader] = subprocess.Popen(running[leader].args, stderr=log)
    return took


def moved(client: Client, cursor: datetime | None) -> bool:
    return client.get("tick").cursor_at != cursor


def trigger_to_start(url: str, folder: Path, count: int) -> list[float]:
    """Milliseconds from the call of a trigger to the start of its attempt, as claimed."""
    took = []
    with Client(url, create=True) as client:
        client.register(Schedule(id="by-hand", cron="0 0 1 1 *", run="true"))
        with nodes(url, 2, folder):
            until(lambda: len([each for each in client.nodes() if each.handlers]) == 2)
            for _ in range(count):
                called = time.time()
                job = client.wait(client.trigger("by-hand").id, timeout=60)
                assert job.started_at is not None
                took.append((job.started_at.timestamp() - called) * 1000)
    return took


def section(amount: Amount) -> str:
    slots, rounds = amount.pick(4000, 300), amount.rounds
    rows, folder = [], Path(tempfile.mkdtemp(prefix="synccron-bench-"))
    for count in (1, 3):
        members = Members(count)
        try:
            members.start()
            found = [verbs(members.url(f"verbs/{n}"), slots) for n in range(rounds)]
        finally:
            members.close()
        limits, called = ([each[name] for each in found] for name in ("plain", "called"))
        for name, operations in OPERATIONS.items():
            ours = [operations * each[name] for each in found]
            what = f"{name}, {count} member{'s' * (count > 1)} ({operations} operations)"
            rows.append(Figure(what, "op/s", ours, limits, "the same rows, plain"))
            if name == "dispatched":
                rows.append(Figure(what, "op/s", ours, called, "the same, by calls of etcd3"))
    members = Members(1)
    try:
        members.start()
        late = [
            [f"{count} nodes, {many} schedules, {seconds} s", *quantiles(took)]
            for count, many, seconds in amount.pick(
                [(1, 100, 20), (3, 200, 20), (10, 200, 60)], [(3, 20, 5)]
            )
            if (took := lateness(members.url(f"late/{count}"), folder, count, many, seconds))
        ]
        over = [
            [
                f"`--lease {lease}`",
                *quantiles(failover(members.url(lease), folder, lease, rounds), "s"),
            ]
            for lease in amount.pick(("2s", "5s"), ("2s",))
        ]
        begun = quantiles(trigger_to_start(members.url("trigger"), folder, amount.pick(200, 20)))
    finally:
        members.close()
        shutil.rmtree(folder, ignore_errors=True)
    header = ("", "p50", "p99", "worst", "times")
    return TEMPLATE.format(
        slots=f"{slots:,}",
        rows=figures(rows),
        late=table(header, late),
        over=table(header, over),
        begun=table(header, [["trigger to start", *begun]]),
    )


TEMPLATE = """Members, nodes and this client share the cores. {slots} slots due at once, one handle, in
batches; the limit puts the rows of that dispatch once more beside them, 120 in a transaction, from one client
on the same members, compares nothing, and is told what to put: in messages that are filled by hand, and, as plain
code on the same library would, by calls of the package etcd3. Rates are of operations: what is dispatched writes
job, due and cursor; a claim deletes due and writes run and job; a settlement writes job and output and deletes
run. A turn is what the leader does: it reads what is due, decides each slot, and writes.

{rows}

Every-second schedules, from the slot to the claim as recorded; each slot had exactly one job. Ten nodes, etcd
and two hundred processes a second are more than two cores can do: that row shows a machine that is full.

{late}

From `kill -9` of the leader to the next dispatch. etcd ends a lease after its whole time, which begins with the
last renewal (a third of it apart). No slot is late for it: those of the next seconds were written before, and
the new leader writes on when less than half of them is left.

{over}

From the call of a trigger to the start of the attempt on one of two nodes, from another process.

{begun}
"""
