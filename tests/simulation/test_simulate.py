"""The short form of the simulation: `make simulate` plays ten thousand runs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from synccron.engine.worker import Worker
from synccron.model.time import SECOND
from tests.simulation import broken
from tests.simulation.places import in_memory, on_disk
from tests.simulation.simulate import play, shrink
from tests.simulation.steps import Meeting, Setting, Step, draw, shown
from tests.simulation.world import Build, World

RUNS = int(os.environ.get("SYNCCRON_RUNS", "240"))
PIECES = 12
ON_DISK = 4
BOUND = 100  # seeds within which a broken build is seen


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_law_breaks_in_runs_of_whole_nodes(piece: int) -> None:
    for seed in range(piece, RUNS, PIECES):
        setting, steps = draw(seed)
        found = play(setting, steps).violations
        assert not found, "\n".join([f"seed {seed}", shown(setting, steps), *map(str, found)])


def sightings_of(seed: int) -> str:
    setting, steps = draw(seed)
    world = World(setting)
    world.begin()
    for step in steps:
        world.take(step)
    world.rest()
    return repr((world.sightings, world.decided, world.clock.now(), world.place.mark()))


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_gives_the_same_run_in_any_process(seed: int) -> None:
    words = f"from tests.simulation.test_simulate import sightings_of; print(sightings_of({seed}))"
    other = subprocess.run(
        [sys.executable, "-c", words],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": "."},
        capture_output=True,
        check=True,
        text=True,
    )
    assert other.stdout.strip() == sightings_of(seed)


@pytest.mark.parametrize(
    ("build", "laws"),
    [
        (Build(place=in_memory(broken.NoEpoch)), {"a deposed leader changes nothing"}),
        (Build(place=in_memory(broken.NoKey)), {"one job per slot", "no slot vanishes"}),
        (Build(place=in_memory(broken.EarlyCursor)), {"no slot vanishes"}),
        (Build(place=in_memory(broken.BlindClaim)), {"one settlement"}),
        (Build(place=in_memory(broken.UnguardedOverlap)), {"no overlap", "one settlement"}),
        (Build(place=in_memory(broken.UnguardedSettle)), {"one settlement"}),
        (Build(place=in_memory(broken.Forgetful)), {"durable"}),
        (Build(handlers=broken.Leaking), {"nothing is left behind"}),
    ],
    ids=["epoch", "key", "cursor", "claim", "overlap", "token", "durable", "left"],
)
def test_a_broken_build_is_seen_within_a_hundred_runs(build: Build, laws: set[str]) -> None:
    for seed in range(BOUND):
        found = play(*draw(seed), build).violations
        if laws & {each.law for each in found}:
            return
    pytest.fail(f"{BOUND} runs, and it was not seen")


def test_a_node_that_begins_a_claim_each_time_it_is_given_is_seen_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Worker, "_begun", lambda _: set())
    test_a_broken_build_is_seen_within_a_hundred_runs(Build(), {"one settlement"})


@pytest.mark.parametrize("seed", range(ON_DISK))
def test_no_law_breaks_in_the_same_runs_on_sqlite(seed: int, tmp_path: Path) -> None:
    setting, steps = draw(seed)
    found = play(setting, steps, Build(place=on_disk(tmp_path))).violations
    assert not found, "\n".join([shown(setting, steps), *map(str, found)])


def test_on_sqlite_a_write_of_a_term_that_is_over_is_seen_where_none_is_compared(
    tmp_path: Path,
) -> None:
    setting = Setting(seed=1, names=("each", "all"), nodes=2, ahead=0)
    late = Meeting("dispatch", "held", (Step("all", "passes", (1500,)),))
    steps = (
        Step("all", "passes", (2 * SECOND,)),
        Step("all", "meets", (), (late,)),
        Step("n1", "meets", (), (Meeting("campaign", "unreachable"),) * 12),
        Step("all", "passes", (8 * SECOND,)),
    )
    found = play(setting, steps, Build(place=on_disk(tmp_path, broken.AnyTerm))).violations
    assert "a deposed leader changes nothing" in {each.law for each in found}


def test_on_sqlite_a_late_result_is_seen_where_no_token_is_compared(tmp_path: Path) -> None:
    setting = Setting(seed=4, names=("each",), nodes=2)
    steps = (
        Step("all", "passes", (3500,)),
        Step("n1", "freeze"),
        Step("all", "passes", (6 * SECOND,)),
        Step("n1", "wake"),
        Step("all", "passes", (3 * SECOND,)),
    )
    found = play(setting, steps, Build(place=on_disk(tmp_path, broken.AnyToken))).violations
    assert "one settlement" in {each.law for each in found}


def test_a_run_that_fails_is_made_short_and_still_fails() -> None:
    build = Build(place=in_memory(broken.Forgetful))
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
