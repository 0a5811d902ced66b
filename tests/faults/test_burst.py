"""Ten thousand slots in one second: written before it, and the lease is renewed all the while."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from synccron.client import Client, Schedule
from synccron.clock import SystemClock
from synccron.engine.node import Node
from synccron.model.job import Job
from synccron.model.time import SECOND, to_datetime
from synccron.store.base import Where
from synccron.store.sqlite.store import SqliteStore
from tests.faults.field import BUSY, LONG, limit, trying, until

pytestmark = [pytest.mark.faults, limit(300)]

LEASE = 5 * SECOND  # as it is by default
MANY = 10_000 if LONG else 1_500


def test_a_burst_is_written_before_its_second_and_leaves_the_lease_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = str(tmp_path / "burst.db"), SystemClock()
    renewed: list[tuple[int, int]] = []
    campaign = SqliteStore.campaign

    def recorded(store: SqliteStore, at: Any, ttl: int) -> Any:
        term = campaign(store, at, ttl)
        if term is not None:
            renewed.append((term.epoch, clock.monotonic()))
        return term

    monkeypatch.setattr(SqliteStore, "campaign", recorded)
    with (
        trying("very many slots in one second", "F22") as tried,
        Client(path, create=True) as client,
    ):
        # Far enough that all are registered before the first is written, and near enough to wait.
        slot = to_datetime(clock.now()) + timedelta(seconds=16 + MANY / (150 if BUSY else 500))
        slot = slot.replace(microsecond=0)
        cron = f"{slot.second} {slot.minute} {slot.hour} * * *"
        client.register(*(Schedule(id=f"s{n}", cron=cron, run="true") for n in range(MANY)))
        node = Node(path, work=False)
        node.start()
        try:
            until(lambda: client.status().scheduled == MANY, "all to be written")
        finally:
            node.stop()
    with Client(path) as client:
        store = client._store
        page = store.read(Job, Where(states=["scheduled"]), limit=MANY)
        last = max(job.created_at for job in page.items)
    assert to_datetime(last) < slot
    assert {epoch for epoch, _ in renewed} == {1}
    times = [at for _, at in renewed]
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) < LEASE
    tried.times, tried.slots = 1, MANY
    tried.notes.append(f"longest between two renewals: {max(gaps)} ms of {LEASE}")
