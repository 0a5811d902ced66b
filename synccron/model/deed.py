"""What somebody did by a command, and who: the trail that is kept beside what it changed.

Written in the transaction of the change, so that there is none without the other. What jobs and
nodes do is no deed: jobs, misses and revisions tell of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from synccron.model.time import Instant

Verb = Literal[
    "register",
    "unregister",
    "pause",
    "resume",
    "reset-cursor",
    "trigger",
    "cancel",
    "retry",
    "remove",
    "purge",
    "restore",
]
NAMED = 5  # of many that one deed is about, so many are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One deed: `by` is `user@host`. `schedule_id` is whose it is, where it is of one alone.

    `subject` is what it was done to (ids of schedules, of a job, of dead letters), of many the
    first few; `count` is of how many. `detail` is what else is to be known: a reason, an old job.
    """

    id: str
    at: Instant
    by: str
    verb: Verb
    schedule_id: str | None
    subject: str
    count: int = 1
    detail: str | None = None


def named(ids: Sequence[str]) -> str:
    """Name some ids, of many the first: `a, b, c, d, e and 495 more`."""
    more = len(ids) - NAMED
    return ", ".join(ids[:NAMED]) + (f" and {more} more" if more > 0 else "")
