"""A page on the terminal that is drawn anew as things change, until it is interrupted."""

from collections.abc import Callable, Iterable

from synccron.clock import Bell, SystemClock
from synccron.model.time import SECOND, Duration

PACE: Duration = SECOND  # between two looks: what people see need not be newer


def show(page: Callable[[], Iterable[str]], *, colour: bool) -> None:
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
