"""The table of schedules, which `ls` shows; apart from `render.py`, as `ls` has to start fast."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from synccron.cli.paper import Paper, visible
from synccron.model.time import format_instant

if TYPE_CHECKING:
    from synccron.client import Schedule
    from synccron.model.agenda import Agenda
    from synccron.store.listing import Listed

PAST = 8  # ended jobs that a strip tells of
_ROOM = 100  # characters of a terminal that has room for one
_LETTERS = {"completed": ".", "failed": "F", "timed_out": "T", "cancelled": "C"}


def schedules(paper: Paper, rows: Iterable[tuple["Listed", str]], *, wide: bool) -> Iterable[str]:
    """Lay out the table of schedules, each with the word for how it stands."""
    header = ("ID", "WHEN", "TZ", "NEXT", "LAST", "STATE")
    if not wide and shows_past(paper):
        strips = ((*_row(paper, *row)[:-1], strip(row[0].past), row[1]) for row in rows)
        return paper.columns((*header[:-1], "PAST", header[-1]), strips)
    if not wide:
        return paper.columns(header, (_row(paper, *row) for row in rows))
    more = ("PAST", "MISFIRE", "OVERLAP", "LABELS", "RUNS")
    return paper.columns((*header, *more), (_wide_row(paper, *row) for row in rows))


def shows_past(paper: Paper) -> bool:
    """Tell whether a listing has room for how the last jobs ended."""
    return paper.width is not None and paper.width >= _ROOM


def strip(past: Sequence[str]) -> str:
    """Tell how the last jobs ended, a letter each, the newest last: `.` completed, `F` failed."""
    return "".join(_LETTERS.get(state, "?") for state in reversed(past)) or "-"


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
    policies = one.misfire, one.overlap
    return name, words, *rest, strip(one.past), *policies, visible(labels) or "-", what_runs(one)


def agenda(paper: Paper, found: "Agenda") -> Iterable[str]:
    """Lay out the coming slots of all schedules: what meets stands in one line."""
    if found.often_count:
        names = [f"{visible(name)} ({number} an hour)" for name, number in found.often.items()]
        yield paper.cut(f"all the time: {_some(names, found.often_count)}")
        yield ""
    entries = found.entries()
    if not entries:
        yield "nothing else is to come"
        return
    header = ("AT", "AT ONCE", "SCHEDULES")
    on_screen = paper.width is not None
    rows = (
        (
            format_instant(each.slot),
            *((paper.at(each.slot),) if on_screen else ()),
            str(each.count),
            _some([visible(name) for name in each.ids], each.count),
        )
        for each in entries
    )
    yield from paper.columns((header[0], "IN", *header[1:]) if on_screen else header, rows)


def _some(names: Sequence[str], count: int) -> str:
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return ", ".join(names) + more


def in_words(cron: str, schedule_id: str = "") -> str:
    """Tell an expression in words; `H` picks by the schedule's id."""
    from synccron.model.cron import CronError
    from synccron.model.words import words

    try:
        return words(cron, schedule_id)
    except CronError:  # a record that was damaged, or a later version's
        return "cannot be read by this version"


def what_runs(schedule: "Schedule | Listed") -> str:
    """Tell what a schedule runs, as a person would type it."""
    if schedule.handler is not None:
        return f"handler {visible(schedule.handler)}"
    import shlex

    run = schedule.run
    return visible(run if isinstance(run, str) else shlex.join(run or ()))
