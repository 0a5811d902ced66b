"""How fast a command starts, beside a bare Python."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Amount, Figure, figures, seconds_of
from synccron.client import Client, Schedule

TITLE = "Start of a command"


def section(amount: Amount) -> str:
    script = str(Path(sys.executable).with_name("synccron"))
    with tempfile.TemporaryDirectory(prefix="synccron-bench-") as folder:
        store = f"{folder}/start.db"
        with Client(store, create=True) as client:
            client.register(*(Schedule(id=f"s-{n}", cron="@hourly", run="true") for n in range(20)))
        commands = {
            "`synccron --version`": [script, "--version"],
            "`synccron ls`, 20 schedules": [script, "ls", "--store", store],
            "`synccron jobs`": [script, "jobs", "--store", store],
        }
        bare = [sys.executable, "-c", "pass"]
        rows = []
        for what, command in commands.items():
            subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
            )
            ours, limit = [], []
            for _ in range(amount.pick(15, 7)):
                ours.append(1000 * seconds_of(command))
                limit.append(1000 * seconds_of(bare))
            rows.append(Figure(what, "ms", ours, limit, "`python -c pass`"))
    return figures(rows)
