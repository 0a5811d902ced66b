"""Decide whose turn it is when more jobs wait than may start.

Schedules (and handlers that jobs were submitted to) take turns, one job each; within one the oldest
is first. So thousands of jobs of one schedule hold up the others by a turn, and not by thousands.
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from synccron.model.job import Candidate


def in_turn(candidates: Sequence[Candidate], served: AbstractSet[str]) -> list[Candidate]:
    """Order candidates, which come earliest first.

    The first of each line comes before the second of any; lines that were `served` in this round
    come after all others.
    """
    seen: Counter[str] = Counter()
    ranks: dict[str, tuple[bool, int]] = {}
    for each in candidates:
        line = each.job.line
        ranks[each.job.id] = line in served, seen[line]
        seen[line] += 1
    return sorted(candidates, key=lambda each: ranks[each.job.id])


class Round:
    """Whose turn it was on a node: `served` are the lines that began a job in this round.

    `besides` are lines that it need not look at: they had their turn, and others wait for theirs.
    A single line that waits, however long, costs nothing.
    """

    def __init__(self) -> None:
        self.served: set[str] = set()
        self._contended = False

    @property
    def besides(self) -> frozenset[str]:
        """The lines that have to wait for the next round."""
        return frozenset(self.served) if self._contended else frozenset()

    def next(self, waited: AbstractSet[str], *, full: bool) -> bool:
        """Note which lines waited, and whether the node is full; whether a new round begins.

        It does when there is room left: whoever waited for his turn had it.
        """
        if full:
            self._contended = self._contended or len(waited) > 1
            return False
        again = self._contended
        self.served.clear()
        self._contended = False
        return again
