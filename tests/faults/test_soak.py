"""All of it at random: a short soak holds the laws, and says what it has measured."""

import subprocess
import sys

import pytest

from tests.faults.field import LONG, limit, trying

pytestmark = [pytest.mark.faults, limit(300)]


def test_a_cluster_lives_while_things_break_at_random() -> None:
    minutes, seed = (10, 35) if LONG else (0.3, 3)
    with trying(f"all at random for {minutes} min", "F35") as tried:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.faults.soak", "--store", "sqlite"),
                *("--minutes", str(minutes), "--seed", str(seed)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "| **laws broken** | **0** |" in done.stdout
        tried.times = 1
