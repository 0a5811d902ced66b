"""Let a cluster live for long while things break at random: `make soak MINUTES=60 STORE=etcd`.

Three nodes, judged by the laws every few minutes; at the end it says whether memory, descriptors,
the store or lateness have grown. It leaves nothing running. What the nodes have written is kept
where a law broke.
"""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from synccron.client import Client
from tests.etcd import Members
from tests.faults.chaos import LEASE, NODE_LEASE, clock_of
from tests.faults.field import playing, register, settle_down
from tests.faults.life import KEPT, Life, schedules
from tests.faults.paper import report
from tests.faults.shifted import Shift, ShiftedClock


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Read the words, soak, and print the report; 1: a law broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--store", choices=("sqlite", "etcd"), default="sqlite")
    parser.add_argument("--seed", type=int, default=None)
    words = parser.parse_args()
    seed = secrets.randbits(32) if words.seed is None else words.seed
    folder = Path(tempfile.mkdtemp(prefix="synccron-soak-"))
    tell(f"soaking {words.store} for {words.minutes:g} min, seed {seed}, in {folder}")
    with ExitStack() as stack:
        members = None
        if words.store == "etcd":
            members = Members(3)
            stack.callback(members.close)
            members.start()
        cables = stack.enter_context(ExitStack())  # nodes end before what they reach etcd through
        store = members.url() if members else str(folder / "synccron.db")
        made = stack.enter_context(playing(folder, store, (f"{LEASE:.0f}s", f"{NODE_LEASE:.0f}s")))
        made.options = ("--retention-jobs", str(KEPT), "--concurrency", "8")
        register(made, schedules(folder))
        # Commands of the nodes' host see its clock.
        clock = ShiftedClock(Shift(clock_of(folder, "client", members)))
        client = stack.enter_context(Client(store, clock=clock))
        life = Life(made, clock, members, client, seed, tell)
        cables.callback(life.ground.close)

        def stop(*_: object) -> None:
            life.end_at = 0.0

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        life.live(words.minutes)
        settle_down(client, life.names)
        life.settle()
        lived = life.age / 60
    left = made.left()
    life.broken += [f"nothing is left running: {each}" for each in left]
    told = report(life, words.store, seed, lived)
    print(told)
    if life.broken:
        (folder / "report.md").write_text(told)
        tell(f"what it wrote is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
