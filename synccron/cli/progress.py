"""How far a long registration is, on a terminal alone; a short one is over before it is seen."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synccron.cli.call import Call

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LONG = 1000  # schedules
Told = Callable[[int], None]


@contextmanager
def progress(call: Call) -> Iterator[Callable[..., Told]]:
    """Give what makes a line of its own for each stage: `told(what, total)` is told how many."""
    bar: Progress | None = None

    def stage(what: str, total: int | None = None) -> Told:
        task: TaskID | None = None

        def told(done: int) -> None:
            nonlocal bar, task
            if task is None:
                if max(done, total or 0) < _LONG or call.json or not sys.stderr.isatty():
                    return
                bar = bar or _begun(call)
                task = bar.add_task(what, total=total)
            if bar is not None:
                bar.update(task, completed=done)

        return told

    try:
        yield stage
    finally:
        if bar is not None:
            bar.stop()


def _begun(call: Call) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, no_color=not call.colour)
    text = TextColumn("{task.description}", markup=False)
    bar = Progress(text, BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    bar.start()
    return bar
