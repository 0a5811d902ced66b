"""Decide what a trigger, a submit or a retry asks of the store: jobs that no slot made."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from synccron.model.job import Job, Kind, Order
from synccron.model.schedule import JsonText, Schedule
from synccron.model.time import DAY, Duration, Instant

KEY_KEPT: Duration = 90 * DAY  # the same key within this gives the first job


def triggered(
    schedule: Schedule,
    key: str,
    given: JsonText | None,
    now: Instant,
    *,
    active: Sequence[Job] | None = None,
    force: bool = False,
) -> Order:
    """Ask for a run at once, with the stored input or the given one (canonical JSON).

    It holds if the schedule's `active` jobs are still so, where its overlap was judged by them;
    `force` runs it beside whatever runs.
    """
    job = _of_schedule(schedule, "manual", f"manual:{schedule.id}:{key}", now)
    alone = job.alone and not force
    most = None if force else job.max_running
    replaces = schedule.definition.overlap == "replace" and not force
    return Order(
        job=replace(job, key=key, input=given, alone=alone, replaces=replaces, max_running=most),
        digest=digest(given),
        seen=schedule.mod,
        active=None if active is None else tuple(active),
    )


def submitted(
    handler: str, key: str, given: JsonText, now: Instant, run_at: Instant | None = None
) -> Order:
    """Ask for a job of a handler without a schedule, at once or at an instant."""
    job = Job(
        id=f"submit:{handler}:{key}",
        kind="submit",
        schedule_id=None,
        state="queued" if run_at is None or run_at <= now else "scheduled",
        run_at=now if run_at is None else run_at,
        created_at=now,
        needs=handler,
        key=key,
        input=given,
        revision=0,
    )
    return Order(job=job, digest=digest(given))


def repeated(
    schedule: Schedule, given: JsonText | None, slot: Instant | None, nonce: str, now: Instant
) -> Order:
    """Ask for another run with the current definition, and an old slot and input.

    `given` None is the stored input. The caller adds `retry_of` and the dead letter.
    """
    job = _of_schedule(schedule, "retry", f"retry:{schedule.id}:{nonce}", now)
    return Order(job=replace(job, input=given, slot=slot), digest=digest(given), seen=schedule.mod)


def resubmitted(handler: str, given: JsonText, nonce: str, now: Instant) -> Order:
    """Ask for another run of a handler without a schedule, with an old input."""
    order = submitted(handler, nonce, given, now)
    again = replace(order.job, id=f"retry:{handler}:{nonce}", kind="retry", key=None)
    return replace(order, job=again)


def digest(given: JsonText | None) -> str:
    """Tell inputs of one key apart; "" where the stored input was asked for, whatever it is."""
    return "" if given is None else hashlib.sha256(given.encode()).hexdigest()


def _of_schedule(schedule: Schedule, kind: Kind, job_id: str, now: Instant) -> Job:
    return Job(
        id=job_id,
        kind=kind,
        schedule_id=schedule.id,
        state="queued",
        run_at=now,
        created_at=now,
        needs=schedule.definition.needs,
        revision=schedule.version,
        alone=schedule.definition.alone,
        max_running=schedule.definition.max_running,
        max_attempts=schedule.definition.retry.max_attempts,
    )
