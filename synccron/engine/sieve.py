"""What of the jobs that wait this node may run: of commands, those that its patterns permit.

Stores compare what a job needs, and do not know its command. So it is looked at after it was read,
and its line is not asked for again for a moment: however many wait for others, they hide nothing.
"""

from collections.abc import Sequence

from synccron.clock import Clock
from synccron.model.job import Candidate
from synccron.model.needs import SHELL, handler_in
from synccron.model.permit import Offer, permitted
from synccron.model.time import SECOND, Duration, Instant
from synccron.store.base import Mine

AGAIN: Duration = SECOND  # a schedule may have been given another command


class Sieve:
    """Lets through what a node may run. `_lines` are left to others until `_until` (monotonic)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: set[str] = set()
        self._until = 0

    @property
    def lines(self) -> frozenset[str]:
        """The lines that are left to others for now."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._lines.clear()
            self._until = now + AGAIN
        return frozenset(self._lines)

    def sift(self, candidates: Sequence[Candidate], offer: Offer) -> Sequence[Candidate]:
        """Give those that this node may run, and remember whose the others are."""
        if offer.allow_run is None:
            return candidates
        kept = [each for each in candidates if not _for_others(each, offer)]
        self._lines |= {each.job.line for each in candidates} - {each.job.line for each in kept}
        return kept

    def mine(self, mine: Mine) -> Mine:
        """Ask no more for intentions of schedules that are left to others."""
        if not self._lines:
            return mine

        def asked(job_id: str, needs: str, run_at: Instant, failed: str | None) -> bool:
            # A slot's id is its schedule's, which has no colon, and the slot.
            schedule, _, slot = job_id.partition(":")
            if schedule in self._lines and ":" not in slot:
                return False
            return mine(job_id, needs, run_at, failed)

        return asked


def _for_others(candidate: Candidate, offer: Offer) -> bool:
    """Tell whether it is a command that this node leaves to others.

    One that needs a handler, and is a command all the same, is no honest record: it is let through,
    and fails where it would be started. Not so an intention, whose schedule may have changed.
    """
    job, definition = candidate.job, candidate.definition
    if definition is None or definition.run is None or permitted(offer.allow_run, definition.run):
        return False
    return job.intention or handler_in(job.needs) == SHELL
