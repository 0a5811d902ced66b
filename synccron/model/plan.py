"""Decide the slots of one schedule: which become jobs, which are misses, where the cursor goes.

Owner of laws 1 to 3 on the deciding side. Overlap, retries and endings are `admit.py`'s and
`settle.py`'s; what a change of the definition does to slots is `change.py`'s.
"""

from dataclasses import dataclass

from synccron.model.job import DeadLetter, Job, Miss
from synccron.model.schedule import Cursor, Schedule
from synccron.model.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One schedule as the store had it; everything that a decision on its slots may look at.

    `intentions` are in order of their slots; `taken` are the slots at or after the cursor that have
    a job already (never an intention's: the cursor has passed those).
    """

    schedule: Schedule
    intentions: tuple[Job, ...] = ()
    taken: frozenset[Instant] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one dispatch writes, all of it or nothing; void if the cursor is not as seen.

    Each slot in [old cursor, new cursor) is in exactly one of `jobs`, `misses` and the slots that
    were taken; `dead` only points to them. `queued` are intentions as they become (compared with
    `mod` as read), `dropped` those that a miss replaces. `at` is the instant it was decided for.
    """

    schedule_id: str
    seen: int
    at: Instant
    cursor: Cursor
    jobs: tuple[Job, ...] = ()
    queued: tuple[Job, ...] = ()
    dropped: tuple[Job, ...] = ()
    misses: tuple[Miss, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
