"""Nodes on a cluster of etcd, and everything that goes wrong with both: the laws hold."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Schedule
from synccron.clock import ManualClock, SystemClock
from synccron.engine.node import Node
from synccron.errors import StaleTerm, StoreAuth, StoreError, StoreFull
from synccron.model.change import register as registering
from synccron.model.lease import Node as Record
from synccron.model.lease import Term
from synccron.model.plan import plan
from synccron.model.time import to_datetime
from synccron.store import open_store
from synccron.store.base import Look
from synccron.store.etcd.store import EtcdStore
from tests.etcd import Members, needed
from tests.faults.field import (
    BUSY,
    SCHEDULES,
    Field,
    command,
    limit,
    playing,
    register,
    settle_down,
    trying,
    until,
    within,
)
from tests.faults.game import (
    LEASE,
    LEASES,
    NAMES,
    Game,
    handed_over,
    live,
    play,
    said,
    times,
)
from tests.make import definition
from tests.proxy import Proxy

pytestmark = [pytest.mark.faults, limit(300), pytest.mark.xdist_group("cluster")]


def test_leaders_are_killed(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for _ in range(times(2, 30)):
            leader, epoch = game.leader(), game.epoch()
            game.made.kill(leader)
            with game.tried.healing(within(2 * LEASE + 3)):
                game.succeeded(epoch)
            game.made.start(leader)
            game.runs_on()

    with trying("leader killed with -9: another leads", "F1") as tried:
        play(tmp_path, members, tried, fault)


def test_leaders_are_stopped_and_woken(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for _ in range(times(1, 10)):
            leader, epoch = game.leader(), game.epoch()
            before = said(game, leader, "leader_lost")
            game.made.nodes[leader].send_signal(signal.SIGSTOP)
            game.succeeded(epoch)
            until(lambda gone=leader: gone not in live(game.client), "its end")  # type: ignore[misc]
            threading.Event().wait(times(0, 24))
            game.made.nodes[leader].send_signal(signal.SIGCONT)
            with game.tried.healing():
                until(
                    lambda woken=leader, seen=before: said(game, woken, "leader_lost") > seen,  # type: ignore[misc]
                    "it to follow",
                )
            until(lambda back=leader: back in live(game.client), "its return")  # type: ignore[misc]
            game.runs_on()

    with trying("leader stopped past its leases and woken: it follows", "F4") as tried:
        play(tmp_path, members, tried, fault)


def test_a_leader_hands_over(tmp_path: Path, members: Members) -> None:
    took: list[float] = []

    def fault(game: Game) -> None:
        for _ in range(times(2, 20)):
            leader, epoch = game.leader(), game.epoch()
            game.made.nodes[leader].send_signal(signal.SIGTERM)
            game.succeeded(epoch)
            game.made.nodes[leader].wait(60)
            took.append(handed_over(game.made, leader))
            game.made.start(leader)
            until(lambda back=leader: back in live(game.client), "its return")  # type: ignore[misc]
            game.tried.times += 1

    with trying("leader told to end: it hands over", "F32") as tried:
        play(tmp_path, members, tried, fault)
        tried.notes.append(
            f"the next leader after {min(took):.0f} to {max(took):.0f} ms, leases are 2000 ms"
        )
    assert max(took) < 2000, "it was the lease that ended, and not the term that was handed over"


def test_members_are_killed(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for turn in range(times(2, 12)):
            # Every second time the one that leads the cluster.
            follower = next(m for m in members.members if m is not members.leader())
            victim = members.leader() if turn % 2 == 0 else follower
            victim.kill()
            with game.tried.healing():
                game.runs_on()
            victim.start()
            members.wait()
            game.runs_on()

    with trying("a member of etcd killed, its leader in turn", "F8") as tried:
        play(tmp_path, members, tried, fault)


def test_quorum_is_lost(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for _ in range(times(1, 3)):
            stopped = members.members[:2]
            for each in stopped:
                each.signal(signal.SIGSTOP)
            with pytest.raises(StoreError), Client(members.url(), timeout=2) as blind:
                blind.status()
            threading.Event().wait(times(4, 58))
            for each in stopped:
                each.signal(signal.SIGCONT)
            with game.tried.healing():
                game.runs_on()
        for name in NAMES:
            until(lambda name=name: said(game, name, "store_back") > 0, "it to be back")  # type: ignore[misc]
            assert 1 <= said(game, name, "store_lost") <= 2 * game.tried.times, "not once a try"

    with trying("quorum lost", "F7") as tried:
        play(tmp_path, members, tried, fault)


def test_all_members_are_restarted(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for _ in range(times(1, 5)):
            for each in members.members:
                each.kill()
            for each in members.members:
                each.start()
            members.wait()
            game.runs_on()
            game.tried.times += 1

    with trying("all members killed and restarted", "F8") as tried:
        play(tmp_path, members, tried, fault)


def test_history_is_compacted_under_watches_and_leases_are_revoked(
    tmp_path: Path, members: Members
) -> None:
    def fault(game: Game) -> None:
        for _ in range(times(2, 20)):
            for lease in members.ctl("lease", "list").splitlines()[1:]:
                with suppress(subprocess.CalledProcessError):  # one that ended meanwhile
                    members.ctl("lease", "revoke", lease.strip())
            members.ctl("compact", str(members.revision()))
            members.members[game.tried.times % 3].kill()  # its watches have to begin again
            members.members[game.tried.times % 3].start()
            members.wait()
            game.runs_on()
            game.tried.times += 1

    with trying("leases revoked by hand, history compacted", "F10") as tried:
        play(tmp_path, members, tried, fault)


def test_a_node_that_is_cut_off_is_replaced_and_its_results_are_refused(
    tmp_path: Path, members: Members
) -> None:
    proxies = [Proxy(member.port) for member in members.members]
    through = "etcd://" + ",".join(f"127.0.0.1:{each.port}" for each in proxies) + "/synccron"
    work = (
        f"exec 9>>{tmp_path}/lock; flock -n 9 || echo overlap >> {tmp_path}/overlaps;"
        ' echo "$SYNCCRON_JOB_ID $SYNCCRON_ATTEMPT $SYNCCRON_FENCE begin" >> "$DEEDS"; sleep 600'
    )
    schedules: dict[str, dict[str, object]] = {
        "apart": {"cron": "0 0 1 1 *", "run": work, "on_disconnect": "stop"},
        "beside": {"cron": "0 0 1 1 *", "run": command("sleep 12"), "on_disconnect": "continue"},
        "quick": {"cron": "* * * * * *", "run": command("true")},
    }
    try:
        with (
            trying("a node cut off while its jobs run, which are taken up", "F5") as tried,
            playing(tmp_path, members.url(), LEASES) as made,
        ):
            register(made, schedules)
            made.start("n1", store=through)
            with Client(made.store) as client:
                until(lambda: "n1" in live(client), "the node")
                for _ in range(times(1, 8)):
                    cut_off(made, client, proxies)
                    tried.times += 1
                settle_down(client, ["quick"])
            made.judged(tried, list(schedules))
            assert not (tmp_path / "overlaps").exists(), "two attempts ran beside each other"
            refused = [e for e in made.events("n1") if "refused" in str(e.get("reason"))]
            assert refused, "the late result was not refused"
            tried.notes.append(f"{len(refused)} late results refused")
    finally:
        for each in proxies:
            each.close()


def cut_off(made: Field, client: Client, proxies: list[Proxy]) -> None:
    """Let n1 run jobs, cut it off, see n2 take them up, and mend."""
    jobs = [client.trigger(name).id for name in ("apart", "beside")]
    until(lambda: {d.job_id for d in made.done()} >= set(jobs), "both to begin")
    for each in proxies:
        each.cut()
    made.start("n2")
    until(lambda: all(client.job(each).attempt == 2 for each in jobs), "both to be taken up")
    until(lambda: len([d for d in made.done() if d.job_id == jobs[0]]) >= 2, "it to begin")
    for each in proxies:
        each.mend()
    client.cancel(jobs[0])
    until(lambda: all(client.job(each).settled for each in jobs), "both to end")
    until(lambda: "n1" in live(client), "its return")
    made.nodes["n2"].send_signal(signal.SIGTERM)
    made.nodes["n2"].wait(60)


def test_a_deposed_leader_writes_nothing(etcd: Members, tmp_path: Path) -> None:
    url = etcd.url(f"deposed/{tmp_path.name}")
    clock = ManualClock()
    with (
        trying("late writes of a deposed leader", "F4") as tried,
        open_store(url, create=True, clock=clock) as store,
    ):
        assert isinstance(store, EtcdStore)
        change = registering(None, definition(id="job"), clock.now(), "me", "t")
        assert change is not None
        assert store.apply([change])
        refused = 0
        old = take_lead(store, "n0")
        for turn in range(times(3, 100)):
            clock.advance(60_000)
            now, offered = clock.now(), frozenset({"run"})
            due = store.due(Look(now=now, until=now, overdue=0, offered=offered), 10)
            plans = [plan(each, now, old, offered) for each in due]
            store.leases._beats.revoke(store.leases._leads[old.session].lease)
            new = take_lead(store, f"n{turn + 1}")
            with pytest.raises(StaleTerm):
                store.dispatch(old, [each for each in plans if each is not None])
            refused += 1
            assert store.dispatch(new, [each for each in plans if each is not None]) == [True]
            old = new
            tried.times += 1
            tried.slots += 1
        tried.notes.append(f"{refused} transactions refused")


def take_lead(store: EtcdStore, name: str) -> Term:
    record = Record(
        id=name,
        session=name,
        host="h",
        pid=1,
        version="1",
        started_at=0,
        tzdata="t",
        concurrency=1,
        offers=frozenset({"run"}),
    )
    term = store.campaign(store.join(record, 60_000), 60_000)
    assert term is not None
    return term


def test_tokens_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed()
    members = Members(1, ("--auth-token-ttl", "2"))
    try:
        members.start()
        for words in (
            ("user", "add", "root:s3cret"),
            ("user", "grant-role", "root", "root"),
            ("user", "add", "jobs:s3cret"),
            ("role", "add", "synccron"),
            ("role", "grant-permission", "synccron", "readwrite", "synccron/", "--prefix=true"),
            ("user", "grant-role", "jobs", "synccron"),
            ("auth", "enable"),
        ):
            members.ctl(*words)
        monkeypatch.setenv("SYNCCRON_ETCD_USER", "jobs")
        monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD", "s3cret")
        with (
            trying("auth tokens expired", "F11") as tried,
            playing(tmp_path, members.url(), LEASES) as made,
        ):
            register(made, SCHEDULES)
            made.start("n1")
            with Client(made.store) as client:
                until(lambda: "n1" in live(client), "the node")
                begun = SystemClock().monotonic()
                until(
                    lambda: SystemClock().monotonic() > begun + times(6, 60) * 1000,
                    "tokens to expire",
                )
                tried.times = times(3, 30)
                settle_down(client, list(SCHEDULES))
            made.judged(tried, list(SCHEDULES))
            assert not [e for e in made.events("n1") if e["event"] == "store_lost"]
            assert "s3cret" not in (tmp_path / "n1.log").read_text()
        monkeypatch.setenv("SYNCCRON_ETCD_PASSWORD", "wr0ng")
        with pytest.raises(StoreAuth) as caught:
            open_store(members.url(), clock=SystemClock())
        assert "wr0ng" not in str(caught.value)
    finally:
        members.close()


def test_etcd_is_full(tmp_path: Path) -> None:
    needed()
    members = Members(1, ("--quota-backend-bytes", str(16 << 20)))
    try:
        members.start()
        with (
            trying("etcd full (NOSPACE)", "F12") as tried,
            playing(tmp_path, members.url(), LEASES) as made,
        ):
            register(made, SCHEDULES)
            made.start("n1")
            with Client(made.store) as client:
                until(lambda: "n1" in live(client), "the node")
                until(lambda: len(made.done()) > 10, "jobs to run")
                fill(members)
                with pytest.raises(StoreFull):
                    client.trigger("by-hand")
                threading.Event().wait(1)
                members.ctl("del", "--prefix", "rubbish/")
                members.ctl("compact", "--physical", str(members.revision()))
                members.ctl("defrag")
                members.ctl("alarm", "disarm")
                before = len(made.done())
                until(lambda: len(made.done()) > before + 10, "jobs to run again")
                settle_down(client, list(SCHEDULES))
                tried.times = 1
            made.judged(tried, list(SCHEDULES))
    finally:
        members.close()


def fill(members: Members) -> None:
    """Write until the alarm is raised."""
    with open_store(members.url("rubbish"), create=True, clock=SystemClock()) as store:
        assert isinstance(store, EtcdStore)
        for n in range(1000):
            draft = store.cluster.draft()
            draft.put(f"rubbish/{n}".encode(), os.urandom(100_000))
            try:
                store.cluster.commit(draft)
            except StoreFull:
                return
    raise AssertionError("etcd took it all")


def test_nodes_that_wake_together_do_not_stampede(
    etcd: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = etcd.url(f"herd/{tmp_path.name}")
    won, failed = [0], [0]
    real: Any = EtcdStore.claim

    def counted(store: EtcdStore, at: Any, admissions: Any, now: int) -> Any:
        claims = real(store, at, admissions, now)
        for admission, made in zip(admissions, claims, strict=True):
            if admission.job is None and admission.miss is None:
                (won if made is not None else failed)[0] += 1
        return claims

    monkeypatch.setattr(EtcdStore, "claim", counted)
    count, many = times(4, 10), times(200, 1000)
    with (
        trying(f"{count} nodes and many jobs due at once", "F22") as tried,
        Client(url, create=True) as client,
    ):
        nodes = [Node(url, id=f"n{n}", drain=0) for n in range(count)]
        threads = [threading.Thread(target=each.start) for each in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        try:
            client.register(Schedule(id="first", cron="0 0 1 1 *", run="true"))
            until(lambda: len([n for n in client.nodes() if n.handlers]) == count, "all nodes")
            begun = SystemClock().monotonic()
            until(lambda: SystemClock().monotonic() > begun + 1000, "them to know each other")
            soon = to_datetime(SystemClock().now()) + timedelta(seconds=times(6, 20))
            cron = f"{soon.second} {soon.minute} {soon.hour} * * *"
            client.register(*(Schedule(id=f"s{n}", cron=cron, run="true") for n in range(many)))
            until(lambda: won[0] >= many, "all to begin")
            until(lambda: client.status().queued + client.status().running == 0, "all to end")
        finally:
            for each in nodes:
                each.stop()
        tried.times, tried.slots = 1, many
        tried.notes.append(f"{won[0]} claims, {failed[0]} refused")
        assert won[0] == many
        # On an idle machine a few; where all try for all, thrice as many as are won.
        assert BUSY or failed[0] <= 0.5 * won[0]
