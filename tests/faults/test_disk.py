"""Disks that fail in the middle, and power that goes: what was acknowledged is there (law 7)."""

import sqlite3
from pathlib import Path
from random import Random

import pytest

from synccron.clock import ManualClock
from synccron.errors import StoreError
from synccron.model.admit import Place, admit
from synccron.model.change import register
from synccron.model.job import Job, Outcome
from synccron.model.lease import Node
from synccron.model.order import KEY_KEPT, submitted
from synccron.model.schedule import Schedule
from synccron.model.settle import settle
from synccron.store import open_store
from synccron.store.base import Store, Where
from tests.faults.disk import FULL, IOERR_WRITE, NEVER, Disk, after_power_loss, contents, reachable
from tests.faults.field import LONG, limit, trying
from tests.make import definition

pytestmark = [
    pytest.mark.faults,
    limit(300),
    pytest.mark.skipif(not reachable(), reason="this Python has SQLite built in"),
]

HANDLER = "h"
POINTS = 2000 if LONG else 120
CALLS = 500 if LONG else 60


class Work:
    """A node's life in a few writes; `told` has what each of them was acknowledged with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = ManualClock()
        self.told: dict[str, str] = {}

    def open(self) -> Store:
        return open_store(self.url, create=True, clock=self.clock)

    def do(self, store: Store, rounds: int) -> None:
        """Register, submit, claim and settle; what fails is tried no further in its round."""
        self.clock.advance(1)
        name = f"n{self.clock.now()}"
        node = Node(
            id=name,
            session=name,
            host="h",
            pid=1,
            version="1",
            started_at=0,
            tzdata="",
            concurrency=1,
            offers=frozenset({HANDLER}),
        )
        session = store.join(node, 15_000)
        for number in range(rounds):
            now = self.clock.now()
            order = submitted(HANDLER, f"{session.id}-{number}", "null", now)
            store.enqueue(order, now - KEY_KEPT)
            self.told[order.job.id] = "queued"
            every = f"every-{session.id}-{number}"
            change = register(None, definition(id=every), now, "me@here", "2026f")
            assert change is not None
            assert store.apply([change])
            self.told[every] = "registered"
            (candidate,) = store.waiting(frozenset({HANDLER}), now, 1)
            admission = admit(
                candidate, now, Place(node=session.node, full=False, others=False, lease=5000)
            )
            assert admission is not None
            (claim,) = store.claim(session, [admission], now)
            assert claim is not None
            self.told[claim.job.id] = "running"
            store.settle([settle(claim, Outcome(ending="completed"), now, 0.5)], now)
            self.told[claim.job.id] = "completed"

    def lacking(self, told: dict[str, str]) -> list[str]:
        """Name what was acknowledged and is not there, or is behind what was said of it."""
        order = ["queued", "running", "completed"]
        with self.open() as store:
            found = {job.id: job.state for job in _all_jobs(store, told)}
            schedules = {each.id for each in store.read(Schedule, limit=1000).items}
        lacks = [
            name
            for name, state in told.items()
            if state != "registered"
            and (name not in found or order.index(found[name]) < order.index(state))
        ]
        return lacks + [
            name for name, state in told.items() if state == "registered" and name not in schedules
        ]


def _all_jobs(store: Store, told: dict[str, str]) -> list[Job]:
    ids = tuple(name for name, state in told.items() if state != "registered")
    return list(store.read(Job, Where(ids=ids), limit=10_000).items)


def sound(path: Path) -> str:
    """Ask SQLite whether the database is whole."""
    connection = sqlite3.connect(path)
    try:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    finally:
        connection.close()
    return str(answer)


@pytest.mark.parametrize("code", [FULL, IOERR_WRITE], ids=["full", "error"])
def test_a_disk_that_fails_at_any_call_loses_nothing_that_was_acknowledged(
    tmp_path: Path, code: int
) -> None:
    kind = "full" if code == FULL else "error"
    with trying(f"the disk fails at its n-th call ({kind})", "F18") as tried:
        for fail_at in range(1, CALLS + 1):
            folder = tmp_path / str(fail_at)
            work = Work(str(folder / "synccron.db"))
            with work.open() as store:
                work.do(store, 1)
            disk = Disk()
            disk.code = code
            with disk.inserted():
                disk.fail_at = fail_at
                with pytest.raises(StoreError), work.open() as store:
                    work.do(store, CALLS)
                disk.fail_at = NEVER
                # It goes on by itself, as soon as the disk does.
                with work.open() as store:
                    work.do(store, 1)
            assert work.lacking(work.told) == []
            assert sound(folder / "synccron.db") == "ok"
            tried.times += 1


def lost_after(folder: Path, query: str, seed: int) -> list[list[str]]:
    """Lose the power at points of a history; what was acknowledged and is not there, of each."""
    work = Work(f"sqlite://{folder}/synccron.db{query}")
    with work.open() as store:
        work.do(store, 1)
    base, disk = contents(folder), Disk()
    acknowledged: list[tuple[int, dict[str, str]]] = [(0, dict(work.told))]
    with disk.inserted(), work.open() as store:
        for _ in range(8):
            work.do(store, 5)
            acknowledged.append((len(disk.events), dict(work.told)))
    found = []
    luck = Random(seed)  # noqa: S311 - it has to come again
    for _ in range(POINTS):
        point = luck.randrange(len(disk.events) + 1)
        told = max((each for each in acknowledged if each[0] <= point), key=lambda each: each[0])[1]
        for path in folder.iterdir():
            if path.name.endswith((".db", "-wal", "-shm")):
                path.unlink()
        for name, content in after_power_loss(base, disk.events[:point], luck).items():
            Path(name).write_bytes(content)
            Path(name).chmod(0o600)
        assert sound(folder / "synccron.db") == "ok"
        found.append(work.lacking(told))
    return found


def test_law_7_what_was_acknowledged_survives_a_loss_of_power(tmp_path: Path) -> None:
    with trying("the power goes at any point", "F17") as tried:
        lost = lost_after(tmp_path, "", seed=7)
        tried.times = len(lost)
        tried.broken += [str(each) for each in lost if each]
        assert [each for each in lost if each] == []


def test_what_is_not_synced_is_lost_with_the_power_so_that_this_would_be_seen(
    tmp_path: Path,
) -> None:
    assert any(lost_after(tmp_path, "?sync=normal", seed=7))
