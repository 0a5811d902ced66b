"""When a loop counts as hanging, and what a node says of itself."""

import threading

import pytest

from synccron.clock import Bell, ManualClock
from synccron.engine.health import STILL
from synccron.engine.loop import Loop, StoreState
from synccron.engine.node import Node
from synccron.errors import StoreError
from synccron.events import Events
from synccron.model.time import SECOND


class Turns:
    """A loop whose turns the test lets in and out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        events = Events(self.clock.now)
        self.state = StoreState(events, self.clock)
        self.error: Exception | None = None
        self.loop = Loop(
            "one",
            self._turn,
            clock=self.clock,
            bell=Bell(self.clock),
            state=self.state,
            events=events,
            fatal=lambda _: None,
            lost=lambda: None,
        )

    def _turn(self) -> int:
        self.begun.release()
        self.go.acquire()
        if self.error is not None:
            raise self.error
        return 0


@pytest.fixture
def turns():
    one = Turns()
    yield one
    one.loop.stop()
    one.go.release(10)
    one.loop.join()


def test_a_loop_that_is_in_a_turn_for_long_is_still_and_one_that_turns_is_not(turns):
    turns.clock.advance(STILL * 2)
    assert turns.loop.still == 0  # not started
    turns.loop.start()
    turns.begun.acquire()
    turns.clock.advance(STILL + SECOND)
    assert turns.loop.still == STILL + SECOND
    turns.go.release()
    turns.begun.acquire()
    assert turns.loop.still == 0
    turns.clock.advance(STILL * 2)
    turns.loop.stop()
    assert turns.loop.still == 0


def test_a_store_that_fails_one_loop_does_not_answer_and_the_loop_turns_all_the_same(turns):
    turns.loop.start()
    turns.begun.acquire()
    assert turns.state.answers
    turns.error = StoreError("away")
    turns.go.release()
    turns.go.release()
    while turns.state.answers:  # until the turn has failed
        threading.Event().wait(0.001)
    assert turns.loop.still <= SECOND


def test_a_node_that_has_not_started_is_not_ready_and_does_not_hang(tmp_path):
    health = Node(str(tmp_path / "x.db")).health()
    assert health.turning
    assert not health.ready


def test_a_node_is_ready_from_its_start_to_its_stop(tmp_path):
    node = Node(str(tmp_path / "x.db"))
    node.start()
    try:
        for _ in range(10_000):  # until its first renewal
            if node.health().ready:
                break
            threading.Event().wait(0.001)
        assert node.health().troubles == ()
    finally:
        node.stop(0)
    assert "it is stopping" in node.health().troubles
    assert node.health().turning
