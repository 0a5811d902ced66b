"""How each schedule stands, in the one word that `ls` shows.

The first that holds: `paused`, `no-handler` (strict, and no live node offers it while some live),
`late` (its next slot passed more than 5 s ago), `running`, `failing` (the last job that ended did
not complete, or the dispatch fails), else `ok`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synccron.model.job import SETTLED
from synccron.model.schedule import SHELL
from synccron.model.time import SECOND, Instant, to_instant

if TYPE_CHECKING:
    from synccron.client import Client, Job, Schedule

LATE = 5 * SECOND
_MOST_RUNNING = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A schedule, its newest job that has ended, and the word for how it stands."""

    schedule: "Schedule"
    last: "Job | None"
    state: str


def standings(client: "Client", schedules: Iterable["Schedule"], now: Instant) -> list[Standing]:
    """Read what else it takes to judge these schedules, and judge them."""
    nodes = client.nodes()
    offers = frozenset(name for node in nodes for name in node.handlers)
    running = {job.schedule_id for job in client.jobs(states=["running"], limit=_MOST_RUNNING)}
    found = []
    for schedule in schedules:
        ended = client.jobs(schedule=schedule.id, states=sorted(SETTLED), limit=1)
        last = ended[0] if ended else None
        offered = not nodes or (schedule.handler or SHELL) in offers
        state = _state(schedule, last, now, running=schedule.id in running, offered=offered)
        found.append(Standing(schedule=schedule, last=last, state=state))
    return found


def _state(
    schedule: "Schedule", last: "Job | None", now: Instant, *, running: bool, offered: bool
) -> str:
    if schedule.paused:
        return "paused"
    if schedule.strict_handlers and not offered:
        return "no-handler"
    if schedule.next_run_at is not None and to_instant(schedule.next_run_at) < now - LATE:
        return "late"
    if running:
        return "running"
    if schedule.consecutive_failures or (last is not None and last.state != "completed"):
        return "failing"
    return "ok"
