"""The command that runs a schedule now, and may wait for the end."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synccron.cli.call import Call, command, duration, json_value, print_json
from synccron.cli.follow import follow
from synccron.cli.paper import paper_for, say
from synccron.cli.sheet import Sheet
from synccron.clock import SystemClock

if TYPE_CHECKING:
    from synccron.client import Client, Job

app = typer.Typer()


@command(app, "trigger")
def trigger(
    call: Call,
    schedule_id: Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The same key runs it once, however often asked."),
    ] = None,
    job_input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Instead of the stored input.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where overlap forbids.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show its output; exit 0 if it completed, else 1.")
    ] = False,
    wait_timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Wait no longer than this.")
    ] = None,
) -> int:
    """Run a schedule now, beside its slots."""
    given: dict[str, Any] = {}
    if job_input is not None:
        given["input"] = json_value(job_input, "--input")
    limit = None if wait_timeout is None else duration(wait_timeout, "--wait-timeout")
    with call.client() as client:
        job = client.trigger(schedule_id, key=key, force=force, **given)
        if wait or limit is not None:
            return _wait(call, client, job, limit)
    from synccron.cli.render import triggered

    call.answer(job.to_json(), lambda: [triggered(call.paper(), job)])
    return 0


def _wait(call: Call, client: "Client", job: "Job", limit: int | None) -> int:
    sheet = Sheet(sys.stderr if call.json else sys.stdout)
    settled = follow(client, call.place, job.id, sheet.write, clock=SystemClock(), timeout=limit)
    sheet.close()
    if call.json:
        print_json({**settled.to_json(), "deduplicated": job.deduplicated})
    else:
        from synccron.cli.render import ended

        say(ended(paper_for(sys.stderr, call.now(), colour=call.colour), settled))
    return 0 if settled.state == "completed" else 1
