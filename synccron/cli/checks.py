"""Commands that need no store: validate, example, schema, completion."""

from typing import Annotated

import typer

from synccron.cli.call import Call, command
from synccron.cli.paper import say
from synccron.cli.progress import progress
from synccron.errors import InvalidInput

app = typer.Typer()


@command(app, "validate", store=False)
def validate(
    call: Call,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files, folders of *.yaml, or -.")
    ],
) -> None:
    """Check files as register would. Warns of what is legal but unwise, too."""
    from synccron.cli.files import read_files, warnings

    with progress(call) as told, read_files(files, progress=told("checking")) as found:
        unwise = list(warnings(found))
        names = [one.id for one in found] if call.json else []
    for one in unwise:
        say(f"warning: {one}")
    call.answer(
        {"schedules": names, "warnings": unwise},
        lambda: [f"ok: {len(found)} schedule{'' if len(found) == 1 else 's'}"],
    )


@command(app, "example", store=False, json=False)
def example(call: Call) -> None:  # noqa: ARG001
    """Print a commented schedule file to start from."""
    from synccron.cli.example import EXAMPLE

    print(EXAMPLE, end="")


@command(app, "schema", store=False)
def schema(call: Call) -> None:  # noqa: ARG001
    """Print the JSON Schema of a schedule file, for editors."""
    from synccron.cli.schema import schema_text

    print(schema_text(), end="")


@command(app, "completion", store=False, json=False)
def completion(
    call: Call,  # noqa: ARG001
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="For which shell.")],
) -> None:
    """Print the completion script of a shell."""
    from synccron.cli.completion import SHELLS, script

    if shell not in SHELLS:
        raise InvalidInput(f"there is no completion for '{shell}'", hint=f"for {', '.join(SHELLS)}")
    print(script(shell), end="")
