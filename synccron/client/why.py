"""Read what it takes to say why a slot ran or did not, and let the model say it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from synccron.client.reads import newest, schedule_of
from synccron.model import why as model
from synccron.model.cron import CronError, timetable
from synccron.model.job import DeadLetter, Job, Miss, State, slot_key
from synccron.model.lease import Node, Term
from synccron.model.schedule import Definition, Revision, Schedule
from synccron.model.time import Instant, format_instant, to_datetime
from synccron.store.base import Store, Where
from synccron.store.history import read_all

BESIDE = 200  # jobs of the schedule that are looked at
ACTIVE: tuple[State, ...] = ("running", "queued", "scheduled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What becomes, or became, of a slot: a word, and sentences that say why.

    `reason` is that of a miss; `by`, `epoch` and `decided_at` tell who decided it and when.
    """

    slot: datetime | None
    verdict: str
    reason: str | None
    text: tuple[str, ...]
    job_id: str | None
    by: str | None
    epoch: int | None
    decided_at: datetime | None

    @classmethod
    def of(cls, given: model.Answer) -> "Answer":
        """Make one of the model's."""
        return cls(
            slot=None if given.slot is None else to_datetime(given.slot),
            verdict=given.verdict,
            reason=given.reason,
            text=given.text,
            job_id=given.job_id,
            by=given.by,
            epoch=given.epoch,
            decided_at=None if given.decided_at is None else to_datetime(given.decided_at),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the JSON shape of an element of `why`."""
        return {
            "slot": _text(self.slot),
            "verdict": self.verdict,
            "reason": self.reason,
            "text": list(self.text),
            "job_id": self.job_id,
            "by": self.by,
            "epoch": self.epoch,
            "decided_at": _text(self.decided_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What the next slot of a schedule will do, and why the last one (or another) did what it did.

    `last` is None while none has come.
    """

    id: str
    next: Answer
    last: Answer | None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON shape of `why`."""
        last = None if self.last is None else self.last.to_json()
        return {"id": self.id, "next": self.next.to_json(), "last": last}


def why(store: Store, schedule_id: str, slot: Instant | None, now: Instant) -> Why:
    """Answer for the next slot, and for the last one or the one given. Raises NotFound."""
    schedule = schedule_of(store, schedule_id)
    terms = store.read(Term).items
    at = model.Now(
        schedule=schedule,
        nodes=list(read_all(store, Node, Where())),
        term=terms[0] if terms else None,
        active=_active(store, schedule_id),
    )
    beside = newest(store, Job, Where(schedule=schedule_id), BESIDE)
    wanted = _last(store, schedule, beside, now) if slot is None else slot
    last = None
    if wanted is not None:
        last = Answer.of(model.passed(_past(store, schedule, wanted, beside), now))
    return Why(id=schedule_id, next=Answer.of(model.coming(at, now)), last=last)


def _active(store: Store, schedule_id: str) -> list[Job]:
    found = newest(store, Job, Where(schedule=schedule_id, states=ACTIVE), BESIDE)
    active = [job for job in found if not job.intention]
    return sorted(active, key=lambda job: ACTIVE.index(job.state))


def _last(store: Store, schedule: Schedule, beside: list[Job], now: Instant) -> Instant | None:
    """Find the newest slot that has come: one that is late, else one that has a record."""
    if not schedule.paused and schedule.cursor.next < now - model.LATE:
        definition = schedule.definition
        try:
            return timetable(definition.cron, definition.tz, definition.id).previous(now)
        except CronError:
            return None
    slots = [job.slot for job in beside if job.kind == "slot" and job.slot is not None]
    misses = (miss.last for miss in read_all(store, Miss, Where(schedule=schedule.id)))
    missed = next((last for last in misses if last <= now), None)
    recorded = [*slots, *(() if missed is None else (missed,))]
    return max((each for each in recorded if each <= now), default=None)


def _past(store: Store, schedule: Schedule, slot: Instant, beside: list[Job]) -> model.Past:
    jobs = store.read(Job, Where(ids=(slot_key(schedule.id, slot),))).items
    job = jobs[0] if jobs else None
    letters = newest(store, DeadLetter, Where(schedule=schedule.id), BESIDE)
    return model.Past(
        schedule=schedule,
        slot=slot,
        definition=_definition(store, schedule, slot, job),
        job=job,
        miss=None if job is not None else _miss(store, schedule.id, slot),
        beside=[each for each in beside if job is None or each.id != job.id],
        letters=[each for each in letters if each.slot == slot],
    )


def _miss(store: Store, schedule_id: str, slot: Instant) -> Miss | None:
    for miss in read_all(store, Miss, Where(schedule=schedule_id)):  # those that end last first
        if miss.last < slot:
            return None
        if miss.first <= slot:
            return miss
    return None


def _definition(store: Store, schedule: Schedule, slot: Instant, job: Job | None) -> Definition:
    """Give what was current at a slot: the revision of its job, else the newest of before it."""
    for revision in read_all(store, Revision, Where(schedule=schedule.id)):  # the newest first
        if job is not None and job.revision is not None:
            if revision.version == job.revision:
                return revision.definition
        elif revision.at < slot or revision.cursor <= slot:
            return revision.definition
    return schedule.definition


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return format_instant(round(moment.timestamp() * 1000))
