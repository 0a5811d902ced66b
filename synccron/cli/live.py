"""What goes on with changes until it is interrupted: `--watch`.

On a terminal it is one page that is drawn anew; a pipe, or `--json`, gets lines for what changed.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

from synccron.clock import Bell, SystemClock
from synccron.model.time import SECOND, Duration

if TYPE_CHECKING:
    from synccron.cli.call import Call
    from synccron.cli.paper import Paper

PACE: Duration = SECOND  # between two looks: what people see need not be newer
LOOK: Duration = 100  # ms, between two looks for a program


def watch(
    call: "Call", page: "Callable[[Paper], Iterable[str]]", changes: Callable[[], Iterable[str]]
) -> NoReturn:
    """Show `page` as it is now, over and over; where nobody sees it, print `changes` since then."""
    if not call.json and call.paper().width is not None:
        _show(lambda: page(call.paper()), colour=call.colour)
    bell = Bell(SystemClock())
    while True:
        for line in changes():
            print(line, flush=True)
        bell.wait(bell.rings, LOOK)


def _show(page: Callable[[], Iterable[str]], *, colour: bool) -> NoReturn:
    """Draw a page over and over, on the terminal's other screen: what was there comes back."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=not colour, highlight=False)
    bell = Bell(SystemClock())
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            drawn = Text.from_ansi("\n".join(page()), no_wrap=True, overflow="ellipsis")
            live.update(drawn, refresh=True)
            bell.wait(bell.rings, PACE)
