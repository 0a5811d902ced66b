"""Commands on dead letters, the work list of what was given up: dlq ls, show, retry, rm, purge."""

from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command
from synccron.errors import InvalidInput

if TYPE_CHECKING:
    from synccron.client import Job

app = typer.Typer(
    name="dlq",
    help="The dead letters. What was given up, until somebody retries or removes it.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=False,
)

DeadArgument = Annotated[list[str], typer.Argument(metavar="D...", help="Ids of dead letters.")]


@command(app, "ls")
def ls(call: Call) -> None:
    """List the dead letters, newest first."""
    with call.client() as client:
        found = client.dead_letters()
    from synccron.cli.render import dead_table

    call.answer([one.to_json() for one in found], lambda: dead_table(call.paper(), found))


@command(app, "show")
def show(call: Call, dead_id: Annotated[str, typer.Argument(metavar="D", help="Its id.")]) -> None:
    """Show one dead letter."""
    with call.client() as client:
        found = client.dead_letter(dead_id)
    from synccron.cli.render import dead_whole

    call.answer(found.to_json(), lambda: dead_whole(call.paper(), found))


@command(app, "retry")
def retry(
    call: Call,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="D...", help="Ids of dead letters.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Run dead letters once more. Each becomes a new job, and is removed."""
    if bool(ids) == every:
        raise InvalidInput("give the ids of dead letters, or --all")
    with call.client() as client:
        chosen = [one.id for one in client.dead_letters()] if every else ids or []
        found: list[Job] = client.retry_dead(*chosen) if chosen else []
    from synccron.cli.render import job_lines

    call.answer([one.to_json() for one in found], lambda: job_lines(call.paper(), found))


@command(app, "rm")
def rm(call: Call, ids: DeadArgument) -> None:
    """Remove dead letters. The jobs and misses that they point to stay."""
    with call.client() as client:
        count = client.discard_dead(*ids)
    call.answer({"removed": count}, lambda: [f"removed {count}"])


@command(app, "purge")
def purge(
    call: Call, yes: Annotated[bool, typer.Option("--yes", help="Really: all of them.")] = False
) -> None:
    """Remove all dead letters."""
    if not yes:
        raise InvalidInput(
            "this removes every dead letter", hint="'synccron dlq purge --yes' does it"
        )
    with call.client() as client:
        count = client.purge_dead()
    call.answer({"removed": count}, lambda: [f"removed {count}"])
