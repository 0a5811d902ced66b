"""Handlers that do their worst, on one node: it tells the truth of each, and stays as it was.

After each: the outcome is right, no process is left, the node's and its guardian's memory and
descriptors are where they were, and the schedule beside it has a job for every second, none of them
late by more than its grace.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Job
from tests.faults.field import LONG, Field, limit, playing, register, trying, until
from tests.faults.measure import children, family, resident

pytestmark = [pytest.mark.faults, limit(900), pytest.mark.xdist_group("torture")]

FLOOD = 1 << 30 if LONG else 100 << 20
JOBS = 10_000 if LONG else 600
CONNECTIONS = 10  # descriptors that a store's readers open when there is more to read, and keep
MEMORY = 24 << 20  # bytes that a node or its guardian may differ by: allocators keep some
ROOT = os.geteuid() == 0
METRONOME: dict[str, object] = {"cron": "* * * * * *", "run": ["true"], "misfire": "catch_up_all"}
ALLOCATES = "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))"
FORKS = "import os\ntry:\n    while True: os.fork()\nexcept OSError: os._exit(9)"
HANDLERS = """
import ctypes, os, subprocess, time

def segfaults(ctx): ctypes.string_at(0)
def leaves(ctx): os._exit(3)
def spins(ctx):
    while True: pass
def deaf(ctx):
    while not (ctx.cancelled and False): time.sleep(0.01)
def sleeps(ctx): time.sleep(600)
def allocates(ctx):
    hoard = []
    while True: hoard.append(bytearray(1 << 20))
