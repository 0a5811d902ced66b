"""Turns of who tells people: taken once, tried again, given back; with a real server."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from synccron.clock import Bell, ManualClock, SystemClock
from synccron.engine.teller import Teller
from synccron.events import Event, Events
from synccron.handlers.base import Handlers
from synccron.handlers.local import LocalHandlers
from synccron.model.job import Notice
from synccron.model.permit import Offer
from synccron.model.schedule import Notify
from synccron.model.time import SECOND
from synccron.store.base import Store
from tests.engine.conftest import Bench
from tests.hooks import Hook


@dataclass
class Telling:
    """A node's teller, whose turns the test takes."""

    bench: Bench
    handlers: Handlers
    variables: dict[str, str] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        bench, clock = self.bench, self.bench.clock
        self.bell = Bell(SystemClock())  # what is sent takes real time
        self.teller = Teller(
            bench.store,
            clock,
            Events(clock.now, self.told.append),
            self.handlers,
            session=lambda: bench.session,
            offer=lambda: Offer(bench.offers, bench.allow_run),
            variables=self.variables,
            bell=self.bell,
        )

    def turn(self) -> int:
        """Take a turn, let what was sent end, and take what follows it."""
        self.teller.turn()
        self.sent()
        return self.teller.turn()

    def sent(self) -> None:
        while self.teller._sending:
            seen = self.bell.rings
            if self.teller._sending:
                assert self.bell.wait(seen, 50 * SECOND)

    def names(self) -> list[str]:
        return [event.event for event in self.told]


def fail(bench: Bench, *to: Notify, ending: str = "failed", name: str = "job") -> None:
    bench.register(id=name, notify=to, cron="@every 1h")
    bench.advance_to(bench.clock.now() + 3_600_000)
    for run in bench.run_due():
        run.end(ending, error="boom")  # type: ignore[arg-type]
    bench.worker.settle_ended()


def webhook(hook: Hook, **fields: Any) -> Notify:
    return Notify(on=("failure", "recovery"), webhook=hook.url, **fields)


@pytest.fixture
def handlers() -> Iterator[LocalHandlers]:
    made = LocalHandlers(
        store="test",
    )
    yield made
    made.close()


@pytest.fixture
def telling(node: Bench, handlers: LocalHandlers) -> Telling:
    return Telling(node, handlers)


def notices(node: Bench) -> list[Notice]:
    return list(node.store.read(Notice).items)


def test_a_failure_and_its_recovery_are_told_to_a_webhook_once_and_in_order(
    node: Bench, telling: Telling
) -> None:
    with Hook(200) as hook:
        for ending in ("failed", "failed", "completed", "completed"):
            fail(node, webhook(hook), ending=ending)
        for _ in range(4):
            telling.turn()
        assert [each["body"]["event"] for each in hook.requests] == ["failure", "recovery"]
    first = hook.requests[0]
    assert first["headers"]["idempotency-key"] == first["body"]["id"]
    assert first["body"]["error"] == "boom"
    assert notices(node) == []
    assert telling.names() == ["notice_told", "notice_told"]


def test_a_webhook_that_fails_is_tried_again_after_a_while(node: Bench, telling: Telling) -> None:
    with Hook(500, 200) as hook:
        fail(node, webhook(hook))
        idle = telling.turn()
        assert (len(hook.requests), idle) == (1, 1000)
        telling.turn()
        assert len(hook.requests) == 1
        node.advance_to(node.clock.now() + idle)
        telling.turn()
        assert len(hook.requests) == 2
    assert hook.requests[0]["body"] == hook.requests[1]["body"]
    (event,) = telling.told
    assert (event.event, event.fields["tries"]) == ("notice_told", 2)


def test_a_webhook_that_goes_on_failing_is_given_up_and_said(node: Bench, telling: Telling) -> None:
    with Hook(500) as hook:
        fail(node, webhook(hook))
        while notices(node):
            telling.turn()
            node.advance_to(node.clock.now() + 1000)
        assert len(hook.requests) == 6
    (event,) = telling.told
    assert (event.event, event.level) == ("notice_failed", "error")
    assert event.fields["error"] == "answered 500"


def test_an_answer_that_another_try_cannot_change_is_given_up_at_once(
    node: Bench, telling: Telling
) -> None:
    with Hook(404) as hook:
        fail(node, webhook(hook))
        telling.turn()
        assert len(hook.requests) == 1
    assert (telling.names(), notices(node)) == (["notice_failed"], [])


def test_a_command_gets_the_notice_on_its_input_and_in_its_environment(
    node: Bench, telling: Telling, tmp_path: Any
) -> None:
    out = tmp_path / "told"
    command = f'cat > {out}; echo "$SYNCCRON_EVENT $SYNCCRON_SCHEDULE_ID" > {out}.env'
    fail(node, Notify(command=command, on=("failure",)))
    telling.turn()
    assert json.loads(out.read_text())["event"] == "failure"
    assert (tmp_path / "told.env").read_text() == "failure job\n"
    assert telling.names() == ["notice_told"]


