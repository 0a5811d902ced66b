"""Commands on the whole: nodes (who is alive and leads) and status (all at a glance)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, json_line
from synccron.cli.live import watch as go_on
from synccron.cli.paper import Paper
from synccron.cli.render import job_table, node_table, status_lines
from synccron.model.job import SETTLED

if TYPE_CHECKING:
    from synccron.client import Client, Job

app = typer.Typer()

WATCHED = 10  # jobs that run, and that ended last, beside the status


@command(app, "nodes")
def nodes(call: Call) -> None:
    """List the nodes that are alive, and who leads."""
    with call.client() as client:
        found = client.nodes()
    call.answer([one.to_json() for one in found], lambda: node_table(call.paper(), found))


@command(app, "status")
def status(
    call: Call, watch: Annotated[bool, typer.Option("--watch", help="Go on with changes.")] = False
) -> None:
    """Show the whole at a glance. Leader, what is due and runs, failures, lag."""
    with call.client() as client:
        if not watch:
            shown = client.status()
            call.answer(shown.to_json(), lambda: status_lines(call.paper(), shown))
            return
        last: list[str] = []

        def changes() -> list[str]:
            nonlocal last
            shown, before = client.status(), last
            written = status_lines(call.paper(), shown)
            last = [json_line(shown.to_json())] if call.json else list(written)
            return last if last != before else []

        go_on(call, lambda paper: _page(paper, client), changes)


def _page(paper: Paper, client: "Client") -> Iterator[str]:
    """Lay out what people watch: the whole at a glance, what runs now, and what ended last."""
    yield from status_lines(paper, client.status())
    running = client.jobs(states=["running"], limit=WATCHED)
    if running:
        yield from ("", paper.tint("running", "bold"), *job_table(paper, running))
    # Jobs come in the order in which they were made, and that is ahead of their time.
    recent = client.jobs(states=sorted(SETTLED), limit=5 * WATCHED)
    ended = sorted((job for job in recent if job.finished_at), key=_ending, reverse=True)[:WATCHED]
    if ended:
        yield from ("", paper.tint("ended last", "bold"), *job_table(paper, ended))


def _ending(job: "Job") -> float:
    return 0 if job.finished_at is None else job.finished_at.timestamp()
