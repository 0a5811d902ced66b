"""Commands that carry a whole store: backup, restore."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from synccron.cli.call import Call, command
from synccron.cli.paper import say, visible
from synccron.model.time import format_instant

app = typer.Typer()


@command(app, "backup")
def backup(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to, or - for stdout.")],
) -> None:
    """Write the whole state of the store to a file. Nodes go on meanwhile."""
    with call.client() as client:
        if file == "-":
            client.backup_to(sys.stdout.buffer)
            return
        counts = client.backup(file)
    call.answer({"file": file, "records": counts}, lambda: _told(f"wrote {file}", counts))


@command(app, "restore")
def restore(
    call: Call,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What backup wrote.")],
) -> None:
    """Restore what backup wrote. Into a store that is empty, or not there yet; of either kind."""
    from synccron.client.copies import look

    copy = look(Path(file))  # before a store is made for it
    with call.client(create=True) as client:
        counts = client.restore(copy)
    if copy.running:
        ran = ", ".join(copy.running)
        say(f"ran when the copy was made, and is taken up as lost: {ran}")
    made_at = format_instant(copy.at)
    call.answer(
        {"file": file, "made_at": made_at, "records": counts},
        lambda: _told(f"restored {file}, as it was at {made_at}", counts),
    )


def _told(what: str, counts: dict[str, int]) -> Iterator[str]:
    numbers = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())
    yield visible(f"{what}: {numbers}")
