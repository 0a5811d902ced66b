"""Whose job is whose: who is not waited for, from when, and until when."""

from dataclasses import replace

from synccron.clock import ManualClock
from synccron.engine.share import SILENT, SOON, TIMES, Punctuality, Share
from synccron.model.lease import Node
from synccron.model.needs import SHELL
from synccron.model.time import SECOND, Instant

BEGIN: Instant = 1_800_000_000_000
JOBS = [f"s{n}" for n in range(40)]


def node(name: str, seen: Instant = BEGIN) -> Node:
    return Node(
        id=name,
        session=name,
        host="h",
        pid=1,
        version="1",
        started_at=0,
        tzdata="t",
        concurrency=4,
        offers=frozenset({SHELL}),
        last_seen_at=seen,
    )


NODES = [node("n1"), node("n2"), node("n3")]


def looked(among: list[Node], now: Instant, instant: Instant, left: set[str]) -> Share:
    """What n1 sees at a time of jobs of one instant, of which these still wait."""
    share = Share("n1", among, now)
    for job in left:
        share.first(job, SHELL, instant, None)
    return share


def silenced(clock: ManualClock) -> Punctuality:
    """n1 has begun its jobs of an instant at once, n3 its own too, and n2 none."""
    instant = clock.now() + SECOND
    punctual = Punctuality(clock)
    share = looked(punctual.among(NODES), clock.now(), instant, set(JOBS))
    assert not punctual.judge(share, clock.now())
    whose = {job: winner for winner, jobs in shares(NODES).items() for job in jobs}
    clock.advance(SECOND)
    punctual.began(instant, clock.now() + 5)
    assert punctual.judges_at == instant + max(SOON, TIMES * 5)
    clock.advance(punctual.judges_at - instant)
    waiting = {job for job in JOBS if whose[job] == "n2"}
    assert len(waiting) > 1
    share = looked(punctual.among(NODES), clock.now(), instant, waiting)
    assert punctual.judge(share, clock.now())
    return punctual


def shares(nodes: list[Node]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {each.id: [] for each in nodes}
    for job in JOBS:
        (winner,) = [
            each.id
            for each in nodes
            if Share(each.id, nodes, BEGIN).first(job, SHELL, BEGIN + SECOND, None)
        ]
        found[winner].append(job)
    return found


def names(nodes: list[Node]) -> list[str]:
    return [each.id for each in nodes]


def test_who_has_begun_nothing_when_others_could_have_several_times_is_not_waited_for():
    clock = ManualClock(BEGIN)
    assert names(silenced(clock).among(NODES)) == ["n1", "n3"]


def test_who_is_silent_is_waited_for_again_only_after_it_was_heard_of():
    clock = ManualClock(BEGIN)
    punctual = silenced(clock)
    clock.advance(5 * SILENT)
    assert names(punctual.among(NODES)) == ["n1", "n3"]
    heard = [each if each.id != "n2" else replace(each, last_seen_at=clock.now()) for each in NODES]
    assert names(punctual.among(heard)) == ["n1", "n2", "n3"]
    assert names(punctual.among(NODES)) == ["n1", "n2", "n3"]


def test_who_was_heard_of_is_not_waited_for_so_soon():
    clock = ManualClock(BEGIN)
    punctual = silenced(clock)
    heard = [node("n1"), node("n2", BEGIN + 1), node("n3")]
    assert names(punctual.among(heard)) == ["n1", "n3"]


def test_a_silent_node_that_has_gone_is_forgotten():
    clock = ManualClock(BEGIN)
    punctual = silenced(clock)
    assert names(punctual.among([NODES[0], NODES[2]])) == ["n1", "n3"]
    assert names(punctual.among(NODES)) == ["n1", "n2", "n3"]
