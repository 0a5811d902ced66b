"""The command that tells who did what."""

from typing import Annotated

import typer

from synccron.cli.call import Call, command, moment
from synccron.model.time import to_datetime

app = typer.Typer()


@command(app, "deeds")
def deeds(
    call: Call,
    schedule: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of a schedule, removed or not.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Done since: 7d ago, or RFC 3339.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many.")] = 50,
) -> None:
    """Show who did what by commands, newest first. Registered, paused, triggered, removed."""
    start = None if since is None else to_datetime(moment(since, "--since", call.now(), -1))
    with call.client() as client:
        found = client.deeds(schedule, since=start, limit=limit)
    from synccron.cli.render import deed_table

    call.answer([one.to_json() for one in found], lambda: deed_table(call.paper(), found))
