"""What nodes say of the time, and what a command makes of it."""

from synccron.model.lease import Node, told_now
from synccron.model.time import SECOND, Duration
from tests.make import NOW


def node(told: Duration | None, host: str = "there", *, live: bool = True) -> Node:
    return Node(
        id="n1",
        session="s1",
        host=host,
        pid=1,
        version="1",
        started_at=NOW,
        tzdata="2026f",
        concurrency=1,
        live=live,
        last_seen_at=None if told is None else NOW + told,
    )


def test_a_command_whose_clock_is_behind_takes_the_time_of_the_newest_record() -> None:
    late = [node(30 * SECOND), node(40 * SECOND)]
    assert told_now(late, "here", NOW) == NOW + 40 * SECOND


def test_a_command_whose_clock_is_ahead_takes_the_time_of_the_newest_record() -> None:
    assert told_now([node(-60 * SECOND)], "here", NOW) == NOW - 60 * SECOND


def test_a_record_may_be_as_old_as_the_time_between_two_reports() -> None:
    assert told_now([node(-14 * SECOND)], "here", NOW) == NOW
    assert told_now([node(5 * SECOND)], "here", NOW) == NOW


def test_nodes_of_this_host_and_dead_ones_say_nothing() -> None:
    others = [node(DAYS, "here"), node(DAYS, live=False), node(None)]
    assert told_now(others, "here", NOW) == NOW


DAYS = 86_400 * SECOND
