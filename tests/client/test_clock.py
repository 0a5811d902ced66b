"""A command on a host whose wall clock is off the nodes'."""

import secrets
from typing import Any

from synccron.client import Client, Schedule
from synccron.clock import ManualClock
from synccron.events import Event
from synccron.model.lease import Node
from synccron.model.time import HOUR, MINUTE, to_instant
from synccron.store import open_store


def test_a_cursor_is_computed_by_the_nodes_clock_where_ones_own_is_off(etcd: Any) -> None:
    url = etcd.url(f"test/{secrets.token_hex(8)}")
    theirs, ours, told = ManualClock(), ManualClock(), list[Event]()
    ours.jump(-HOUR)
    with open_store(url, create=True, clock=theirs) as store:
        node = Node(
            id="n1",
            session="s1",
            host="elsewhere",
            pid=1,
            version="1",
            started_at=theirs.now(),
            tzdata="2026f",
            concurrency=1,
        )
        store.join(node, 15_000)
        with Client(url, clock=ours, on_event=told.append) as client:
            client.register(Schedule(id="job", cron="* * * * *", run="true"))
            cursor = client.get("job").cursor_at
    assert cursor is not None
    assert theirs.now() < to_instant(cursor) <= theirs.now() + MINUTE
    (said,) = [each for each in told if each.event == "tick_error"]
    assert "about 1h behind the nodes': now is taken as" in said.fields["error"]
