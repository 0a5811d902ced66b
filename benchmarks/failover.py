"""How late jobs begin when a node goes: the leader or another one, killed or stopped.

Three nodes on one store, schedules of every second. Again and again a node goes at a random moment;
the lateness of every slot of the 20 s after that is shown beside that of the calm seconds before.
What the node was running is excepted: it is taken up again, as a second attempt.
`python -m benchmarks.failover --times 50 --rows 1 4` is the long form of the rows that are named.
"""

import argparse
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.measure import Amount, percentile, table, until
from benchmarks.ontime import Mark, Nodes, playing, read
from synccron.client import Client

TITLE = "Lateness when a node goes"
NAMES = ("n1", "n2", "n3")
SCHEDULES = 100
AFTER = 20  # seconds that are looked at after a node has gone
CALM = 8  # seconds before it
WAYS = ("the leader, kill -9", "the leader, SIGTERM", "another node, kill -9")
CASES = [(kind, way) for kind in ("etcd", "SQLite") for way in WAYS]

HEAD = (
    *("store", "who goes", "times", "slots", "p50", "p99", "worst", "calm: p50", "p99", "worst"),
    *("p99 over calm", "lacking"),
)


@dataclass
class Lateness:
    """In ms, of the slots after a node went and of the calm ones; and slots that never began."""

    after: list[float] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    lacking: int = 0


def measure(kind: str, way: str, times: int) -> Lateness:
    """Let a node go so often; how late everything was."""
    luck, found = random.Random(way), Lateness()  # noqa: S311 - the same moments each time
    with playing(kind, NAMES, SCHEDULES) as (client, nodes, marks):
        for _ in range(times):
            threading.Event().wait(CALM + luck.random())
            at, name = time.time(), _go(client, nodes, way, luck)
            threading.Event().wait(AFTER + 2)
            _note(read(marks), at, found)
            nodes.start(name)
            until(lambda: len(client.nodes()) == len(NAMES))
    return found


def _go(client: Client, nodes: Nodes, way: str, luck: random.Random) -> str:
    leader = client.status().leader
    name = luck.choice([each for each in NAMES if each != leader])
    if way.startswith("the leader") and leader is not None:
        name = leader
    if way.endswith("SIGTERM"):
        nodes.stop(name)
    else:
        nodes.kill(name)
    return name


def _note(marks: list[Mark], at: float, found: Lateness) -> None:
    first = int(at) + 1
    slots = range(first, first + AFTER)
    begun = {(each.schedule, each.slot) for each in marks if each.slot in slots}
    found.lacking += SCHEDULES * AFTER - len(begun)
    found.after += [each.late for each in marks if each.slot in slots and each.attempt == 1]
    calm = range(first - CALM + 1, first - 1)
    found.calm += [each.late for each in marks if each.slot in calm and each.attempt == 1]


def compared(times: int, cases: Sequence[tuple[str, str]] = CASES) -> str:
    """Measure ways on stores, a row each."""
    rows = []
    for kind, way in cases:
        found = measure(kind, way, times)
        over = percentile(found.after, 0.99) - percentile(found.calm, 0.99)
        rows.append(
            [
                *(kind, way, str(times), str(len(found.after))),
                *(*_late(found.after), *_late(found.calm), f"{over:+.1f}", str(found.lacking)),
            ]
        )
        print(rows[-1], flush=True)
    return table(HEAD, rows)


def _late(values: list[float]) -> list[str]:
    return [f"{percentile(values, part):.1f}" for part in (0.5, 0.99, 1.0)]


def section(amount: Amount) -> str:
    times = amount.pick(3, 1)
    return (
        f"Three nodes, {SCHEDULES} schedules of every second, handlers in Python that do nothing; a node "
        f"goes so many times at random moments. From the slot to the first line of the handler, in ms: "
        f"all slots of the {AFTER} s after it, and the calm ones before.\n\n" + compared(times)
    )


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--times", type=int, default=50, help="how often each")
    words.add_argument("--rows", type=int, nargs="*", default=range(1, 1 + len(CASES)))
    asked = words.parse_args()
    print(compared(asked.times, [CASES[number - 1] for number in asked.rows]))
