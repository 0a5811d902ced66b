"""Tell what a change of a schedule means, to whoever is about to make it: it decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from synccron.model.change import Change
from synccron.model.cron import CronError, timetable
from synccron.model.plan import Due
from synccron.model.schedule import Schedule, Tombstone
from synccron.model.time import Instant
from synccron.model.timetable import FOREVER
from synccron.model.written import written

What = Literal["created", "updated", "unchanged", "pruned"]
COMING = 3  # slots that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What would become of one schedule.

    `fields` are those that change, as a schedule file has them: before and after (None: not said).
    `before` and `after` are the next slots now and then (none while paused); `effects` what else
    happens, in words.
    """

    id: str
    what: What
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    before: tuple[Instant, ...] = ()
    after: tuple[Instant, ...] = ()
    effects: tuple[str, ...] = ()


def difference(schedule_id: str, old: Due | Tombstone | None, change: Change | None) -> Difference:
    """Tell a registration, or a removal (`change.tombstone`); a change of None changes nothing."""
    before = old.schedule if isinstance(old, Due) else None
    if change is None:
        return Difference(id=schedule_id, what="unchanged")
    after = change.schedule
    if after is not None and change.cursor_seen is not None:
        after = replace(after, ahead=None)  # a take-back leaves no intention
    what: What = "pruned" if after is None else "created" if before is None else "updated"
    return Difference(
        id=schedule_id,
        what=what,
        fields=_fields(before, after) if after is not None else {},
        before=_coming(before),
        after=_coming(after),
        effects=tuple(_effects(before, after, change)),
    )


def _fields(before: Schedule | None, after: Schedule) -> dict[str, tuple[Any, Any]]:
    old = {} if before is None else written(before.definition)
    new = written(after.definition)
    return {
        name: (old.get(name), new.get(name))
        for name in (*new, *(name for name in old if name not in new))
        if old.get(name) != new.get(name)
    }


def _coming(schedule: Schedule | None) -> tuple[Instant, ...]:
    if schedule is None or schedule.next_run_at is None:
        return ()
    definition = schedule.definition
    try:
        table = timetable(definition.cron, definition.tz, definition.id)
    except CronError:  # a zone that was dropped: nobody can tell
        return ()
    slots: list[Instant] = []
    slot = schedule.next_run_at
    while len(slots) < COMING and slot < FOREVER:
        slots.append(slot)
        slot = table.next(slot)
    return tuple(slots)


def _effects(before: Schedule | None, after: Schedule | None, change: Change) -> list[str]:
    told = []
    if after is None:
        told.append("is removed: jobs that have not started are cancelled, what runs goes on")
    elif before is None:
        if after.paused:
            told.append("is registered paused")
    else:
        told += _standing(before, after)
    if change.withdrawn:
        told.append(_counted(len(change.withdrawn), "run", "written ahead", "taken back"))
    if change.queued:
        told.append(_counted(len(change.queued), "run", "just due", "started still"))
    missed = sum(miss.count for miss in change.misses)
    if missed:
        told.append(_counted(missed, "slot", "due", f"passed over ({change.misses[0].reason})"))
    return told


def _standing(before: Schedule, after: Schedule) -> list[str]:
    told = []
    if after.paused and not before.paused:
        told.append("is paused")
    elif before.paused and not after.paused:
        told.append("is resumed, with its first slot from now")
    elif after.paused:
        told.append("stays paused")
    owner = before.definition.owner
    if owner is not None and after.definition.owner != owner:
        told.append(f"is taken over from {owner}")
    return told


def _counted(number: int, word: str, which: str, fate: str) -> str:
    return (
        f"{number} {word} {which} is {fate}"
        if number == 1
        else f"{number} {word}s {which} are {fate}"
    )
