"""The table of schedules, which `ls` shows; apart from `render.py`, as `ls` has to start fast."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from synccron.cli.paper import Paper, visible

if TYPE_CHECKING:
    from synccron.client import Schedule
    from synccron.store.listing import Listed


def schedules(paper: Paper, rows: Iterable[tuple["Listed", str]], *, wide: bool) -> Iterable[str]:
    """Lay out the table of schedules, each with the word for how it stands."""
    header = ("ID", "WHEN", "TZ", "NEXT", "LAST", "STATE")
    if not wide:
        return paper.columns(header, (_row(paper, *row) for row in rows))
    more = ("MISFIRE", "OVERLAP", "LABELS", "RUNS")
    return paper.columns((*header, *more), (_wide_row(paper, *row) for row in rows))


def _row(paper: Paper, one: "Listed", state: str) -> tuple[str, ...]:
    last = "-" if one.last_state is None else f"{one.last_state} {paper.at(one.last_finished_at)}"
    return (
        visible(one.id),
        visible(one.cron),
        visible(one.tz),
        paper.at(one.next_run_at),
        last,
        state,
    )


def _wide_row(paper: Paper, one: "Listed", state: str) -> tuple[str, ...]:
    name, _, *rest = _row(paper, one, state)
    labels = ",".join(f"{key}={value}" for key, value in one.labels.items())
    words = in_words(one.cron, one.id)
    return name, words, *rest, one.misfire, one.overlap, visible(labels) or "-", what_runs(one)


def in_words(cron: str, schedule_id: str = "") -> str:
    """Tell an expression in words; `H` picks by the schedule's id."""
    from synccron.model.words import words

    return words(cron, schedule_id)


def what_runs(schedule: "Schedule | Listed") -> str:
    """Tell what a schedule runs, as a person would type it."""
    if schedule.handler is not None:
        return f"handler {visible(schedule.handler)}"
    import shlex

    run = schedule.run
    return visible(run if isinstance(run, str) else shlex.join(run or ()))
