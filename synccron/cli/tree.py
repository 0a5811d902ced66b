"""The commands as a tree: by name, with their options, each built only when it is asked for.

A command's module is imported when it is called, so that `next` does not pay for `run`. What
commands share is in `call.py`. What the tree itself refuses (an unknown option) is an error like
any other, for `main.py` to tell.
"""

import difflib
import importlib
from collections.abc import Sequence
from typing import Annotated

import typer
from typer._click.core import Command, Context
from typer._click.exceptions import ClickException, NoSuchOption, UsageError
from typer.core import TyperGroup
from typer.main import get_command, get_command_from_info

from synccron import __version__
from synccron.errors import SynccronError

# In the order of --help. A command's module has a typer.Typer named `app` that holds it.
COMMANDS = {
    "run": "run",
    "register": "schedules",
    "unregister": "schedules",
    "rm": "schedules",
    "ls": "schedules",
    "show": "schedules",
    "next": "coming",
    "pause": "schedules",
    "resume": "schedules",
    "reset-cursor": "schedules",
    "trigger": "trigger",
    "jobs": "jobs",
    "job": "jobs",
    "logs": "jobs",
    "cancel": "jobs",
    "retry": "jobs",
    "dlq": "dlq",
    "validate": "checks",
    "diff": "moving",
    "export": "moving",
    "import-crontab": "importing",
    "backup": "copies",
    "restore": "copies",
    "example": "checks",
    "schema": "checks",
    "nodes": "nodes",
    "status": "nodes",
    "doctor": "doctor",
    "install-service": "install",
    "why": "why",
    "deeds": "deeds",
    "audit": "audit",
    "completion": "checks",
}


class Commands(TyperGroup):
    """The commands by name, each built only when it is asked for."""

    def list_commands(
        self,
        ctx: Context,  # noqa: ARG002
    ) -> list[str]:
        """Give the names in the order of --help."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: Context,  # noqa: ARG002
        cmd_name: str,
    ) -> Command | None:
        """Build a command; None: there is none of this name."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Find the command that the arguments begin with, or say what was meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise _UnknownCommand(name, ctx)
        return super().resolve_command(ctx, args)


class _UnknownCommand(UsageError):
    def __init__(self, name: str, ctx: Context) -> None:
        super().__init__(f"there is no command '{name}'", ctx)
        self.close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)


def load(name: str) -> Command:
    """Import the module of a command and build the command, or the group of that name."""
    app: typer.Typer = importlib.import_module(f"synccron.cli.{COMMANDS[name]}").app
    for known in app.registered_commands:
        if known.name == name:
            return get_command_from_info(
                known, pretty_exceptions_short=False, rich_markup_mode=None
            )
    return get_command(app)


app = typer.Typer(
    name="synccron",
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"synccron {__version__}")
        raise typer.Exit


@app.callback()
def synccron(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Which it is.")
    ] = False,
) -> None:
    """Distributed cron with durable dispatch: jobs run on time, once a slot."""
    del version
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def root() -> Command:
    """Build the outermost command."""
    return get_command(app)


def invoke(argv: Sequence[str]) -> int:
    """Find the command of a command line, run it, and give its exit status.

    Raises SynccronError for a line that cannot be read, and whatever the command raises.
    """
    command = root()
    try:
        with command.make_context("synccron", list(argv)) as context:
            status = command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort as end:
        raise KeyboardInterrupt from end
    except ClickException as error:
        raise _usage(error) from error
    return status if isinstance(status, int) else 0


class _Usage(SynccronError):
    code = "usage"
    exit_status = 2


def _usage(error: ClickException) -> SynccronError:
    message = error.message if isinstance(error, NoSuchOption) else error.format_message()
    message, _, close = message.strip().partition(" Did you mean ")
    message = (message[:1].lower() + message[1:]).rstrip(".")
    return _Usage(message, hint=_usage_hint(error, close))


def _usage_hint(error: ClickException, close: str) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "synccron"
    if close:
        return f"did you mean {close}"
    if isinstance(error, _UnknownCommand) and error.close:
        return f"did you mean '{error.close[0]}'?"
    if isinstance(error, NoSuchOption):
        meant = difflib.get_close_matches(error.option_name, error.possibilities or (), cutoff=0.7)
        if meant:
            return f"did you mean {meant[0]}?"
        if path == "synccron":
            return "options stand after the command: synccron ls --json"
    return f"'{path} --help' lists what there is"
