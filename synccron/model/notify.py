"""Decide what people are told of a schedule, and in which order it is told.

A change of state is told once: that a schedule which was well now fails, that one which failed is
well again, that slots begin to be missed, that something was given up. Whether the state was
another one before only the store knows, in the transaction that changes it; sending is the
engine's.
"""

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from synccron.model.job import Claim, DeadLetter, Job, Miss, Notice, Reason, short_id
from synccron.model.needs import SHELL
from synccron.model.permit import Offer
from synccron.model.schedule import Definition, Notify, Occasion
from synccron.model.time import Duration, Instant, format_instant

# Slots that are passed over because somebody asked for it are no news.
TOLD: frozenset[Reason] = frozenset(
    {"misfire", "overlap", "no_handler", "dispatch_failed", "expired"}
)
LONGEST_ERROR = 1000  # characters of an error in a notice
MOST_WAITING = 100  # notices that wait for one who is told; the oldest go first
TRIES = 6  # of a webhook that answers badly, or not at all
FIRST_DELAY: Duration = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a node does with the notices that there are.

    `take`: it tells these, `mine` it had taken already; `lost`: their node died while it told them,
    and nobody knows whether they arrived; `dropped`: too many wait.
    """

    take: tuple[Notice, ...] = ()
    mine: tuple[Notice, ...] = ()
    lost: tuple[Notice, ...] = ()
    dropped: tuple[Notice, ...] = ()


def failing_after(definition: Definition, job: Job) -> bool | None:
    """Tell whether a schedule fails after this end; None: it says nothing, or nobody asks."""
    if not definition.notify or job.schedule_id is None:
        return None
    match job.state:
        case "completed":
            return False
        case "failed" | "timed_out":
            return True
        case _:
            return None


def of_change(claim: Claim, job: Job, now: Instant, *, failing: bool) -> tuple[Notice, ...]:
    """Tell that the schedule of a job fails from now on, or is well again."""
    on: Occasion = "failure" if failing else "recovery"
    how = f"{job.state}: {_short(job.error) or 'no error told'}" if failing else "is well again"
    return _notices(
        claim.definition,
        on,
        now,
        (job.id, claim.fence),
        text=f"{job.schedule_id} {how}",
        job_id=job.id,
        slot=_moment(job.slot),
        state=job.state,
        attempt=len(job.attempts),
        exit_code=job.exit_code,
        error=_short(job.error),
        node=job.node,
    )


def of_letters(
    definition: Definition, letters: Sequence[DeadLetter], now: Instant
) -> tuple[Notice, ...]:
    """Tell that something was given up: the letters of one decision are one notice."""
    if not letters or letters[-1].schedule_id is None:
        return ()
    newest = letters[-1]
    return _notices(
        definition,
        "dead_letter",
        now,
        (newest.id,),
        text=f"{newest.schedule_id} was given up: {_short(newest.message)}",
        dead_letter=newest.id,
        count=len(letters),
        job_id=newest.job_id,
        slot=_moment(newest.slot),
        error=_short(newest.message),
        attempt=newest.attempts,
        node=newest.node,
    )


def of_misses(definition: Definition, misses: Sequence[Miss], now: Instant) -> tuple[Notice, ...]:
    """Tell that slots are missed: one notice a reason, and none while it goes on."""
    told: list[Notice] = []
    by_reason = sorted((each for each in misses if each.reason in TOLD), key=_reason_and_first)
    for reason, group in groupby(by_reason, key=lambda each: each.reason):
        entries = list(group)
        first, last = entries[0].first, entries[-1].last
        count = sum(each.count for each in entries)
        slots = "a slot" if count == 1 else f"{count} slots"
        told += _notices(
            definition,
            "missed",
            now,
            (definition.id, first, reason),
            opens=first,
            text=f"{definition.id} missed {slots} ({reason}) from {format_instant(first)}",
            reason=reason,
            first=format_instant(first),
            last=format_instant(last),
            count=count,
        )
    return tuple(told)


def next_round(
    notices: Iterable[Notice],
    *,
    session: str,
    live: AbstractSet[str],
    offer: Offer,
    room: int,
) -> Round:
    """Choose what a node does now: one notice at a time for each who is told, in their order.

    `live` are the sessions that can still be telling, `offer` what this node can run: a command is
    told where it may run. `room` is how many more it may take.
    """
    take: list[Notice] = []
    mine: list[Notice] = []
    lost: list[Notice] = []
    dropped: list[Notice] = []
    for queue in _queues(notices):
        taken = [each for each in queue if each.session is not None]
        mine += [each for each in taken if each.session == session]
        lost += [each for each in taken if each.session not in live | {session}]
        waiting = [each for each in queue if each.session is None]
        dropped += waiting[: max(0, len(waiting) - MOST_WAITING)]
        waiting = waiting[-MOST_WAITING:]
        if waiting and not taken and len(take) < room and _can_tell(waiting[0], offer):
            take.append(waiting[0])
    return Round(take=tuple(take), mine=tuple(mine), lost=tuple(lost), dropped=tuple(dropped))


def again_after(tries: int) -> Duration | None:
    """Tell how long to wait after so many tries that failed, in ms; None: it is given up."""
    return None if tries >= TRIES else FIRST_DELAY * 2 ** (tries - 1)


def _queues(notices: Iterable[Notice]) -> Iterable[Sequence[Notice]]:
    queues: dict[tuple[str, str | tuple[str, ...] | None], list[Notice]] = {}
    for each in sorted(notices, key=lambda notice: (notice.at, notice.id)):
        told = each.to.command if each.to.webhook is None else each.to.webhook
        queues.setdefault((each.schedule_id, told), []).append(each)
    return queues.values()


def _can_tell(notice: Notice, offer: Offer) -> bool:
    return notice.to.command is None or offer.covers(SHELL, notice.to.command)


def _notices(
    definition: Definition,
    on: Occasion,
    now: Instant,
    about: tuple[object, ...],
    *,
    opens: Instant | None = None,
    **said: Any,
) -> tuple[Notice, ...]:
    return tuple(
        _notice(definition, to, on, now, short_id(on, number, *about), opens, said)
        for number, to in enumerate(definition.notify)
        if on in to.on
    )


def _notice(
    definition: Definition,
    to: Notify,
    on: Occasion,
    now: Instant,
    notice_id: str,
    opens: Instant | None,
    said: dict[str, Any],
) -> Notice:
    body = {"id": notice_id, "event": on, "schedule_id": definition.id, "ts": format_instant(now)}
    text = json.dumps({**_SHAPE, **body, **said}, separators=(",", ":"))
    return Notice(
        id=notice_id,
        schedule_id=definition.id,
        on=on,
        at=now,
        body=text,
        to=to,
        opens=opens,
    )


# Absent values are null, never missing; webhooks of chat programs show `text`.
_SHAPE: dict[str, Any] = dict.fromkeys(
    (
        "id",
        "event",
        "schedule_id",
        "ts",
        "text",
        "job_id",
        "slot",
        "state",
        "attempt",
        "exit_code",
        "error",
        "node",
        "dead_letter",
        "reason",
        "first",
        "last",
        "count",
    )
)


def _reason_and_first(miss: Miss) -> tuple[str, Instant]:
    return miss.reason, miss.first


def _short(text: str | None) -> str | None:
    return None if text is None else text[-LONGEST_ERROR:]


def _moment(instant: Instant | None) -> str | None:
    return None if instant is None else format_instant(instant)
