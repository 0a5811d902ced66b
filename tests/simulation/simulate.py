"""Play runs drawn from seeds, and make one that fails short: `make simulate`.

Each run is its seed: the same steps, the same end. A run that breaks a law is printed with fewer
steps that still break it, by delta debugging; keep those in `test_simulate.py`.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synccron.clock import SystemClock
from synccron.model.ledger import Violation
from tests.simulation.steps import Setting, Step, draw, shown
from tests.simulation.world import WHOLE, Build, World

Fails = Callable[[Setting, Sequence[Step]], bool]
TOLD = 1000  # runs between two lines of progress


@dataclass(frozen=True, slots=True)
class Played:
    """What a run did: what broke, and how much of it there was."""

    violations: tuple[Violation, ...]
    slots: int
    attempts: int


def play(setting: Setting, steps: Sequence[Step], build: Build = WHOLE) -> Played:
    """Take the steps of a run from its beginning, come to rest, and judge."""
    world = World(setting, build)
    try:
        world.begin()
        for step in steps:
            world.take(step)
        found = world.rest()
    finally:
        world.place.close()
    return Played(found, world.slots, sum(not sighting.ended for sighting in world.sightings))


def shrink(setting: Setting, steps: Sequence[Step], fails: Fails) -> tuple[Setting, list[Step]]:
    """Give a part of a run that fails, too, and of which nothing can be left out."""
    left = _fewer(setting, list(steps), fails)
    for place in range(len(left)):
        bare = [*left[:place], replace(left[place], meets=()), *left[place + 1 :]]
        if left[place].meets and fails(setting, bare):
            left = bare
    for name in setting.names:
        without = replace(setting, names=tuple(each for each in setting.names if each != name))
        asked = any(name in str(step) for step in left)
        if without.names and not asked and fails(without, left):
            setting = without
    plain = replace(setting, off=(0,) * len(setting.off))
    return (plain if fails(plain, left) else setting), _fewer(setting, left, fails)


def _fewer(setting: Setting, left: list[Step], fails: Fails) -> list[Step]:
    """Leave out ever smaller pieces (https://doi.org/10.1109/32.988498)."""
    size = max(1, len(left) // 2)
    while size:
        place = 0
        while place < len(left):
            without = left[:place] + left[place + size :]
            if fails(setting, without):
                left = without
            else:
                place += size
        size //= 2
    return left


def shortened(seed: int, build: Build = WHOLE) -> str:
    """Write the short form of a seed's run that fails, for people."""
    setting, steps = draw(seed)
    laws = {each.law for each in play(setting, steps, build).violations}

    def fails(setting: Setting, steps: Sequence[Step]) -> bool:
        return any(each.law in laws for each in play(setting, steps, build).violations)

    short, left = shrink(setting, steps, fails)
    found = "\n".join(map(str, play(short, left, build).violations))
    return f"seed {seed}:\n{shown(short, left)}\n{found}"


def _play_all(seeds: range) -> int:
    """Play these; prints a line for so many, and the short form of what failed."""
    failed = slots = attempts = 0
    for number, seed in enumerate(seeds, 1):
        played = play(*draw(seed))
        slots, attempts = slots + played.slots, attempts + played.attempts
        if played.violations:
            failed += 1
            print(shortened(seed), flush=True)
        if number % TOLD == 0 or number == len(seeds):
            print(f"played {number} runs, {slots} slots, {attempts} attempts", flush=True)
    print(f"sums {len(seeds)} {slots} {attempts} {failed}", flush=True)
    return 1 if failed else 0


def main() -> int:
    """Play many runs, in as many processes as are asked for."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seeds", type=int, default=10_000, help="how many")
    words.add_argument("--first", type=int, default=0, help="the first of them")
    words.add_argument("--step", type=int, default=1, help="from one to the next")
    words.add_argument("--processes", type=int, default=1)
    given = words.parse_args()
    end = given.first + given.seeds * given.step
    if given.processes == 1:
        return _play_all(range(given.first, end, given.step))
    clock = SystemClock()
    begun = clock.monotonic()
    playing = []
    for number in range(given.processes):
        count = len(range(given.first + number, given.first + given.seeds, given.processes))
        numbers = (given.first + number, given.processes, count)
        first, step, seeds = map(str, numbers)
        asked = ["--first", first, "--step", step, "--seeds", seeds]
        one = [sys.executable, "-m", "tests.simulation.simulate", *asked]
        playing.append(subprocess.Popen(one, stdout=subprocess.PIPE, text=True))
    sums = [0, 0, 0, 0]
    for each in playing:
        for line in each.stdout or ():
            if line.startswith("sums "):
                told = map(int, line.split()[1:])
                sums = [one + other for one, other in zip(sums, told, strict=True)]
            elif not line.startswith("played "):
                print(line, end="", flush=True)
        each.wait()
    runs, slots, attempts, failed = sums
    took = (clock.monotonic() - begun) // 1000
    print(
        f"{runs} runs from seed {given.first} in {took} s: {slots} slots, {attempts} attempts,"
        f" {failed or 'no'} run{'' if failed == 1 else 's'} broke a law"
    )
    return 1 if failed or any(each.returncode for each in playing) else 0


if __name__ == "__main__":
    sys.exit(main())
