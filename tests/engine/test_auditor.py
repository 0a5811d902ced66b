"""The node's doubt about its own dispatcher, and others'."""

from collections.abc import Callable

import pytest

from synccron.clock import ManualClock
from synccron.engine.auditor import LATE, Auditor
from synccron.events import Events
from synccron.model.time import MINUTE, SECOND
from synccron.store.base import Store
from tests.engine.conftest import Bench


@pytest.fixture
def auditor(store: Store, clock: ManualClock, node: Bench) -> Auditor:
    return Auditor(store, clock, node.elector, Events(clock.now, node.told.append))


def told(node: Bench) -> list[object]:
    return [event.fields["schedule_id"] for event in node.events("tick_error")]


def test_a_slot_that_the_dispatcher_leaves_undecided_is_told_once(
    auditor: Auditor, node: Bench, clock: ManualClock
) -> None:
    node.register(cron="@every 1h")
    slot = node.schedule().cursor.next
    node.advance_to(slot + LATE)
    auditor.turn()
    assert told(node) == []
    node.advance_to(slot + LATE + MINUTE)
    auditor.turn()
    auditor.turn()
    node.advance_to(clock.now() + MINUTE)
    auditor.turn()
    (event,) = node.events("tick_error")
    assert event.level == "error"
    assert event.fields["error"] == "its oldest slot is not decided for 1m30s"


def test_a_dispatch_that_waits_to_be_tried_again_is_told_too(auditor: Auditor, node: Bench) -> None:
    node.register(handler="nowhere:f", cron="@every 1h", max_dispatch_failures=100)
    slot = node.schedule().cursor.next
    while node.clock.now() < slot + LATE + 15 * SECOND:
        node.advance_to(node.clock.now() + SECOND)
        node.dispatcher.turn()
    auditor.turn()
    assert told(node) == ["job"]


def test_what_is_decided_is_not_told(auditor: Auditor, node: Bench) -> None:
    node.register(cron="@every 1h")
    node.advance_to(node.schedule().cursor.next)
    node.run_due()
    node.advance_to(node.clock.now() + MINUTE)
    auditor.turn()
    assert told(node) == []


def test_a_node_speaks_where_nobody_leads_and_is_silent_where_another_does(
    store: Store, clock: ManualClock, node: Bench, make_node: Callable[[str], Bench]
) -> None:
    other = make_node("n2")
    standing_by = Auditor(store, clock, other.elector, Events(clock.now, other.told.append))
    node.register(cron="@every 1h")
    node.advance_to(node.schedule().cursor.next + MINUTE)
    standing_by.turn()
    assert told(other) == []
    node.elector.resign()
    node.advance_to(clock.now() + MINUTE)
    standing_by.turn()
    assert told(other) == ["job"]