def holds(ctx):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
def floods(ctx):
    for _ in range(ctx.input // (1 << 16)): os.write(1, b"x" * (1 << 16))
def noop(ctx): pass
"""


@dataclass
class Torment:
    """What a handler does, by its number in docs/reliability.md, and what is to be told of it."""

    row: str
    fields: dict[str, object]
    state: str
    code: int | None = None
    error: str = ""
    codes: tuple[int, ...] = field(default=())

    def judge(self, job: Job) -> None:
        assert job.state == self.state, job
        assert job.exit_code in (self.codes or (self.code,)), job
        assert self.error in (job.error or ""), job


def python(source: str) -> list[str]:
    return ["/usr/bin/env", "python3", "-c", source]


QUICK = {"timeout": "700ms", "kill_after": "300ms"}
TORMENTS = {
    # On a busy machine TERM may come before a handler has begun, which then ends by it.
    "ignores TERM": Torment(
        "F24",
        {"run": "trap '' TERM; while :; do sleep 1; done", **QUICK},
        "timed_out",
        codes=(137, 143),
    ),
    "a Python handler that ignores it": Torment(
        "F24", {"handler": "torments:deaf", **QUICK}, "timed_out", codes=(137, 143)
    ),
    "sleeps past its timeout": Torment("F29", {"run": "sleep 600", **QUICK}, "timed_out", 143),
    "a Python handler that sleeps past it": Torment(
        "F29", {"handler": "torments:sleeps", **QUICK}, "timed_out", codes=(1, 137, 143)
    ),
    "double-forks and calls setsid": Torment(
        "F25", {"run": "(setsid sh -c 'setsid sleep 600 &' &) ; exit 0"}, "completed", 0
    ),
    "writes very much": Torment(
        "F27", {"run": f"head -c {FLOOD} /dev/zero | tr '\\0' x"}, "completed", 0
    ),
    "a Python handler that writes very much": Torment(
        "F27", {"handler": "torments:floods", "input": FLOOD}, "completed", 0
    ),
    "writes binary": Torment("F27", {"run": "head -c 300000 /dev/urandom; exit 4"}, "failed", 4),
    "closes its stdout": Torment("F27", {"run": "exec >&- 2>&-; sleep 0.3; exit 3"}, "failed", 3),
    "allocates without end": Torment(
        "F28", {"run": python(ALLOCATES), "limits": {"memory": "200M"}}, "failed", 1
    ),
    "a Python handler that allocates without end": Torment(
        "F28",
        {"handler": "torments:allocates", "limits": {"memory": "400M"}},
        "failed",
        1,
        "MemoryError",
    ),
    "spins": Torment(
        "F28", {"run": "while :; do :; done", "limits": {"cpu": 1}}, "failed", 152, "1 s of CPU"
    ),
    "a Python handler that spins": Torment(
        "F28", {"handler": "torments:spins", "limits": {"cpu": 1}}, "failed", 152, "1 s of CPU"
    ),
    "segfaults": Torment("F29", {"run": "kill -SEGV $$"}, "failed", 139, "SIGSEGV"),
    "a Python handler that segfaults": Torment(
        "F29", {"handler": "torments:segfaults"}, "failed", 139, "SIGSEGV"
    ),
    "a Python handler that leaves": Torment(
        "F29", {"handler": "torments:leaves"}, "failed", 3, "exit status 3"
    ),
    "exits while its child holds the pipe": Torment(
        "F26", {"run": "sleep 600 & exit 5"}, "failed", 5
    ),
    "a Python handler whose child holds the pipe": Torment(
        "F26", {"handler": "torments:holds"}, "completed", 0
    ),
    "deletes its cwd": Torment(
        "F29", {"run": "rmdir ../doomed; exit 0", "cwd": "{doomed}"}, "completed", 0
    ),
    "fills a disk": Torment("F28", {"run": "head -c 10M /dev/zero > {small}/file"}, "failed", 1),
    "forks without end": Torment(
        "F28",
        {"run": python(FORKS), "user": "nobody", "limits": {"processes": 40}, "timeout": "5m"},
        "failed",
        9,
    ),
}


class Watched:
    """The node of these tests, and what it had before."""

    def __init__(self, made: Field, client: Client) -> None:
        self.made, self.client = made, client
        self.node = made.nodes["n1"].pid
        self.fds = self.descriptors()
        self.rss = self.memory()

    def processes(self) -> list[int]:
        return family(self.node)

    def descriptors(self) -> list[int]:
        """The descriptors of node, heir and guardian, without those of children that wait."""
        waiting = len(children(self.processes()[-1]))
        counts = [len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in self.processes()]
        return [*counts[:-1], counts[-1] - 3 * waiting]

    def memory(self) -> list[int]:
        return [resident(pid) for pid in self.processes()]

    def check(self) -> None:
        until(lambda: not self.made.running(), f"the end of {self.made.running()}")
        until(lambda: self.descriptors()[1:] == self.fds[1:], f"{self.fds}: {self.descriptors()}")
        assert self.descriptors()[0] <= self.fds[0] + CONNECTIONS
        grown = [now - before for now, before in zip(self.memory(), self.rss, strict=True)]
        assert max(grown) < MEMORY, grown
        until(lambda: not any(map(zombies, self.processes())), "zombies to be reaped")

    def run(self, name: str, **options: Any) -> Job:
        return self.client.wait(self.client.trigger(name, **options).id, timeout=600)

    def check_metronome(self) -> int:
        """Every second has its job, and none was late by more than its grace; how many."""
        assert not list(self.client.misses("metronome"))
        beats = self.client.jobs(schedule="metronome", states=["completed"], limit=1000)
        slots = sorted(job.slot for job in beats if job.slot)
        assert len(slots) == (slots[-1] - slots[0]).total_seconds() + 1
        late = [job.lateness for job in beats if job.lateness and job.lateness.total_seconds() > 60]
        assert not late
        return len(slots)


def zombies(pid: int) -> list[int]:
    found = []
    for each in children(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                found.append(each)
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("torture")
    folder.chmod(0o755)
    small = folder / "small"
    small.mkdir()
    mounted = (
        ROOT
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=False
        ).returncode
    )
    names = {"{doomed}": str(folder / "doomed"), "{small}": str(small)}
    schedules: dict[str, dict[str, object]] = {"metronome": METRONOME}
    for number, torment in enumerate(TORMENTS.values()):
        fields = {key: put(value, names) for key, value in torment.fields.items()}
        schedules[f"t-{number}"] = {"cron": "@yearly", **fields}
    schedules["shell"] = {"cron": "@yearly", "run": ["true"]}
    schedules["python"] = {"cron": "@yearly", "handler": "torments:noop"}
    (folder / "torments.py").write_text(HANDLERS)
    try:
        with playing(folder, None, ("5s", "15s")) as made:
            register(made, schedules)
            made.start("n1")
            with Client(made.store) as client:
                until(
                    lambda: len(client.jobs(schedule="metronome", states=["completed"])) > 2, "it"
                )
                for name in ("shell", "python"):  # by then both ways have been gone once
                    client.wait(client.trigger(name).id, timeout=60)
                until(lambda: len(children(made.nodes["n1"].pid)) == 1, "the guardian")
                yield Watched(made, client)
        assert not made.left()
    finally:
        if mounted:
            subprocess.run(["umount", str(small)], check=True)


def put(value: object, names: dict[str, str]) -> object:
    for name, path in names.items():
        value = value.replace(name, path) if isinstance(value, str) else value
    return value


@pytest.mark.parametrize("name", TORMENTS)
def test_a_node_outlives_a_handler_that(watched: Watched, name: str) -> None:
    torment = TORMENTS[name]
    if name == "fills a disk" and not os.path.ismount(watched.made.folder / "small"):
        pytest.skip("only root may mount a small file system")
    if "user" in torment.fields and not ROOT:
        pytest.skip("only root may run as others")
    (watched.made.folder / "doomed").mkdir(exist_ok=True)
    with trying(f"handler: {name}", torment.row) as tried:
        job = watched.run(f"t-{list(TORMENTS).index(name)}")
        torment.judge(job)
        watched.check()
        tried.times, tried.slots = 1, watched.check_metronome()


def test_many_jobs_leave_memory_descriptors_and_processes_as_they_were(watched: Watched) -> None:
    early = watched.memory()
    with trying("very many jobs leave nothing", "F25") as tried:
        for share in range(10):
            ids = [
                watched.client.trigger(name, key=f"{share}-{number}").id
                for number in range(JOBS // 20)
                for name in ("shell", "python")
            ]
            ended = [watched.client.wait(each, timeout=300) for each in ids]
            assert {job.state for job in ended} == {"completed"}
            if share == 1:  # by then the pool is full
                until(lambda: not watched.made.running(), "their ends")
                early = watched.memory()
        tried.times = JOBS
        watched.check()
        grown = [now - before for now, before in zip(watched.memory(), early, strict=True)]
        tried.notes.append(f"memory grew by {[f'{each >> 10} KiB' for each in grown]}")
        assert max(grown) < 8 << 20, grown
        watched.check_metronome()
