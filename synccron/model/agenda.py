"""The coming slots of many schedules on one line of time: what runs when, and what meets.

Bounded: as many instants as were asked for, and at each no more ids than a person reads, however
many schedules there are. What fires all the time is named once and not at each of its slots.
"""

from dataclasses import dataclass, field

from synccron.model.cron import CronError, timetable
from synccron.model.schedule import Schedule
from synccron.model.time import HOUR, Instant

NAMED = 100  # ids of one instant, and of what fires all the time
OFTEN = 20  # slots an hour; what has more fires all the time


@dataclass(slots=True)
class Entry:
    """One instant: how many schedules have a slot then, and which, or the first of them."""

    slot: Instant
    count: int = 0
    ids: list[str] = field(default_factory=list)


class Agenda:
    """The first instants after `after` at which schedules that were added have a slot.

    `often` are those that fire all the time, with how many slots an hour they have;
    `often_count` tells how many there are. Paused schedules, and those whose cron cannot be read,
    have no slot to come.
    """

    def __init__(self, after: Instant, most: int) -> None:
        self._after = after
        self._most = most
        self._entries: dict[Instant, Entry] = {}
        self._last: Instant | None = None
        self.often: dict[str, int] = {}
        self.often_count = 0

    def add(self, schedule: Schedule) -> None:
        """Take in a schedule; they come once each."""
        first = schedule.next_run_at
        if first is None or (self._last is not None and first > self._last):
            return
        made = schedule.definition
        try:
            table = timetable(made.cron, made.tz, made.id)
        except CronError:
            return
        start = max(self._after, first - 1)
        an_hour = table.count(start, start + HOUR)
        if an_hour > OFTEN:
            self.often_count += 1
            if len(self.often) < NAMED:
                self.often[schedule.id] = an_hour
            return
        slot = table.next(start)
        for _ in range(self._most):
            if self._last is not None and slot > self._last:
                break
            self._note(slot, schedule.id)
            slot = table.next(slot)
        self._trim()

    def end(self, at: Instant | None) -> None:
        """Forget what is after an instant: schedules that were not added may have slots there."""
        self._entries = {
            slot: each for slot, each in self._entries.items() if at is None or slot <= at
        }

    def entries(self) -> list[Entry]:
        """Give the instants in order, and the ids of each."""
        found = [self._entries[slot] for slot in sorted(self._entries)[: self._most]]
        for each in found:
            each.ids.sort()
        return found

    def _note(self, slot: Instant, schedule_id: str) -> None:
        entry = self._entries.setdefault(slot, Entry(slot))
        entry.count += 1
        if len(entry.ids) < NAMED:
            entry.ids.append(schedule_id)

    def _trim(self) -> None:
        """Forget the instants beyond those that were asked for; later slots are not looked for."""
        if len(self._entries) < self._most:
            return
        order = sorted(self._entries)
        for slot in order[self._most :]:
            del self._entries[slot]
        self._last = order[self._most - 1]
