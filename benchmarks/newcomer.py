"""A stop-watch for whoever comes anew: how long until it runs, and whether anything is lost on the way.

It does what docs/tutorial.md tells, as a user's commands, and checks what came of it: slots by the
laws (`model/judge`), times by another library, commands by running them. Reading and typing are not
in the figures; starting programs and waiting for them is.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim

from benchmarks.measure import Amount, table
from synccron.client import Client
from synccron.clock import SystemClock
from synccron.model.judge import judge
from synccron.store import open_store
from synccron.store.history import read_history
from tests.etcd import Members

TITLE = "As a new user"
ROOT = Path(__file__).parent.parent
ZONE = "Europe/Berlin"
LINES = 30
NOTES = """

What [the tutorial](tutorial.md) says, done once by a stop-watch: programs start and are waited for, reading and
typing are yours to add. What came of it is checked: slots by the laws, times by another library, commands by
running both.
"""
MOVED = 20  # schedules of one slot a second each
HEAD = f"MAILTO=\nPATH={os.environ['PATH']}\n"
COMMANDS = (
    "echo plain",
    "cat%fed%twice",
    r"date -d @0 +\%F",
    "echo \"it's quoted\" '100\\%'",
    "cd / && pwd",
    "printf '%s\\n' a b | wc -l".replace("%", r"\%"),
)


class Place:
    """A folder with a store, and the commands of a user in it."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store = folder, store

    def synccron(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "synccron", *words],
            cwd=self.folder, env=self._env(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def node(self) -> Iterator[None]:
        running = subprocess.Popen(
            [sys.executable, "-m", "synccron", "run"],
            cwd=self.folder, env=self._env(), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()

    def _env(self) -> dict[str, str]:
        return {**os.environ, "SYNCCRON_STORE": self.store, "PYTHONPATH": str(ROOT)}


def install(folder: Path) -> float | None:
    """Seconds to install it into an environment of its own; None: no index can be reached."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    done = subprocess.run(
        [str(folder / "venv/bin/pip"), "install", "--quiet", str(ROOT)],
        capture_output=True, check=False,
    )  # fmt: skip
    return None if done.returncode else time.monotonic() - start


def first_job(folder: Path) -> float:
    """Seconds from nothing to the first job that ran."""
    start = time.monotonic()
    place = Place(folder, str(folder / "first" / "synccron.db"))
    (folder / "jobs.yaml").write_text(
        'schedules:\n  hello: {cron: "0 6 * * *", run: echo hello, timeout: 1m}\n'
    )
    place.synccron("register", "-f", "jobs.yaml")
    with place.node():
        assert place.synccron("trigger", "hello", "--wait").startswith("hello")
        return time.monotonic() - start


def crontab(folder: Path) -> tuple[float, str]:
    """Seconds from a crontab to the same jobs, and what was compared."""
    lines = [
        f"{n * 7 % 60} {n % 24} {n % 28 + 1 if n % 3 == 0 else '*'} * {n % 7 if n % 2 else '*'} {each}"
        for n, each in zip(range(LINES), COMMANDS * LINES, strict=False)
    ]
    (folder / "crontab").write_text(HEAD + "\n".join(lines) + "\n")
    place = Place(folder, str(folder / "crontab-store" / "synccron.db"))
    start = time.monotonic()
    text = place.synccron("import-crontab", "crontab", "--tz", ZONE)
    (folder / "imported.yaml").write_text(text)
    place.synccron("register", "-f", "imported.yaml")
    took = time.monotonic() - start
    schedules = yaml.safe_load(text)["schedules"]
    assert len(schedules) == LINES
    for line, fields in zip(lines, schedules.values(), strict=True):
        *when, command = line.split(" ", 5)
        assert slots(place, " ".join(when)) == by_cronsim(" ".join(when))
        assert fields["cron"] == " ".join(when)
        assert printed(fields["run"], b"null") == printed(*as_cron(command))
    return took, f"{LINES} lines: the next 5 slots as cronsim has them, the output as of `sh -c`"


def slots(place: Place, cron: str) -> list[str]:
    found = place.synccron("next", cron, "--tz", ZONE, "-n", "5", "--after", "2026-06-01T00:00:00Z")
    return [line.split()[0] for line in found.splitlines()[1:]]


def by_cronsim(cron: str) -> list[str]:
    walk = CronSim(cron, datetime(2026, 6, 1, 2, tzinfo=ZoneInfo(ZONE)))
    return [f"{next(walk).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for _ in range(5)]


def as_cron(command: str) -> tuple[str, bytes]:
    """What cron makes of a line: the command, and its input."""
    held = command.replace(r"\%", "\0")
    shell, percent, fed = held.partition("%")
    given = fed.replace("%", "\n") + ("\n" if percent else "")
    return shell.replace("\0", "%"), given.replace("\0", "%").encode()


def printed(run: str, given: bytes) -> bytes:
    return subprocess.run(
        ["/bin/sh", "-c", run], input=given, capture_output=True, check=False
    ).stdout


def moved(folder: Path, seconds: int) -> tuple[float, str]:
    """Seconds in which nothing runs while a store moves to etcd, and what the laws say."""
    members = Members()
    members.start()
    try:
        old = Place(folder, str(folder / "old" / "synccron.db"))
        new = Place(folder, members.url(f"newcomer-{secrets.token_hex(4)}"))
        ran = folder / "ran"
        line = f'cron: "@every 1s", misfire: catch_up_all, run: "echo $SYNCCRON_JOB_ID >> {ran}"'
        text = "".join(f"  s{n}: {{{line}}}\n" for n in range(MOVED))
        (folder / "moving.yaml").write_text(f"schedules:\n{text}")
        old.synccron("register", "-f", "moving.yaml")
        with old.node():
            time.sleep(seconds)
            stop = time.monotonic()
        old.synccron("backup", "copy")
        new.synccron("restore", "copy")
        began = len(ran.read_text().split())
        with new.node():
            while len(ran.read_text().split()) == began:
                time.sleep(0.01)
            took = time.monotonic() - stop
            time.sleep(seconds)
        return took, verdict(new.store, ran.read_text().split())
    finally:
        members.close()


def verdict(store: str, ran: list[str]) -> str:
    """Judge what the new store has of all slots, and what handlers wrote down themselves."""
    with open_store(store, clock=SystemClock()) as opened, Client(store) as client:
        histories = [read_history(opened, each.id) for each in client.list()]
    broken = judge(histories, quiet=False)
    assert not broken, broken
    assert len(set(ran)) == len(ran), "a slot ran twice"
    done = {job.id for each in histories for job in each.jobs if job.state == "completed"}
    assert done == set(ran), "what ran and what is said to have run differ"
    misses = sum(miss.count for each in histories for miss in each.misses)
    return f"{len(ran)} slots of {MOVED} schedules: each ran once, {misses} missed, no law broken"


def section(amount: Amount) -> str:
    with tempfile.TemporaryDirectory(prefix="synccron-newcomer-") as name:
        folder = Path(name)
        installed = install(folder)
        rows = [["install into a fresh environment", shown(installed), "from an index nearby"]]
        rows.append(["nothing → the first job that ran", shown(first_job(folder)), "4 commands"])
        took, what = crontab(folder)
        rows.append([f"a crontab of {LINES} lines → the same jobs", shown(took), what])
        if shutil.which("etcd"):
            took, what = moved(folder, amount.pick(10, 3))
            rows.append(["SQLite → etcd: stop, backup, restore, first job", shown(took), what])
    return table(["from → to", "time", "checked"], rows) + NOTES


def shown(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds:.1f} s"
