"""Commands that carry schedules between files and a store: diff, export."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synccron.cli.call import Call, command, print_json
from synccron.cli.paper import Paper, visible
from synccron.model.time import format_instant, to_instant

if TYPE_CHECKING:
    from datetime import datetime

    from synccron.client import Difference

app = typer.Typer()

_SHOWN = 100  # characters of a value
_WORDS = ("created", "updated", "pruned", "unchanged")


@command(app, "diff")
def diff(
    call: Call,
    file: Annotated[
        list[str],
        typer.Option("-f", "--file", metavar="FILE", help="A file, a folder of *.yaml, or -."),
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="As register --prune would do it.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="As register --take-over would do it.")
    ] = False,
) -> int:
    """Tell what register would change. And what it means for the next runs; 1 if anything would."""
    from synccron.cli.files import read_files, read_owned

    read, owners = read_owned(file) if prune else (read_files(file), frozenset[str]())
    with read as definitions, call.client() as client:
        found = list(client.compare(*definitions, take_over=take_over, prune=owners))
    ids = {word: [each.id for each in found if each.what == word] for word in _WORDS}
    changes = [each for each in found if each.what != "unchanged"]
    document = {**ids, "changes": [each.to_json() for each in changes]}
    call.answer(document, lambda: _differences(call.paper(), changes, ids))
    return 1 if changes else 0


@command(app, "export")
def export(call: Call) -> None:
    """Print the schedules as a file. It is what register -f takes, whole."""
    from synccron.cli.text import HEAD, NOTHING, schedule_text
    from synccron.model.written import written

    with call.client() as client:
        if call.json:
            print_json({"schedules": {each.id: written(each) for each in client.definitions()}})
            return
        empty = True
        for each in client.definitions():
            print(f"{HEAD if empty else ''}\n{schedule_text(each.id, written(each))}", end="")
            empty = False
    if empty:
        print(NOTHING, end="")


def _differences(
    paper: Paper, changes: "Sequence[Difference]", ids: dict[str, list[str]]
) -> Iterator[str]:
    for each in changes:
        yield f"{paper.word(each.what)} {visible(each.id)}"
        if each.what == "updated":
            for name, (before, after) in each.fields.items():
                yield f"  {name}: {_said(before)} -> {_said(after)}"
        yield from _runs(paper, each)
        for effect in each.effects:
            yield f"  {visible(effect)}"
    counts = [f"{len(ids[word])} {word}" for word in ("created", "updated", "unchanged")]
    if ids["pruned"]:
        counts.append(f"{len(ids['pruned'])} pruned")
    yield paper.tint(", ".join(counts), "dim")


def _runs(paper: Paper, each: "Difference") -> Iterator[str]:
    if each.what == "created" and each.after:
        yield f"  runs next: {_slots(each.after)}"
    elif each.what == "updated" and each.before == each.after and each.after:
        yield paper.tint(f"  runs next: {_slots(each.after)}, as before", "dim")
    elif each.what == "updated":
        yield f"  runs next: {_slots(each.before)}"
        yield f"  from then: {_slots(each.after)}"
    elif each.what == "pruned" and each.before:
        yield f"  would run next: {_slots(each.before)}"


def _slots(slots: "tuple[datetime, ...]") -> str:
    return ", ".join(format_instant(to_instant(slot)) for slot in slots) or "not while it is paused"


def _said(value: Any) -> str:
    """Write a value of a field on one line."""
    import json

    text = "(default)" if value is None else json.dumps(value, ensure_ascii=False)
    return visible(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
