"""Commands on the whole: nodes (who is alive and leads) and status (all at a glance)."""

from typing import Annotated

import typer

from synccron.cli.call import Call, command, json_line
from synccron.cli.follow import LOOK
from synccron.clock import Bell, SystemClock

app = typer.Typer()

_TOP = "\x1b[H\x1b[J"  # to the upper left, and clear


@command(app, "nodes")
def nodes(call: Call) -> None:
    """List the nodes that are alive, and who leads."""
    with call.client() as client:
        found = client.nodes()
    from synccron.cli.render import node_table

    call.answer([one.to_json() for one in found], lambda: node_table(call.paper(), found))


@command(app, "status")
def status(
    call: Call, watch: Annotated[bool, typer.Option("--watch", help="Go on with changes.")] = False
) -> None:
    """Show the whole at a glance. Leader, what is due and runs, failures, lag."""
    from synccron.cli.render import status_lines

    with call.client() as client:
        shown = client.status()
        if not watch:
            call.answer(shown.to_json(), lambda: status_lines(call.paper(), shown))
            return
        bell = Bell(SystemClock())
        last: list[str] = []
        while True:
            paper = call.paper()
            lines = [json_line(shown.to_json())] if call.json else [*status_lines(paper, shown)]
            if lines != last:
                top = "" if call.json or paper.width is None else _TOP
                print(top + "\n".join(lines), flush=True)
            last = lines
            bell.wait(bell.rings, LOOK)
            shown = client.status()
