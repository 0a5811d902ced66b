"""Prove from the kept revisions that each slot of a schedule has exactly one record (laws 1, 2).

The slots are recomputed; nothing is assumed of how the records came about. Records are taken in any
order, page by page, and merged where they follow each other: what is kept grows with the gaps
between them and not with the slots, so that a week of an every-second schedule takes no room.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from synccron.model.cron import FOREVER, Timetable, timetable
from synccron.model.job import Job, Miss
from synccron.model.schedule import Revision, Schedule
from synccron.model.time import Instant, format_instant

Law = Literal[
    "one job per slot",
    "no slot vanishes",
    "a deposed leader changes nothing",
    "at least once",
    "one settlement",
    "no overlap",
    "nothing is left behind",
    "durable",
    "service goes on",
]
NAMED = 100  # violations of one schedule that are named one by one
_PAGE = 1000  # spans that are kept before they are merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A law that did not hold, of what, and how it shows."""

    law: Law
    subject: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.law}: {self.subject}: {self.message}"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Records that follow each other without a gap: the first and last slot, and how many."""

    first: Instant
    last: Instant
    count: int


class Timeline:
    """The slots that a schedule had up to its cursor, by the rhythm of each time.

    A stretch goes from the first cursor of a cron and zone to where the next took over. A cursor
    that was reset into the past begins a stretch too. Raises CronError for a revision whose cron
    or zone cannot be read any more.
    """

    def __init__(self, schedule: Schedule, revisions: Iterable[Revision]) -> None:
        self.end = schedule.cursor.next
        kept = sorted(revisions, key=lambda revision: revision.version)
        # Those of before a removal are of another life: between the two there were no slots.
        born = max((each.version for each in kept if each.at == schedule.created_at), default=0)
        starts: list[Revision] = []
        for each in kept:
            if each.version < born:
                continue
            new = not starts or each.definition.rhythm != starts[-1].definition.rhythm
            if new or each.cursor < starts[-1].cursor:
                starts.append(each)
        self._stretches: list[tuple[Instant, Instant, Timetable]] = []
        self._since: list[tuple[Instant, int]] = []  # when each was registered, and as what version
        for place, each in enumerate(starts):
            end = min([self.end, *(later.at + 1 for later in starts[place + 1 :])])
            if each.cursor < end:
                made = each.definition
                table = timetable(made.cron, made.tz, made.id)
                self._stretches.append((each.cursor, end, table))
                self._since.append((each.at, each.version))
        self.start = min((first for first, _, _ in self._stretches), default=self.end)

    def count(self, first: Instant, last: Instant) -> int:
        """Count the slots from one instant to another, both included."""
        return sum(
            table.count(max(first, start) - 1, min(last, end - 1))
            for start, end, table in self._stretches
            if first < end and last >= start
        )

    def next(self, after: Instant) -> Instant:
        """Give the first slot after an instant; FOREVER: there is none."""
        for start, end, table in self._stretches:
            slot = table.next(max(after, start - 1))
            if slot < end:
                return slot
        return FOREVER

    def fits(self, span: Span, at: Instant, revision: int | None = None) -> bool:
        """Tell whether a record that was written at an instant counts the slots that it covers.

        A change of the rhythm also decides slots that had been written ahead of it, by the rhythm
        before: so a record that begins in a stretch may be counted by that one alone. And one that
        is older than the rhythm there counts otherwise: by its instant, or, where a clock was ahead
        of its time, by the `revision` that a job ran.
        """
        if self.count(span.first, span.last) == span.count:
            return True
        return any(
            start <= span.first < end
            and (
                at < since
                or (revision is not None and revision < version)
                or (end <= span.last and table.count(span.first - 1, span.last) == span.count)
            )
            for (start, end, table), (since, version) in zip(
                self._stretches, self._since, strict=True
            )
        )

    def knows(self, slot: Instant) -> bool:
        """Tell whether an instant lies in a stretch."""
        return any(start <= slot < end for start, end, _ in self._stretches)


