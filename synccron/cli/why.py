"""The command that says why a slot ran, ran late or did not run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from synccron.cli.call import Call, command, instant
from synccron.cli.paper import Paper, visible
from synccron.model.time import to_datetime

if TYPE_CHECKING:
    from synccron.client.why import Answer, Why

app = typer.Typer()


@command(app, "why")
def why(
    call: Call,
    schedule_id: Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")],
    slot: Annotated[
        str | None, typer.Option(metavar="TIME", help="About this slot, not the last one.")
    ] = None,
) -> None:
    """Say why. What the next slot will do, and why the last one ran, ran late or did not."""
    asked = None if slot is None else to_datetime(instant(slot, "--slot"))
    with call.client() as client:
        told = client.why(schedule_id, asked)
    call.answer(told.to_json(), lambda: _lines(call.paper(), told, last=asked is None))


def _lines(paper: Paper, told: "Why", *, last: bool) -> Iterator[str]:
    yield paper.tint(visible(told.id), "bold")
    yield from _answer(paper, "next slot", told.next)
    if told.last is None:
        yield "last slot  none has come yet"
        return
    yield ""
    yield from _answer(paper, "last slot" if last else "that slot", told.last)


def _answer(paper: Paper, name: str, answer: "Answer") -> Iterator[str]:
    word = answer.verdict if answer.reason is None else f"{answer.verdict} ({answer.reason})"
    when = "" if answer.slot is None else f"  {paper.both(answer.slot)}"
    toned = paper.word(word) if answer.reason is None else paper.tint(word, "yellow")
    yield f"{name}{when}  {toned}"
    for sentence in answer.text:
        yield f"  {visible(sentence)}"
