"""Values for tests: everything has a default, a test names what it is about."""

from dataclasses import replace
from typing import Any

from synccron.model.change import register
from synccron.model.job import Attempt, Candidate, Claim, Job, claimed
from synccron.model.lease import Term
from synccron.model.plan import Due, Plan
from synccron.model.schedule import Cursor, Definition, Schedule
from synccron.model.time import Duration, Instant, parse_instant

NOW: Instant = parse_instant("2026-11-23T22:00:00Z")
TERM = Term(node="n1", session="s1", epoch=7, ttl=5_000, until=1 << 60)
OFFERED = frozenset({"run"})


def at(text: str) -> Instant:
    """Read an instant of the day that the tests play on, or a whole one."""
    return parse_instant(text if "T" in text else f"2026-11-23T{text}Z")


def definition(**fields: Any) -> Definition:
    """A definition that runs `true` every minute, unless told otherwise."""
    defaults: dict[str, Any] = {"id": "job", "cron": "* * * * *"}
    if "handler" not in fields:
        defaults["run"] = "true"
    return Definition(**{**defaults, **fields})


def schedule(registered: Instant = NOW, **fields: Any) -> Schedule:
    """A schedule that was registered at an instant."""
    change = register(None, definition(**fields), registered, "me@here", "2026f")
    assert change is not None
    assert change.schedule is not None
    return replace(change.schedule, mod=1, cursor=replace(change.schedule.cursor, mod=1))


def due(
    each: Schedule | None = None,
    *,
    cursor: Instant | None = None,
    intentions: tuple[Job, ...] = (),
    taken: frozenset[Instant] = frozenset(),
    **fields: Any,
) -> Due:
    """What a dispatch reads; `cursor` is the next slot."""
    read = each or schedule(**fields)
    if cursor is not None:
        moved = replace(read.cursor, next=cursor, decided_until=cursor - 1)
        read = replace(read, cursor=moved)
    return Due(schedule=read, intentions=intentions, taken=taken)


def after(before: Due, plan: Plan) -> Due:
    """What the next dispatch reads when this plan was written (and its jobs were claimed)."""
    cursor: Cursor = replace(plan.cursor, mod=before.schedule.cursor.mod + 1)
    return replace(before, schedule=replace(before.schedule, cursor=cursor), intentions=())


def job(of: Schedule | None = None, slot: Instant = NOW, **fields: Any) -> Job:
    """A slot's job, still an intention."""
    made = of or schedule()
    values: dict[str, Any] = {
        "id": f"{made.id}:{slot}",
        "kind": "slot",
        "schedule_id": made.id,
        "state": "scheduled",
        "run_at": slot,
        "created_at": slot,
        "needs": made.definition.needs,
        "slot": slot,
        "alone": made.definition.alone,
        "max_attempts": made.definition.retry.max_attempts,
    }
    return Job(**{**values, **fields})


def candidate(
    of: Schedule | None = None, each: Job | None = None, active: tuple[Job, ...] = ()
) -> Candidate:
    """A job that a node may start, and what is active beside it."""
    made = of or schedule()
    return Candidate(
        job=each or job(made),
        definition=made.definition,
        version=made.version,
        seen=made.mod,
        active=active,
    )


def claim(
    of: Schedule | None = None, each: Job | None = None, *, fence: int = 1, now: Instant = NOW
) -> Claim:
    """The right to one attempt of a job."""
    read = candidate(of, each)
    assert read.definition is not None
    running = claimed(read, "n1", "s1", fence, now)
    return Claim(job=running, definition=read.definition, session="s1", fence=fence)


def attempt(
    number: int = 1, *, started: Instant = NOW, lasted: Duration = 10, **fields: Any
) -> Attempt:
    """An attempt that completed."""
    values: dict[str, Any] = {
        "attempt": number,
        "node": "n1",
        "fence": number,
        "started_at": started,
        "finished_at": started + lasted,
        "outcome": "completed",
    }
    return Attempt(**{**values, **fields})
