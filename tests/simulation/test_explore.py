"""The short form of the exploration: `make explore` goes on for a million steps."""

import os

import pytest

from tests.simulation.explore import Broken, begin, of_peer, of_world, orders, starts, take, walk

WALKS = int(os.environ.get("SYNCCRON_WALKS", "60"))
DEPTH = int(os.environ.get("SYNCCRON_DEPTH", "4"))


@pytest.mark.parametrize("seed", range(WALKS))
def test_no_law_breaks_on_a_random_walk_of_two_nodes_and_a_person(seed: int) -> None:
    assert walk(seed) >= 100


@pytest.mark.parametrize(("name", "number"), [(each[0], n) for n, each in enumerate(starts())])
def test_no_law_breaks_in_any_order_of_steps(name: str, number: int) -> None:
    _, world, steps = list(starts())[number]
    assert orders(world, steps, DEPTH) > 0, name


def test_the_explorer_sees_a_law_that_breaks() -> None:
    world = begin(["each"])
    for step in (of_peer(0, "look"), of_peer(0, "dispatch"), of_world("tick", 1000)):
        take(world, step)
    state = world.memory.state
    state.open.pop(next(iter(state.open)))
    state.jobs.pop(next(iter(state.jobs)))
    with pytest.raises(Broken, match=r"no slot vanishes(.|\n)*n1.look\nn1.dispatch"):
        world.judge()