@pytest.mark.parametrize("command", ["exit 3", "sleep 1000", ("/no/such/pager",)])
def test_a_command_that_fails_is_said_and_not_run_again(
    node: Bench, telling: Telling, command: Any
) -> None:
    fail(node, Notify(command=command, on=("failure",), timeout=300))
    telling.turn()
    assert (telling.names(), notices(node)) == (["notice_failed"], [])


def test_a_webhook_may_name_variables_of_the_node_and_none_of_their_values_is_told(
    node: Bench, telling: Telling
) -> None:
    telling.variables["KEY_OF_CHAT"] = "s3cret"
    with Hook(500) as hook:
        telling.variables["HOOK"] = hook.url
        to = Notify(webhook="${HOOK}", headers={"Authorization": "Bearer ${KEY_OF_CHAT}"})
        fail(node, to)
        while notices(node):
            telling.turn()
            node.advance_to(node.clock.now() + 1000)
        assert hook.requests[0]["headers"]["authorization"] == "Bearer s3cret"
    assert telling.told
    assert all("s3cret" not in str(event) and hook.url not in str(event) for event in telling.told)


def test_a_variable_that_the_node_does_not_have_is_named(node: Bench, telling: Telling) -> None:
    fail(node, Notify(webhook="https://${NOBODY}/", on=("failure",)))
    telling.turn()
    (event,) = telling.told
    assert "'NOBODY'" in event.fields["error"]
    assert notices(node) == []


def test_of_two_nodes_one_tells(node: Bench, telling: Telling, make_node: Any) -> None:
    with Hook(200) as hook:
        fail(node, webhook(hook))
        other = Telling(make_node("n2"), telling.handlers)
        (notice,) = notices(node)
        assert node.store.take("session-of-n2", [notice]) != [None]
        telling.turn()
        assert hook.requests == []
        other.turn()
        assert len(hook.requests) == 1
    assert notices(node) == []


def test_a_notice_whose_node_died_is_not_told_again_but_said(
    node: Bench, telling: Telling, store: Store
) -> None:
    with Hook(200) as hook:
        fail(node, webhook(hook))
        store.take("a-dead-session", notices(node))
        telling.turn()
        assert hook.requests == []
    (event,) = telling.told
    assert event.event == "notice_failed"
    assert "may have arrived" in event.fields["error"]
    assert notices(node) == []


def test_a_node_that_stops_gives_back_what_it_has_not_told(node: Bench, telling: Telling) -> None:
    with Hook(500) as hook:
        fail(node, webhook(hook))
        telling.turn()
        assert notices(node)[0].session is not None
        telling.teller.close(0)
        assert notices(node)[0].session is None
        telling.teller.turn()
        assert len(hook.requests) == 1


def test_a_node_that_stops_does_not_give_back_what_it_is_sending(
    node: Bench, telling: Telling
) -> None:
    with Hook() as hook:
        hook.answers = [hook.hold]
        fail(node, webhook(hook, timeout=30_000))
        telling.teller.turn()
        hook.until(1)
        telling.teller.close(0)
        assert notices(node)[0].session == node.session.id


def test_one_who_does_not_answer_does_not_hold_up_the_others(
    node: Bench, telling: Telling, clock: ManualClock
) -> None:
    assert clock is node.clock
    with Hook() as silent, Hook(200) as other:
        silent.answers = [silent.hold]
        fail(node, webhook(silent, timeout=30_000), webhook(other))
        telling.teller.turn()
        other.until(1)
        silent.until(1)


def test_a_command_that_a_node_does_not_permit_is_left_to_others(
    node: Bench, telling: Telling, tmp_path: Path
) -> None:
    fail(node, Notify(on=("failure",), command=f"touch {tmp_path / 'canary'}"))
    node.allow_run = ("/bin/true",)
    telling.turn()
    assert len(notices(node)) == 1
    node.allow_run = None
    telling.turn()
    assert (tmp_path / "canary").exists()


def test_a_command_that_comes_to_a_node_all_the_same_fails_and_never_starts(
    node: Bench, tmp_path: Path
) -> None:
    handlers = LocalHandlers(store="test", allow_run=())
    telling = Telling(node, handlers)
    fail(node, Notify(on=("failure",), command=f"touch {tmp_path / 'canary'}"))
    telling.turn()
    (event,) = telling.told
    assert event.event == "notice_failed"
    assert "no commands (--only-handlers)" in event.fields["error"]
    assert not (tmp_path / "canary").exists()
    handlers.close()
