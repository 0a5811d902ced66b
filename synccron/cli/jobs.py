"""Commands on jobs: jobs, job, logs, cancel, retry."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from synccron.cli.call import Call, command, json_line, moment, print_json
from synccron.cli.follow import follow, output
from synccron.cli.paper import Paper, say
from synccron.cli.sheet import Gathered, JsonLines, Sheet
from synccron.clock import SystemClock
from synccron.errors import InvalidInput, NotFound
from synccron.model.chunk import Chunk
from synccron.model.job import SETTLED, STATES, State
from synccron.model.time import to_datetime

if TYPE_CHECKING:
    from synccron.client import Client, Job

app = typer.Typer()

JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")]


@command(app, "jobs")
def jobs(
    call: Call,
    schedule: Annotated[
        str | None, typer.Option(metavar="ID", help="Only of this schedule, removed or not.")
    ] = None,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help=f"Only these: {', '.join(STATES)}.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Made since: 1h ago, or RFC 3339.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="At most so many.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what changes.")] = False,
) -> None:
    """List jobs, newest first."""
    for one in state or ():
        if one not in STATES:
            raise InvalidInput(f"'{one}' is no state of a job", hint=f"one of {', '.join(STATES)}")
    chosen: dict[str, Any] = {
        "schedule": schedule,
        "states": cast("list[State] | None", state),
        "since": None if since is None else to_datetime(moment(since, "--since", call.now(), -1)),
        "limit": limit,
    }
    with call.client() as client:
        if watch:
            _watch(call, client, chosen)
        found = client.jobs(**chosen)
    from synccron.cli.render import job_table

    call.answer([one.to_json() for one in found], lambda: job_table(call.paper(), found))


def _watch(call: Call, client: "Client", chosen: dict[str, Any]) -> NoReturn:
    from synccron.cli.live import watch
    from synccron.cli.render import job_line, job_table

    shown: Mapping[str, tuple[object, ...]] = {}

    def changes() -> Iterator[str]:
        """Tell of those that changed since the last look, in the order in which they were made."""
        nonlocal shown
        found = client.jobs(**chosen)
        marks = {job.id: (job.state, job.attempt, job.cancel_requested_at) for job in found}
        for job in reversed(found):
            if shown.get(job.id) != marks[job.id]:
                yield json_line(job.to_json()) if call.json else job_line(call.paper(), job)
        shown = marks

    def page(paper: Paper) -> Iterable[str]:
        return job_table(paper, client.jobs(**chosen))

    watch(call, page, changes)


@command(app, "job")
def job(
    call: Call, job_id: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
) -> None:
    """Show one job. Its attempts, timings, exit, and the end of its output."""
    with call.client() as client:
        found = client.job(job_id)
        tail, truncated = client.output(job_id)
    if call.json:
        print_json(
            {
                **found.to_json(),
                "attempts": [attempt.to_json() for attempt in found.attempts],
                "output": tail.decode("utf-8", "backslashreplace"),
                "output_truncated": truncated,
            }
        )
        return
    from synccron.cli.render import job_whole

    for line in job_whole(call.paper(), found, truncated=truncated, has_output=bool(tail)):
        print(line)
    if tail:
        sheet = Sheet(sys.stdout)
        sheet.write(Chunk(job_id=job_id, attempt=found.attempt, at=0, data=tail))
        sheet.close()
        if not tail.endswith(b"\n"):
            print()


@command(app, "logs")
def logs(
    call: Call,
    job_id: Annotated[
        str, typer.Argument(metavar="JOB|ID", help="A job, or a schedule: its newest job.")
    ],
    followed: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the job has ended.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Escape nothing, also on a terminal.")] = False,
    timestamps: Annotated[
        bool, typer.Option("-t", "--timestamps", help="Each line with the time at which it came.")
    ] = False,
) -> None:
    """Print what a job wrote. All of it where it ran, elsewhere the tail that the store keeps."""
    if raw and (timestamps or call.json):
        other = "--json" if call.json else "--timestamps"
        raise InvalidInput(f"--raw is the output and nothing else: it goes without {other}")
    with call.client() as client:
        found = _job_or_newest(client, job_id)
        if call.json and not followed:
            _print_whole(client, call.place, found, timestamps=timestamps)
            return
        sheet: Sheet | JsonLines = Sheet(sys.stdout, raw=raw, timestamps=timestamps)
        if call.json:
            sheet = JsonLines(sys.stdout, found.id)
        if followed and found.state not in SETTLED:
            follow(client, call.place, found.id, sheet.write, clock=SystemClock())
        else:
            chunk = None
            for chunk in output(client, call.place, found):
                sheet.write(chunk)
            if chunk is None and found.state == "running":
                say(f"nothing of it is here: 'synccron logs -f {found.id}' asks node {found.node}")
        sheet.close()


def _print_whole(client: "Client", place: str, found: "Job", *, timestamps: bool) -> None:
    sheet = Gathered()
    for chunk in output(client, place, found):
        sheet.write(chunk)
    sheet.close()
    tail, truncated = client.output(found.id)
    whole = {
        "id": found.id,
        "output": sheet.text,
        "output_truncated": sheet.left_out or (truncated and sheet.size == len(tail)),
    }
    print_json({**whole, "chunks": sheet.chunks} if timestamps else whole)


def _job_or_newest(client: "Client", job_id: str) -> "Job":
    try:
        return client.job(job_id)
    except NotFound as error:
        newest = client.jobs(schedule=job_id, limit=1)
        if newest:
            return newest[0]
        if ":" in job_id:  # no schedule's id has one
            raise
        client.get(job_id)
        raise NotFound(f"'{job_id}' has no job yet") from error


@command(app, "cancel")
def cancel(call: Call, ids: JobsArgument) -> int:
    """Cancel jobs. What has not started never will, what runs is ended."""
    with call.client() as client:
        found = client.cancel(*ids)
    from synccron.cli.render import job_lines

    call.answer([one.to_json() for one in found], lambda: job_lines(call.paper(), found))
    # what had ended otherwise stays as it is, and its line says how
    return 1 if any(one.state in SETTLED - {"cancelled"} for one in found) else 0


@command(app, "retry")
def retry(call: Call, ids: JobsArgument) -> None:
    """Run jobs once more. Those that have ended, with their old input and today's definition."""
    with call.client() as client:
        found = client.retry(*ids)
    from synccron.cli.render import job_lines

    call.answer([one.to_json() for one in found], lambda: job_lines(call.paper(), found))
    for one in found:
        if not call.json:
            say(f"'synccron logs -f {one.id}' follows it")
