"""Decide what a command does to a schedule: register, pause, resume, unregister."""

from dataclasses import dataclass

from synccron.model.job import Job, Miss
from synccron.model.schedule import Revision, Schedule, Tombstone


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one schedule, if it stands as read; several are applied all or none.

    `seen` is the mark of the schedule or tombstone as read (None: there was neither). Where
    `moves` is so, the cursor in `schedule` is written, and compared with its own mark as read;
    otherwise the stored cursor stays. `withdrawn` are intentions to delete, `queued` those that
    become queued (the new records), `dropped` those that a miss replaces: all compared as read.
    `tombstone` instead of `schedule` removes it and, with `error`, cancels its jobs that have not
    started. Intentions that stay have no revision yet: they follow what the schedule now needs.
    """

    id: str
    seen: int | None
    schedule: Schedule | None = None
    tombstone: Tombstone | None = None
    revision: Revision | None = None
    moves: bool = True
    withdrawn: tuple[Job, ...] = ()
    queued: tuple[Job, ...] = ()
    dropped: tuple[Job, ...] = ()
    misses: tuple[Miss, ...] = ()
    error: str | None = None
