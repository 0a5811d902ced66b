"""Whose job is whose: which a node takes first, and who is not waited for.

The order of the nodes of a job is the model's; here is what a node knows of the others.
"""

from collections.abc import Sequence

from synccron.clock import Clock
from synccron.model.admit import ELSEWHERE, comes_to, foremost
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.model.time import SECOND, Duration, Instant

SOME = 8  # jobs of a node by which it is judged at an instant
FEW = 2  # and of how many less nobody is judged
SILENT: Duration = 10 * SECOND  # for how long, at least, a silent node is nobody's first
SOON: Duration = 25  # a node that has begun nothing is silent after this, in ms, or
TIMES = 4  # after so many times what the own first claims took, where that is more


class Share:
    """Which jobs are this node's to take first, and which of the others' it may take by now.

    `late`: there are such; `next` is when its turn comes for one that it leaves to others now.
    `due` are other nodes' jobs whose instant has come, `coming` some of those to come, by instant
    and node. `bound`: this node runs some commands alone.
    """

    def __init__(
        self, node: str, others: Sequence[Node], now: Instant, *, bound: bool = False
    ) -> None:
        self._node = node
        self._bound = bound
        self._nodes = {each.id: each.offer for each in others if each.live}
        self._offering: dict[str, list[str]] = {}
        self._now = now
        self.due: set[str] = set()
        self.coming: dict[Instant, dict[str, list[str]]] = {}
        self.late = False
        self.next: Instant | None = None

    def first(self, job_id: str, needs: str, run_at: Instant, failed: str | None) -> bool:
        """Tell whether a job is this node's before any other's."""
        at = self._at(job_id, needs, run_at, failed)
        if at == run_at:
            return True
        if run_at <= self._now:
            self.due.add(job_id)
        else:
            self._note(job_id, needs, run_at, failed)
        if at <= self._now:
            self.late = True
        else:
            self.next = at if self.next is None else min(at, self.next)
        return False

    def foremost(self, job: Job) -> str | None:
        """Tell whose a job is before any other's."""
        return foremost(job.id, self._offerers(job.needs), job.failed_on)

    def left(self, job_id: str, needs: str, run_at: Instant, failed: str | None) -> bool:
        """Tell whether this node may take a job that those before it have left."""
        return run_at < self._at(job_id, needs, run_at, failed) <= self._now

    def _note(self, job_id: str, needs: str, run_at: Instant, failed: str | None) -> None:
        whose = foremost(job_id, self._offerers(needs), failed)
        some = self.coming.setdefault(run_at, {}).setdefault(whose or self._node, [])
        if len(some) < SOME:
            some.append(job_id)

    def _at(self, job_id: str, needs: str, run_at: Instant, failed: str | None) -> Instant:
        nodes = self._offerers(needs)
        last = self._bound and self._node not in nodes and bool(nodes)
        return comes_to(job_id, run_at, nodes, self._node, self._now, failed, last=last)

    def _offerers(self, needs: str) -> list[str]:
        nodes = self._offering.get(needs)
        if nodes is None:
            able = [name for name, offer in self._nodes.items() if needs in offer.needs]
            # Whoever runs some commands alone comes after those that run all: nobody waits for it.
            free = [name for name in able if not self._nodes[name].bounds(needs)]
            nodes = self._offering[needs] = free or able
        return nodes


class Punctuality:
    """Which nodes have let their jobs wait: they are nobody's first for a while.

    One that dies is known to the store when its lease ends. Until then it would hold up its part of
    the jobs of each second by a fifth of one. So those who share an instant with it look: a node
    that has begun none of its jobs, when this one had time to begin its own several times over, is
    not waited for. It may be slow and not dead: then both try, and one is refused.

    `_expected` are jobs of the others at the instant to come; `judges_at` is when to look.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: dict[str, tuple[int, Instant | None]] = {}
        self._heard: dict[str, Instant | None] = {}
        self._expected: tuple[Instant, dict[str, list[str]]] | None = None
        self.judges_at: Instant | None = None

    def among(self, nodes: Sequence[Node]) -> list[Node]:
        """Give the nodes that are waited for."""
        now = self._clock.monotonic()
        self._heard = {each.id: each.last_seen_at for each in nodes}
        self._silent = {
            name: (until, heard)
            for name, (until, heard) in self._silent.items()
            if name in self._heard and (until > now or self._heard[name] == heard)
        }
        return [each for each in nodes if each.id not in self._silent]

    def left(self, node: str | None) -> None:
        """Note that a node has let a job wait for others to take it."""
        if node is not None:
            self._silent[node] = self._clock.monotonic() + SILENT, self._heard.get(node)

    def began(self, instant: Instant, now: Instant) -> None:
        """Note when this node had begun its own jobs of an instant."""
        if self._expected is not None and self._expected[0] == instant:
            patience = max(SOON, TIMES * (now - instant))
            self.judges_at = instant + patience if patience < ELSEWHERE else None

    def judge(self, share: Share, now: Instant) -> bool:
        """Look who is silent, where it is time; whether anybody is."""
        silent: list[str] = []
        if self.judges_at is not None and now >= self.judges_at and self._expected is not None:
            for node, jobs in self._expected[1].items():
                if len(jobs) >= FEW and share.due.issuperset(jobs):
                    silent.append(node)
                    self.left(node)
            self.judges_at = None
        if self.judges_at is None and share.coming:
            self._expected = min(share.coming.items())
        return bool(silent)
