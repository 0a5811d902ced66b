"""What a copy of a store consists of, and what a store that is made of one must not repeat.

Everything but nodes and who leads: those belong to where they are. Tokens and epochs go on from far
above what the old store may have handed out since the copy was made (law 5).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias, get_args

from synccron.model.deed import Deed
from synccron.model.job import (
    Claim,
    DeadLetter,
    Job,
    Miss,
    Notice,
    Outcome,
    Output,
    Receipt,
    Step,
    bare,
)
from synccron.model.schedule import Definition, Revision, Schedule, Tombstone
from synccron.model.settle import settle
from synccron.model.time import Instant

# More than any store hands out in a millisecond, and room for clocks that are off.
TOKENS_A_MS = 1_280
EPOCHS_A_MS = 10
TOKENS_MORE = 1 << 40
EPOCHS_MORE = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a store has beside its records: the greatest token and epoch that it may have given.

    `in_order`: revisions, jobs and dead letters come in the order in which they were made.
    """

    fence: int
    epoch: int
    in_order: bool
    counters: Mapping[str, int] = field(default_factory=dict)
    last_tick_at: Instant | None = None
    dead_letters_trimmed: int = 0
    horizon: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """The record of a key, with what its job belongs to (neither: the job is gone)."""

    receipt: Receipt
    schedule_id: str | None = None
    needs: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A schedule that people have been told is failing."""

    schedule_id: str


# In the order of a copy: what is needed to understand a record stands before it.
Record: TypeAlias = (
    Base
    | Schedule
    | Failing
    | Tombstone
    | Revision
    | Job
    | Output
    | Step
    | Key
    | Miss
    | DeadLetter
    | Notice
    | Deed
)
KINDS: tuple[type[Record], ...] = get_args(Record)


def raised(base: Base, made_at: Instant, now: Instant) -> Base:
    """Give the base that a store begins from which is made of a copy of that instant."""
    passed = max(0, now - made_at)
    return replace(
        base,
        fence=base.fence + TOKENS_MORE + passed * TOKENS_A_MS,
        epoch=base.epoch + EPOCHS_MORE + passed * EPOCHS_A_MS,
    )


def bare_of_marks(record: Record) -> Record:
    """Leave out what is a store's own: its marks, and what it knows from other records."""
    match record:
        case Schedule():
            return replace(record, mod=0, ahead=None, cursor=replace(record.cursor, mod=0))
        case Tombstone() | Job():
            return replace(record, mod=0)
        case Miss():
            return replace(record, follows=None)
        case Notice():
            return replace(record, mod=0, session=None, opens=None)
        case _:
            return record


def taken_up(
    job: Job, definition: Definition | None, now: Instant, *, failing: bool
) -> tuple[Job, tuple[Record, ...]]:
    """Decide what becomes of a job that ran when the copy was made: its attempt is lost.

    Its new record, and what follows where it is given up. `failing`: people know its schedule so.
    """
    claim = Claim(
        job=job,
        definition=definition or bare(job),
        session=job.session or "",
        fence=job.fence or 0,
    )
    lost = Outcome(ending="lost", error="the store was restored while it ran")
    settlement = settle(claim, lost, now, 0)
    if job.cancel_requested_at is not None:
        return settlement.cancelled, ()
    told: list[Record] = [*settlement.notices]
    if settlement.dead is not None:
        told.append(settlement.dead)
    if settlement.failing and not failing and job.schedule_id is not None:
        told += [Failing(schedule_id=job.schedule_id), *settlement.changed]
    return settlement.job, tuple(told)