class Ledger:
    """The records of one schedule's slots from an instant on, held against its timeline.

    `first` and `end` are what it covers, `jobs` and `missed` count the slots of either kind. Raises
    CronError for a revision whose cron or zone cannot be read any more.
    """

    def __init__(
        self, schedule: Schedule, revisions: Iterable[Revision], since: Instant = 0
    ) -> None:
        self._id = schedule.id
        self._timeline = Timeline(schedule, revisions)
        self.first = max(self._timeline.start, schedule.cursor.history_from, since)
        self.end = self._timeline.end
        self.jobs = 0
        self.missed = 0
        self._spans: list[Span] = []
        self._kept = 0  # of them, after the last merging
        self._wrong: list[Span] = []

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Take in jobs; those that no slot made say nothing."""
        for job in jobs:
            if job.kind == "slot" and job.slot is not None:
                self.jobs += self.first <= job.slot < self.end
                self._add(Span(job.slot, job.slot, 1), job.created_at, job.revision)

    def add_misses(self, misses: Iterable[Miss]) -> None:
        """Take in misses."""
        for miss in misses:
            self.missed += self._timeline.count(
                max(miss.first, self.first), min(miss.last, self.end - 1)
            )
            self._add(Span(miss.first, miss.last, miss.count), miss.recorded_at)

    def violations(
        self, first: Instant | None = None, end: Instant | None = None
    ) -> Iterator[Violation]:
        """Give what is not as it must be, from `first` up to `end` (as far as the ledger goes)."""
        start = max(self.first, first or 0)
        until = min(self.end, self.end if end is None else end)
        for span in sorted(self._wrong):
            if start <= span.first < until:
                yield self._miscounted(span)
        passed = start - 1
        for span in sorted(self._spans):
            if span.last < start or (end is not None and span.first >= until):
                continue
            if span.first <= passed:
                message = f"two records for {format_instant(span.first)}"
                yield Violation(law="one job per slot", subject=self._id, message=message)
            yield from self._gap(passed + 1, min(span.first, until) - 1)
            passed = max(passed, span.last)
        yield from self._gap(passed + 1, until - 1)

    def _add(self, span: Span, at: Instant, revision: int | None = None) -> None:
        if span.last < self.first:
            return
        if span.first < self.first:  # what it says of the time before, nobody can tell any more
            span = Span(self.first, span.last, self._timeline.count(self.first, span.last))
        elif not self._timeline.knows(span.first):
            pass  # beyond the cursor, or decided ahead of a change: it must not be there twice
        elif not self._timeline.fits(span, at, revision) and len(self._wrong) < NAMED:
            self._wrong.append(span)
        self._spans.append(span)
        if len(self._spans) >= _PAGE + self._kept:
            self._spans = self._merged(sorted(self._spans))
            self._kept = len(self._spans)

    def _merged(self, spans: Sequence[Span]) -> list[Span]:
        """Make one of spans that follow each other. The cost grows with the gaps between them."""
        if len(spans) < 2:  # noqa: PLR2004
            return list(spans)
        total = sum(span.count for span in spans)
        apart = all(before.last < after.first for before, after in pairwise(spans))
        first, last = spans[0].first, spans[-1].last
        if apart and self._timeline.count(first, last) == total:
            return [Span(first, last, total)]
        middle = len(spans) // 2
        return [*self._merged(spans[:middle]), *self._merged(spans[middle:])]

    def _gap(self, first: Instant, last: Instant) -> Iterator[Violation]:
        lacking = self._timeline.count(first, last) if last >= first else 0
        if lacking:
            named = format_instant(self._timeline.next(first - 1))
            message = f"{lacking} slots from {named} on have no record"
            yield Violation(law="no slot vanishes", subject=self._id, message=message)

    def _miscounted(self, span: Span) -> Violation:
        cron = self._timeline.count(span.first, span.last)
        message = (
            f"the record from {format_instant(span.first)} to {format_instant(span.last)} counts"
            f" {span.count} slots, its cron {cron}"
        )
        return Violation(law="no slot vanishes", subject=self._id, message=message)
