"""The short form of the simulation: `make simulate` plays ten thousand runs."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from synccron.model.time import SECOND
from tests.simulation import broken
from tests.simulation.simulate import play, shrink
from tests.simulation.steps import Setting, Step, draw, shown
from tests.simulation.world import WHOLE, Build, World

RUNS = int(os.environ.get("SYNCCRON_RUNS", "240"))
PIECES = 12
BOUND = 100  # seeds within which a broken build is seen


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_law_breaks_in_runs_of_whole_nodes(piece: int) -> None:
    for seed in range(piece, RUNS, PIECES):
        setting, steps = draw(seed)
        found = play(setting, steps).violations
        assert not found, "\n".join([f"seed {seed}", shown(setting, steps), *map(str, found)])


def deeds_of(seed: int) -> str:
    setting, steps = draw(seed)
    world = World(setting)
    world.begin()
    for step in steps:
        world.take(step)
    world.rest()
    return repr((world.deeds, world.decided, world.clock.now(), world.memory.state.mark))


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_gives_the_same_run_in_any_process(seed: int) -> None:
    words = f"from tests.simulation.test_simulate import deeds_of; print(deeds_of({seed}))"
    other = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": "."},
        capture_output=True,
        check=True,
        text=True,
    )
    assert other.stdout.strip() == deeds_of(seed)


@pytest.mark.parametrize(
    ("build", "laws"),
    [
        (Build(store=broken.NoEpoch), {"a deposed leader changes nothing"}),
        (Build(store=broken.NoKey), {"one job per slot", "no slot vanishes"}),
        (Build(store=broken.EarlyCursor), {"no slot vanishes"}),
        (Build(store=broken.BlindClaim), {"one settlement"}),
        (Build(store=broken.UnguardedOverlap), {"no overlap", "one settlement"}),
        (Build(store=broken.UnguardedSettle), {"one settlement"}),
        (Build(store=broken.Forgetful), {"durable"}),
        (Build(handlers=broken.Leaking), {"nothing is left behind"}),
    ],
    ids=lambda each: (
        ""
        if isinstance(each, set)
        else (each.store.__name__ if each.handlers is WHOLE.handlers else each.handlers.__name__)
    ),
)
def test_a_broken_build_is_seen_within_a_hundred_runs(build: Build, laws: set[str]) -> None:
    for seed in range(BOUND):
        found = play(*draw(seed), build).violations
        if laws & {each.law for each in found}:
            return
    pytest.fail(f"{BOUND} runs, and it was not seen")


def test_a_run_that_fails_is_made_short_and_still_fails() -> None:
    build = Build(store=broken.Forgetful)
    setting, steps = draw(0)

    def fails(setting: Setting, steps: Sequence[Step]) -> bool:
        return bool(play(setting, steps, build).violations)

    short, left = shrink(setting, steps, fails)
    assert fails(short, left)
    assert len(left) <= 2 < len(steps)
    assert len(short.names) == 1


# Runs that broke a law once, made short by `make simulate`.


def test_a_narrow_node_comes_to_a_forced_run_that_was_given_back_and_to_the_slots_behind() -> None:
    setting = Setting(seed=1261, names=("queue",), nodes=1, cluster=True, concurrency=1)
    steps = (
        Step("user", "force", ("queue", 8)),
        Step("all", "passes", (3 * SECOND,)),
        Step("n1", "term", (500,)),
    )
    assert play(setting, steps).violations == ()
