"""The command that tells the coming slots, of a schedule or of any expression."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, instant
from synccron.cli.paper import Paper, relative, visible
from synccron.errors import InvalidInput
from synccron.model.time import Instant, format_instant, to_datetime, to_instant

if TYPE_CHECKING:
    from synccron.model.cron import Timetable

app = typer.Typer()

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@command(app, "next")
def coming(
    call: Call,
    what: Annotated[
        str | None, typer.Argument(metavar="ID|EXPR", help="A schedule's id, or an expression.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of all schedules, on one line of time.")
    ] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")] = 10,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The expression's time zone (UTC).")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="After this instant, not after now.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The id that H in it stands for.")
    ] = None,
) -> None:
    """Tell the coming slots. And in words what the expression means, and where clocks change."""
    start = call.now() if after is None else instant(after, "--after")
    if everything:
        if what is not None or tz is not None or seed is not None:
            raise InvalidInput("--all is of all schedules: it takes only -n and --after")
        _agenda(call, None if after is None else to_datetime(start), count)
        return
    if what is None:
        raise InvalidInput("next of what?", hint="give an id or an expression, or --all")
    if _ID.fullmatch(what):
        if tz is not None or seed is not None:
            raise InvalidInput(
                f"'{what}' is a schedule, which has its own time zone",
                hint="--tz and --id are for an expression",
            )
        with call.client() as client:
            found = client.get(what)
        cron, zone, seed = found.cron, found.tz, found.id
        # a cursor ahead of now (registered anew, resumed) has nothing before it
        start = max(start, to_instant(found.cursor_at) - 1 if found.cursor_at else start)
    else:
        cron, zone = what, tz or "UTC"
    slots, table = _slots(cron, zone, seed, start, count)
    from synccron.cli.table import in_words

    title = f"{visible(cron)}  ({in_words(cron, seed or '')}; {visible(zone)})"
    call.answer(
        [format_instant(slot) for slot in slots],
        lambda: _lines(call.paper(), table, title, zone, slots),
    )


def _agenda(call: Call, after: datetime | None, count: int) -> None:
    with call.client() as client:
        found = client.agenda(after, count)
    document = {
        "slots": [
            {"slot": format_instant(each.slot), "count": each.count, "schedules": each.ids}
            for each in found.entries()
        ],
        "often": [{"id": name, "slots_an_hour": number} for name, number in found.often.items()],
        "often_count": found.often_count,
    }
    from synccron.cli.table import agenda

    call.answer(document, lambda: agenda(call.paper(), found))


def _slots(
    cron: str, zone: str, seed: str | None, start: Instant, count: int
) -> tuple[list[Instant], "Timetable"]:
    from synccron.model.cron import FOREVER, CronError, timetable

    try:
        table = timetable(cron, zone, seed or "")
    except CronError as error:
        raise InvalidInput(str(error)) from error
    slots: list[Instant] = []
    while len(slots) < count and (start := table.next(start)) < FOREVER:
        slots.append(start)
    return slots, table


def _lines(
    paper: Paper, table: "Timetable", title: str, zone: str, slots: list[Instant]
) -> Iterator[str]:
    yield paper.tint(title, "bold")
    for slot in slots:
        parts = [format_instant(slot)]
        if zone != "UTC":
            parts.append(_local(slot, zone))
        if paper.width is not None:
            parts.append(relative(slot, paper.now).ljust(8))
        mark = table.marks(slot)
        if mark is not None:
            parts.append(paper.tint(mark, "yellow"))
        yield "  ".join(parts).rstrip()


def _local(slot: Instant, zone: str) -> str:
    """Tell what the clocks of a zone read then: `2027-03-28 03:00:00+02:00`."""
    from synccron.model.zone import load_zone

    known = load_zone(zone)
    offset = known.segment(known.index(slot // 1000)).offset
    there = timezone(timedelta(seconds=offset))
    return to_datetime(slot).astimezone(there).isoformat(" ", "seconds")
