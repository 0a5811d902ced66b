"""Jobs a second, shell and Python, beside their limits and beside other schedulers and queues.

A limit is what plain code does on this machine at that time: spawn a command with its own session
and pipe, ask a process that is warm. Peers are installed in a venv of their own, and left out, by
name, where they cannot be had.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Amount, Figure, figures, number, table
from benchmarks.rates import burst
from synccron.handlers.base import Invocation
from synccron.handlers.local import LocalHandlers
from synccron.model.schedule import Limits

HERE = Path(__file__).parent
TITLE = "Handlers"
VENV = HERE.parent / ".venv" / "peers"
REDIS = HERE.parent / ".venv" / "redis"
AT_ONCE = 16  # attempts of a node, unless it is told otherwise, on two cores
MANY_AT_ONCE = 64  # jobs that end at once are better claimed and settled by the dozen
PACKAGES = ["apscheduler>=3.11,<4", "huey>=3", "redis", "rq>=2", "sqlalchemy>=2"]
DEBIAN = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "liblua5.1-0", "libatomic1"]
DEBIAN += ["lua-cjson", "lua-bitop"]
PEERS = {
    "apscheduler": "APScheduler 3, job store on SQLite, threads",
    "huey": "huey, SQLite, processes",
    "rq": "rq, Redis (every write synced), a fork for each job",
    "rq_simple": "rq, Redis (every write synced), in the worker",
}


Doing = Callable[[], AbstractContextManager[Callable[[], None]]]  # gives what does it once


@contextmanager
def spawning() -> Iterator[Callable[[], None]]:
    """Spawn a command in a session of its own, and read its output to the end."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def once() -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, nothing, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, theirs, fd) for fd in (1, 2)]
        pid = os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=actions, setsid=True)
        os.close(theirs)
        while os.read(ours, 4096):
            pass
        os.close(ours)
        os.waitpid(pid, 0)

    yield once
    os.close(nothing)


@contextmanager
def asking() -> Iterator[Callable[[], None]]:
    """Ask a warm process, as JSON on a socket, and wait for its answer."""
    ours, theirs = socket.socketpair()
    source = (
        "import json, socket, sys\n"
        f"asked = socket.socket(fileno={theirs.fileno()}).makefile('rwb')\n"
        "for line in asked:\n"
        "    json.loads(line)\n"
        "    asked.write(b'null\\n')\n"
        "    asked.flush()\n"
    )
    with theirs:
        answering = subprocess.Popen([sys.executable, "-c", source], pass_fds=(theirs.fileno(),))
    question = json.dumps({"job": "x" * 40, "input": None, "slot": 1}).encode() + b"\n"
    with ours, ours.makefile("rwb") as line:

        def once() -> None:
            line.write(question)
            line.flush()
            line.readline()

        yield once
    answering.wait()


def plainly(doing: Doing, count: int) -> float:
    """Do it so often, one after another; times a second."""
    with doing() as once:
        once()  # the first waits for its start
        start = time.perf_counter()
        for _ in range(count):
            once()
        return count / (time.perf_counter() - start)


def queued(folder: Path, doing: Doing, count: int) -> float:
    """Do it for each row of a durable queue, claimed before and settled after; rows a second."""
    connection = sqlite3.connect(folder / f"queue-{time.monotonic_ns()}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE job (id TEXT PRIMARY KEY, state TEXT, body TEXT)")
    rows = [(f"job-{number}", "queued", "x" * 200) for number in range(count)]
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO job VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    move = "UPDATE job SET state = ? WHERE id = ? AND state = ?"
    with doing() as once:
        once()
        start = time.perf_counter()
        for job, _, _ in rows:
            connection.execute(move, ("running", job, "queued"))
            once()
            connection.execute(move, ("completed", job, "running"))
        took = time.perf_counter() - start
    connection.close()
    return count / took


def attempts(folder: Path, count: int, handler: str | None) -> float:
    """Attempts a second under a guardian, without a store, so many at once as a node runs."""
    handlers = LocalHandlers(store=str(folder))
    free, done = threading.Semaphore(AT_ONCE), threading.Semaphore(0)

    def ended(outcome: object) -> None:
        assert getattr(outcome, "ending", None) == "completed", outcome
        free.release()
        done.release()

    plain = Invocation(
        job_id="bench",
        schedule_id="bench",
        slot=None,
        attempt=1,
        fence=0,
        input="null",
        run=None if handler else ("/bin/true",),
        handler=handler,
        env={},
        cwd=None,
        user=None,
        timeout=None,
        kill_after=1000,
        limits=Limits(),
        log=str(folder / "bench.log"),
    )
    try:
        start = 0.0
        for fence in range(1, count + AT_ONCE + 1):
            free.acquire()
            if fence == AT_ONCE + 1:
                start = time.perf_counter()
            handlers.start(replace(plain, fence=fence), ended)
        for _ in range(count + AT_ONCE):
            done.acquire()
        return count / (time.perf_counter() - start)
    finally:
        handlers.close()


