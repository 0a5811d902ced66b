"""Whose turn it is when more jobs wait than may start."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.model.job import Candidate
from synccron.model.turns import Round, in_turn
from tests.make import NOW, candidate, job

quick = settings(deadline=None, derandomize=True, max_examples=150)


def waits(line: str, run_at: int) -> Candidate:
    return candidate(
        each=job(id=f"manual:{line}:{run_at}", kind="manual", schedule_id=line, run_at=run_at)
    )


def test_the_first_of_each_line_comes_before_the_second_of_any_and_the_oldest_first():
    found = [waits("a", NOW), waits("a", NOW + 1), waits("b", NOW + 2), waits("a", NOW + 3)]
    order = [(each.job.line, each.job.run_at - NOW) for each in in_turn(found, set())]
    assert order == [("a", 0), ("b", 2), ("a", 1), ("a", 3)]
    assert [each.job.line for each in in_turn(found, {"a"})] == ["b", "a", "a", "a"]


def test_jobs_of_a_handler_without_a_schedule_are_one_line():
    one = waits("a", NOW)
    free = replace(one, job=replace(one.job, schedule_id=None, needs="h"))
    assert free.job.line == "submit:h"


def test_a_line_that_waits_alone_has_never_to_wait_for_a_round():
    turns = Round()
    for _ in range(3):
        turns.served.add("a")
        assert not turns.next({"a"}, full=True)
        assert turns.besides == frozenset()


def test_a_round_ends_when_there_is_room_left():
    turns = Round()
    turns.served.add("a")
    turns.next({"a", "b"}, full=True)
    assert turns.besides == {"a"}
    turns.served.add("b")
    turns.next({"b"}, full=True)
    assert turns.besides == {"a", "b"}
    assert turns.next(set(), full=False)
    assert turns.besides == frozenset()
    assert not turns.next(set(), full=False)


class Desk:
    """A node with some places, and lines of jobs that wait for them."""

    def __init__(self, places: int) -> None:
        self.free = places
        self.turns = Round()
        self.queues: dict[str, list[Candidate]] = {}

    def turn(self) -> list[str]:
        """What starts, as the worker does it: read, order, start, note."""
        found: list[Candidate] = []
        for line, queue in self.queues.items():
            if line not in self.turns.besides:
                found += queue[: max(1, self.free)]
        found.sort(key=lambda each: each.job.run_at)
        begun = in_turn(found, self.turns.served)[: self.free]
        for each in begun:
            self.queues[each.job.line].remove(each)
        self.free -= len(begun)
        lines = [each.job.line for each in begun]
        self.turns.served.update(lines)
        again = self.turns.next({each.job.line for each in found}, full=self.free == 0)
        return lines + (self.turn() if again else [])


@quick
@given(
    places=st.integers(1, 4),
    backlogs=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    ends=st.lists(st.integers(1, 4), min_size=5, max_size=30),
)
def test_a_new_job_of_a_line_starts_before_any_other_line_has_started_three(places, backlogs, ends):
    desk = Desk(places)
    for n, length in enumerate(backlogs):
        desk.queues[f"old-{n}"] = [waits(f"old-{n}", NOW + 100 * n + k) for k in range(length)]
    desk.turn()
    desk.turn()
    desk.queues["new"] = [waits("new", NOW + 10**6)]
    started: Counter[str] = Counter()
    for ended in ends:
        desk.free = min(places, desk.free + ended)
        lines = desk.turn()
        if "new" in lines:
            lines = lines[: lines.index("new")]
        started.update(lines)
        if not desk.queues["new"]:
            break
    assert not desk.queues["new"] or sum(ends) <= 2 * len(backlogs) * places
    assert max(started.values(), default=0) <= 2


@quick
@given(
    places=st.integers(1, 4),
    backlogs=st.lists(st.integers(1, 30), min_size=1, max_size=4),
)
def test_all_that_waits_starts(places, backlogs):
    desk = Desk(places)
    for n, length in enumerate(backlogs):
        desk.queues[f"line-{n}"] = [waits(f"line-{n}", NOW + 31 * n + k) for k in range(length)]
    for _ in range(sum(backlogs) + 1):
        desk.turn()
        desk.free = places
    assert not any(desk.queues.values())
