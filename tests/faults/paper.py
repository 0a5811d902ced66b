"""The paper of a soak, in markdown: what happened, how soon all was well again, what has grown."""

import os
import platform
from collections import Counter
from collections.abc import Iterator, Sequence

from synccron import __version__
from tests.faults.chaos import LEASE, NODE_LEASE
from tests.faults.life import Life
from tests.faults.measure import Taken, median, share, slope

SETTLED = 300.0  # seconds after which a process should take no more: its caches are filled
MIB = 1 << 20


def report(life: Life, kind: str, seed: int, minutes: float) -> str:
    """Say in markdown what has happened and what has grown."""
    return "\n".join(
        [
            f"### Three nodes on {kind}, {minutes:.0f} minutes",
            "",
            f"synccron {__version__}, Python {platform.python_version()}, {os.cpu_count()} cores.",
            f"Seed {seed}, leases of {LEASE:.0f} s and {NODE_LEASE:.0f} s.",
            "",
            "| fault | | times | well again after: median | worst |",
            "|---|---|---|---|---|",
            *_faults(life),
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in _results(life)),
            "",
            *(f"- {each}" for each in life.broken),
        ]
    )


def _faults(life: Life) -> Iterator[str]:
    for each in life.recoveries.values():
        if each.took:
            yield (
                f"| {each.fault.number} | {each.fault.name} | {len(each.took)}"
                f" | {median(each.took):.1f} s | {max(each.took):.1f} s |"
            )


def _results(life: Life) -> Iterator[tuple[str, str]]:
    missed: Counter[str] = Counter()
    for (_, _, reason), count in life.missed.items():
        missed[reason] += count
    outcomes = life.attempts
    yield "faults", str(life.times())
    yield "judgements", str(life.rounds)
    yield "slots judged", f"{len(life.slots) + sum(missed.values()):,}"
    yield "of them run", f"{len(life.slots):,}"
    yield "of them missed", ", ".join(f"{n:,} {reason}" for reason, n in missed.items()) or "none"
    yield "attempts, by their end", ", ".join(f"{n:,} {name}" for name, n in outcomes.items())
    yield (
        "triggers acknowledged, each sent twice",
        f"{len(life.orders.acknowledged):,} ({life.orders.refused} calls were not, and repeated)",
    )
    yield "nodes ended as they held the store's lock when stopped", str(life.ground.ended)
    yield "attempts beside another, whose lease was revoked by hand", str(life.by_hand)
    yield "**laws broken**", f"**{len(life.broken)}**"
    yield from _growth(life)


def _growth(life: Life) -> Iterator[tuple[str, str]]:
    (name, _), all_of_it = max(life.lives.items(), key=lambda each: each[1][-1].at - each[1][0].at)
    lived = all_of_it[-1].at - all_of_it[0].at
    grown = [each for each in all_of_it if each.at - all_of_it[0].at >= min(SETTLED, lived / 4)]
    memory = [(each.at, each.memory / MIB) for each in grown]
    yield f"{name}, its heir and guardian, alive for", f"{lived / 60:.0f} min"
    yield "memory at the beginning, when settled, at the end", _three(all_of_it, grown)
    yield "growth of memory, by a line through all of it", f"{slope(memory):+.2f} MiB/h"
    half = memory[len(memory) // 2 :]
    yield "growth of memory in the second half", f"{slope(half):+.2f} MiB/h"
    yield "descriptors", _between([each.descriptors for each in grown])
    yield "threads", _between([each.threads for each in grown])
    sizes = [(at, size / MIB) for at, size in life.sizes]
    half = sizes[len(sizes) // 2 :]
    yield (
        "size of the store, at the end and at most",
        (f"{sizes[-1][1]:.1f} MiB, {max(size for _, size in sizes):.1f} MiB"),
    )
    yield "growth of the store in the second half", f"{slope(half):+.2f} MiB/h"
    third = max(1, len(life.late) // 3)
    for part, rounds in (("first", life.late[:third]), ("last", life.late[-third:])):
        late = [each for one in rounds for each in one]
        told = ", ".join(f"p{int(100 * p)} {share(late, p):.0f} ms" for p in (0.5, 0.9))
        yield f"lateness of starts in the {part} third", told


def _three(whole: Sequence[Taken], grown: Sequence[Taken]) -> str:
    return ", ".join(f"{each.memory / MIB:.1f} MiB" for each in (whole[0], grown[0], whole[-1]))


def _between(values: Sequence[int]) -> str:
    return f"{values[0]} when settled, {values[-1]} at the end, {max(values)} at most"
