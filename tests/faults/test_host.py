"""Nodes of one host, on one file: killed, on a full disk, in a crowd, without their terminal."""

import json
import os
import pty
import secrets
import signal
import statistics
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from synccron.client import Client
from synccron.clock import SystemClock
from synccron.store import open_store
from tests.etcd import Members
from tests.faults.field import (
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
from tests.faults.game import live, times

pytestmark = [pytest.mark.faults, limit(240)]

NAMES = ("n1", "n2")
CROWD = """
import sys
from synccron import Client
from synccron.clock import SystemClock
clock, (store, name, count, folder) = SystemClock(), sys.argv[1:]
with Client(store) as client:
    for n in range(int(count)):
        begun = clock.monotonic()
        client.trigger("by-hand", key=f"{name}-{n}")
        print(clock.monotonic() - begun, flush=True)
        client.jobs(limit=20)
        if n % 20 == 0:
            client.backup(f"{folder}/{name}-{n}.backup")
"""


def both(made: Field, client: Client) -> None:
    """Start two nodes, and wait until they are there."""
    for name in NAMES:
        made.start(name)
    until(lambda: len([n for n in client.nodes() if n.handlers]) == 2, "two nodes")


def test_a_leader_that_is_killed_is_followed_at_once_on_its_host(tmp_path: Path) -> None:
    names = ["quick", "catching", "long"]
    with (
        trying("leader on one host killed: the other leads", "F21") as tried,
        playing(tmp_path, None, ("7s", "21s")) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, {name: SCHEDULES[name] for name in names})
        both(made, client)
        for _ in range(times(3, 20)):
            until(lambda: client.status().leader in made.nodes, "a leader")
            leader, epoch = client.status().leader, client.status().epoch or 0
            assert leader is not None
            made.kill(leader)
            with tried.healing(most=6):  # by the kernel, and not by the lease of 7 s
                until(lambda seen=epoch: (client.status().epoch or 0) > seen, "the other")  # type: ignore[misc]
            made.start(leader)
            until(lambda back=leader: back in live(client), "its return")  # type: ignore[misc]
        settle_down(client, names)
        made.judged(tried, names)


def test_what_a_killed_node_ran_is_taken_up_when_its_guardian_has_ended_it(tmp_path: Path) -> None:
    schedules: dict[str, dict[str, object]] = {
        "alone": {"cron": "0 0 1 1 *", "run": command("sleep 600"), "overlap": "skip"},
        "quick": SCHEDULES["quick"],
    }
    with (
        trying("node killed whose guardian is slow: what it ran is not run beside", "F2") as tried,
        playing(tmp_path, None, ("7s", "60s")) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, schedules)
        both(made, client)
        until(lambda: {each.node for each in client.jobs() if each.settled} == set(NAMES), "both")
        client.pause("quick")  # by now each has a guardian that ends nothing of an earlier node
        job = client.trigger("alone", key="once").id
        until(lambda: job in {each.job_id for each in made.done()}, "it to begin")
        there = client.job(job).node
        assert there is not None
        (heir,) = _children(made.nodes[there].pid)
        (guardian,) = _children(heir)
        os.kill(guardian, signal.SIGSTOP)
        made.kill(there)
        until(lambda: client.status().leader not in (there, None), "the other to lead")
        with open_store(made.store, clock=SystemClock()) as store:
            assert store.lost(10) == []
        assert (client.job(job).state, client.job(job).attempt) == ("running", 1)
        os.kill(guardian, signal.SIGCONT)
        with tried.healing(most=within(3)):
            until(
                lambda: [each.attempt for each in made.done() if each.job_id == job] == [1, 2],
                "its rerun",
            )
        client.cancel(job)
        settle_down(client, list(schedules))
        made.judged(tried, list(schedules))


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("backend", ["sqlite", "etcd"])
def test_nodes_are_killed_in_mid_handler(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    url = None
    if backend == "etcd":
        members: Members = request.getfixturevalue("etcd")
        url = members.url(f"mid/{secrets.token_hex(4)}")
    work = f"{command('until [ -e {gate} ]; do sleep 0.02; done')}".format(gate=tmp_path / "gate")
    with (
        trying(f"node killed in mid-handler, {backend}: it runs again", "F2") as tried,
        playing(tmp_path, url, ("2s", "4s")) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, {"waits": {"cron": "0 0 1 1 *", "run": work}})
        both(made, client)
        for number in range(times(2, 25)):
            job = client.trigger("waits", key=str(number)).id
            until(lambda one=job: client.job(one).state == "running", "it to run")  # type: ignore[misc]
            victim = client.job(job).node
            assert victim is not None
            made.kill(victim)
            # On etcd nobody knows before the registration ends: it is that end that counts.
            until(lambda gone=victim: gone not in live(client), "the end of its registration")  # type: ignore[misc]
            with tried.healing(within(3)):
                until(lambda one=job: client.job(one).attempt == 2, "another attempt")  # type: ignore[misc]
            until(lambda: len(made.running()) <= 4, "the end of what the killed node ran")
            (tmp_path / "gate").touch()
            until(lambda one=job: client.job(one).state == "completed", "its end")  # type: ignore[misc]
            (tmp_path / "gate").unlink()
            outcomes = [each.outcome for each in client.job(job).attempts]
            assert outcomes == ["lost", "completed"]
            made.start(victim)
            until(lambda back=victim: back in live(client), "its return")  # type: ignore[misc]
        settle_down(client, ["waits"])
        made.judged(tried, ["waits"])
        until(lambda: not made.running(), f"the end of {made.running()}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_disk_that_is_full_while_nodes_run(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs")
    names = ["quick", "catching", "flaky", "python"]
    try:
        with (
            trying("disk full while nodes run, then room again", "F16") as tried,
            playing(tmp_path, str(small / "synccron.db"), ("2s", "8s")) as made,
            Client(made.store, create=True) as client,
        ):
            register(made, {name: SCHEDULES[name] for name in names})
            both(made, client)
            for turn in range(times(1, 3)):
                until(lambda: len(made.done()) > 10, "jobs to run")
                ballast = small / "ballast"
                fill(ballast)
                until(lambda seen=turn: full(made) > seen, "a node to say that it is full")  # type: ignore[misc]
                ballast.unlink()
                before = len(made.done())
                with tried.healing(within(30)):
                    until(lambda seen=before: len(made.done()) > seen + 10, "jobs to run again")  # type: ignore[misc]
            settle_down(client, names)
            made.judged(tried, names)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def fill(ballast: Path) -> None:
    """Write until nothing more can be written."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


def full(made: Field) -> int:
    """Count how often it was said that the disk is full."""
    told = [each for name in NAMES for each in made.events(name)]
    return sum("full" in json.dumps(each) for each in told)


def test_many_processes_trigger_list_and_back_up_at_once(tmp_path: Path) -> None:
    count = times(40, 400)
    with (
        trying("8 processes trigger, list and back up at once", "F19") as tried,
        playing(tmp_path) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, {"by-hand": SCHEDULES["by-hand"], "quick": SCHEDULES["quick"]})
        made.options = ("--retention-jobs", "100000")  # each of them is looked for at the end
        both(made, client)
        crowd = [
            subprocess.Popen(
                [sys.executable, "-c", CROWD, made.store, f"p{n}", str(count), str(tmp_path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for n in range(8)
        ]
        answers = [each.communicate() for each in crowd]
        assert [errors for _, errors in answers] == [""] * 8
        took = [int(each) for out, _ in answers for each in out.split()]
        assert len(took) == 8 * count
        settle_down(client, ["by-hand", "quick"])
        acknowledged = tuple(f"manual:by-hand:p{n}-{m}" for n in range(8) for m in range(count))
        made.judged(tried, ["by-hand", "quick"], acknowledged)
        tried.times = 1
        slow = statistics.quantiles(took, n=100)
        tried.notes.append(f"a trigger took {slow[49]:.0f} ms at p50, {slow[98]:.0f} ms at p99")


def test_a_node_whose_terminal_is_closed_gives_its_jobs_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    work = command(f"until [ -e {gate} ]; do sleep 0.02; done")
    with (
        trying("terminal of a node closed", "F32") as tried,
        playing(tmp_path) as made,
        Client(made.store, create=True) as client,
    ):
        register(made, {"waits": {"cron": "0 0 1 1 *", "run": work}})
        made.start("n2")
        for number in range(times(1, 10)):
            node, terminal = on_a_terminal(made, "n1")
            until(lambda: {"n1", "n2"} <= {n.id for n in client.nodes() if n.handlers}, "both")
            jobs = [client.trigger("waits", key=f"{number}-{n}").id for n in range(4)]
            until(lambda ids=jobs: all(client.job(j).state == "running" for j in ids), "all")  # type: ignore[misc]
            os.close(terminal)
            with tried.healing():
                node.wait(60)
            assert node.returncode == 0
            until(lambda: "n1" not in live(client), "its end")
            until(lambda ids=jobs: all(client.job(j).node == "n2" for j in ids), "the other")  # type: ignore[misc]
            gate.touch()
            until(lambda ids=jobs: all(client.job(j).settled for j in ids), "their ends")  # type: ignore[misc]
            gate.unlink()
            told = [each.outcome for j in jobs for each in client.job(j).attempts]
            assert set(told) <= {"given_back", "completed"}
            assert told.count("completed") == 4
        settle_down(client, ["waits"])
        made.judged(tried, ["waits"])


def on_a_terminal(made: Field, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a node as a shell on a terminal of its own would; and the other end of it."""
    master, slave = pty.openpty()
    node = subprocess.Popen(
        [
            *(sys.executable, "-m", "synccron", "run", "--id", name, "--drain", "200ms"),
            *("--lease", "1s", "--node-lease", "2s", "--pass-env", "DEEDS"),
        ],
        env=made.environment,
        cwd=made.folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=take_terminal,  # noqa: PLW1509 - the child is to have it, and nothing else is done
    )
    os.close(slave)
    made.nodes[name] = node
    return node, master


def take_terminal() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