@contextmanager
def peers(folder: Path) -> Iterator[Callable[[str, int], float | None]]:
    """Give what measures a peer, by name; None: it cannot be had here."""
    there = _install()
    with _redis(folder) as redis:

        def measure(name: str, count: int) -> float | None:
            if not there or (name.startswith("rq") and redis is None):
                return None
            with tempfile.TemporaryDirectory(dir=folder) as own:
                measured = subprocess.run(
                    [str(VENV / "bin" / "python"), "-m", "benchmarks.peers", name, str(count), own],
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=120,
                    cwd=HERE.parent,
                    env={**os.environ, "PEERS_REDIS": redis or ""},
                )
            return float(measured.stdout) if measured.returncode == 0 else None

        yield measure


def _install() -> bool:
    if not (VENV / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, *PACKAGES], check=False).returncode == 0


@contextmanager
def _redis(folder: Path) -> Iterator[str | None]:
    """Run a Redis of our own on a socket; its programs come from the system's packages."""
    REDIS.mkdir(parents=True, exist_ok=True)
    server = REDIS / "usr" / "bin" / "redis-server"
    if not server.exists():
        subprocess.run(["apt-get", "-qq", "download", *DEBIAN], cwd=REDIS, check=False)
        for package in REDIS.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(REDIS)], check=False)
    libraries = os.pathsep.join(map(str, (REDIS / "usr" / "lib").glob("*-linux-gnu")))
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    try:
        running = subprocess.Popen(
            [str(server), *options, "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
    except OSError:
        yield None
        return
    try:
        while not path.exists() and running.poll() is None:
            threading.Event().wait(0.01)
        yield f"unix://{path}" if path.exists() else None
    finally:
        running.terminate()
        running.wait()


def section(amount: Amount) -> str:
    count = amount.pick(2000, 300)
    rows: list[Figure] = []
    told: dict[str, list[float]] = {}
    sys.path.insert(0, str(HERE))  # for the guardians' children
    with tempfile.TemporaryDirectory(prefix="synccron-bench-") as name, peers(Path(name)) as peer:
        folder = Path(name)
        for what, handler, doing, limit_is in (
            ("shell", None, spawning, "posix_spawn"),
            ("no-op Python", "noop:noop", asking, "ask a warm process"),
        ):
            alone, whole, many, limits, queues = [], [], [], [], []
            for _ in range(amount.rounds):
                limits.append(plainly(doing, count))
                alone.append(attempts(folder, count, handler))
                queues.append(queued(folder, doing, count))
                whole.append(burst(folder, handler, count))
                many.append(burst(folder, handler, count, "--concurrency", str(MANY_AT_ONCE)))
            ended = f"{what} jobs, recorded ({count:,})"
            rows.append(Figure(f"{what} attempts ({count:,})", "/s", alone, limits, limit_is))
            rows.append(Figure(ended, "/s", whole, limits, limit_is))
            rows.append(Figure(ended, "/s", whole, queues, f"{limit_is}, from a plain queue"))
            more = f"the same, {MANY_AT_ONCE} at once"
            rows.append(Figure(more, "/s", many, queues, f"{limit_is}, from a plain queue"))
            told[f"synccron, {what} jobs, SQLite, in processes"] = whole
        for each, title in PEERS.items():
            few = count // (6 if each == "rq" else 3)
            found = [peer(each, few) for _ in range(amount.rounds)]
            told[title] = [rate for rate in found if rate is not None]
    beside = (
        (title, f"{number(sorted(rates)[len(rates) // 2])} /s" if rates else "not to be had here")
        for title, rates in told.items()
    )
    return f"""{figures(rows)}

An attempt is started, fed, read, ended and cleared by the guardian, with nothing recorded; a job is also claimed
and settled, durably. At most {AT_ONCE} run at once, where nothing else is said. The limit of a shell job is to spawn `/bin/true` with a session
and a pipe of its own, and to read and reap it, one after another; that of a Python job is to ask a process that
has started already, and to wait for its answer. A plain queue is a table on SQLite, of which each row is claimed
before that and settled after it, durably, by one process and one after another: what a job must cost that is not
lost.

{table(("no-op jobs, in the same run", "median"), beside)}

Every write is synced, but APScheduler's, which leaves that to SQLite's default. It keeps no record of a job that
ran, and runs it in its own process, as `rq` does in its worker: nothing can end one that hangs.
"""
