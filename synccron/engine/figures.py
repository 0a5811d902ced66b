"""The numbers of a node at an instant, by the names that metrics have.

What a node knows of itself, and (with `store` in the help) what it last read of the whole store,
which is the same on every node.
"""

from collections.abc import Mapping

from synccron import __version__
from synccron.engine.glance import Glance
from synccron.engine.health import Health
from synccron.model.lease import COUNTERS
from synccron.model.time import SECOND, Duration, Instant

Figures = Mapping[str, float | Mapping[str, float]]

# What each says, and the name of the label where it has several values.
HELP: Mapping[str, tuple[str, str]] = {
    "synccron_build_info": ("Which version runs.", "version"),
    "synccron_leader": ("1 while this node surely leads.", ""),
    "synccron_epoch": ("The epoch of this node's term; 0 while it does not lead.", ""),
    "synccron_ready": ("1 while loops turn, the store answers, and the session lives.", ""),
    "synccron_store_up": ("1 while the newest turn of every loop reached the store.", ""),
    "synccron_session_up": ("1 while this node's registration surely stands.", ""),
    "synccron_loop_still_seconds": ("How long a loop has neither begun nor ended a turn.", "loop"),
    "synccron_clock_skew_seconds": ("How far the wall clock is ahead of the nodes' median.", ""),
    "synccron_running": ("Attempts under way on this node.", ""),
    "synccron_concurrency": ("How many attempts this node runs at once at most.", ""),
    "synccron_schedules": ("Schedules in the store.", "state"),
    "synccron_jobs": ("Jobs in the store that have not ended.", "state"),
    "synccron_dead_letters": ("Dead letters in the store.", ""),
    "synccron_overdue_schedules": ("Schedules in the store with an undecided slot 5 s past.", ""),
    "synccron_oldest_undecided_slot_seconds": (
        "How long the oldest undecided slot of the store is past; 0: none is.",
        "",
    ),
    "synccron_glance_age_seconds": ("How old these numbers of the store are.", ""),
    **{f"synccron_{name}_total": (f"This node's counter {name}.", "") for name in COUNTERS},
}


def figures(
    health: Health,
    counts: Mapping[str, int],
    still: Mapping[str, Duration],
    glance: Glance,
    *,
    skew: Duration,
    concurrency: int,
    now: Instant,
) -> Figures:
    """Gather the numbers. `still` is how long each loop has been so, in ms."""
    found: dict[str, float | Mapping[str, float]] = {
        "synccron_build_info": {__version__: 1},
        "synccron_leader": health.epoch is not None,
        "synccron_epoch": health.epoch or 0,
        "synccron_ready": health.ready,
        "synccron_store_up": health.store,
        "synccron_session_up": health.session,
        "synccron_loop_still_seconds": {name: ms / SECOND for name, ms in still.items()},
        "synccron_clock_skew_seconds": skew / SECOND,
        "synccron_running": health.running,
        "synccron_concurrency": concurrency,
        **{f"synccron_{name}_total": count for name, count in counts.items()},
    }
    totals = glance.totals
    if totals is not None:
        oldest = totals.oldest_due_at
        found |= {
            "synccron_schedules": {
                "active": totals.schedules - totals.paused,
                "paused": totals.paused,
            },
            "synccron_jobs": {
                "scheduled": totals.scheduled,
                "queued": totals.queued,
                "running": totals.running,
            },
            "synccron_dead_letters": totals.dead_letters,
            "synccron_overdue_schedules": totals.overdue,
            "synccron_oldest_undecided_slot_seconds": 0
            if oldest is None
            else max(0, now - oldest) / SECOND,
            "synccron_glance_age_seconds": max(0, now - glance.read_at) / SECOND,
        }
    return found
