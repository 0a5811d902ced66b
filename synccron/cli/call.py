"""One command as it was called: which store it is for, and how its caller wants to be answered.

Every command takes the same global options; `command` adds them to its own and hands them over as
one value. Errors are not shown here: `main.py` does that for all.
"""

import functools
import json
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NamedTuple, ParamSpec

from synccron.cli.paper import Paper, paper_for, say
from synccron.cli.place import act_as_owner, place_of
from synccron.clock import SystemClock
from synccron.errors import InvalidInput
from synccron.model.time import Duration, Instant, parse_duration, parse_instant

if TYPE_CHECKING:
    import inspect

    import typer

    from synccron.client import Client
    from synccron.events import Event

P = ParamSpec("P")

_STORE = "The store: sqlite:///absolute/path, a plain path, etcd://host/prefix, or @NAME."
_TIMEOUT = "How long to try to reach the store."
_PLAIN = "No colour, whatever the terminal."
STORE = "SYNCCRON_STORE"  # the variable that names the store where --store does not


class Call(NamedTuple):
    """The global options of one command, and the ways to answer that follow from them."""

    store: str | None = None
    store_timeout: Duration = 5000
    json: bool = False
    colour: bool = True

    @property
    def place(self) -> str:
        """The store's URL or path: the one that was given, or this host's."""
        return place_of(self.store or None)

    def client(self, *, create: bool = False) -> "Client":
        """Open the store; only `register` and `run` create one."""
        from synccron.client import Client

        timeout = timedelta(milliseconds=self.store_timeout)
        return Client(self.reach(), timeout=timeout, create=create, on_event=_warn)

    def reach(self) -> str:
        """Name the store to open it: from now on, root acts as its owner."""
        place = self.place
        act_as_owner(place)
        return place

    def paper(self) -> Paper:
        """Tell what stdout is."""
        return paper_for(sys.stdout, self.now(), colour=self.colour)

    def now(self) -> Instant:
        """Tell the wall-clock time in ms."""
        return SystemClock().now()

    def answer(self, document: Any, lines: Callable[[], Iterable[str]]) -> None:
        """Print the result: one JSON document if that was asked for, else the lines for people."""
        if self.json:
            print_json(document)
            return
        for line in lines():
            print(line)


def _warn(event: "Event") -> None:
    """Tell people on stderr what a command could do only in another way than they might think."""
    if event.event == "tick_error":
        say(f"warning: {event.fields['error']}")


def print_json(document: Any) -> None:
    """Print one JSON document: readable on a terminal, one line in a pipe. Always plain ASCII."""
    print(json.dumps(document, indent=2) if sys.stdout.isatty() else json_line(document))


def json_line(document: Any) -> str:
    """Write one JSON document as one line, the element of a stream."""
    return json.dumps(document, separators=(",", ":"))


def command(
    app: "typer.Typer", name: str, *, store: bool = True, json: bool = True, hidden: bool = False
) -> Callable[
    [Callable[Concatenate[Call, P], int | None]], Callable[Concatenate[Call, P], int | None]
]:
    """Register a command whose first parameter is its Call: the global options become its own.

    `store`: it touches one. `json`: it prints something. What it returns is the exit status.
    """
    import inspect

    in_store, in_json, always = _shared_options()
    shared = [*(in_store if store else ()), *(in_json if json else ()), *always]

    def register(
        function: Callable[Concatenate[Call, P], int | None],
    ) -> Callable[Concatenate[Call, P], int | None]:
        @functools.wraps(function)
        def called(*args: Any, **given: Any) -> int | None:
            chosen = {option.name: given.pop(option.name) for option in shared}
            return function(call_of(**chosen), *args, **given)

        own = list(inspect.signature(function).parameters.values())[1:]
        called.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        app.command(name, hidden=hidden)(called)
        return function

    return register


def call_of(
    *,
    store: str | None = None,
    store_timeout: str = "5s",
    as_json: bool = False,
    no_color: bool = False,
    debug: bool = False,  # noqa: ARG001 - main.py looks for it itself, as parsing may fail
) -> Call:
    """Make the call of its global options."""
    return Call(
        store=store,
        store_timeout=duration(store_timeout, "--store-timeout"),
        json=as_json,
        colour=not no_color,
    )


def duration(text: str, option: str) -> Duration:
    """Read an option's duration, in ms. Raises InvalidInput that names the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from error


def instant(text: str, option: str) -> Instant:
    """Read an option's instant, in ms. Raises InvalidInput that names the option."""
    try:
        return parse_instant(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from error


def moment(text: str, option: str, now: Instant, direction: int) -> Instant:
    """Read an instant that may also be told by its distance from now, ahead (1) or back (-1)."""
    try:
        return now + direction * parse_duration(text)
    except ValueError:
        return instant(text, option)


def json_value(text: str, option: str) -> Any:
    """Read an option's JSON value. Raises InvalidInput that names the option and the place."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{option}: {error.msg} at character {error.pos + 1} of {text!r}",
            hint="it must be JSON: a text needs double quotes inside single ones: '\"text\"'",
        ) from error


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Read repeated `key=value` options. Raises InvalidInput that names the option."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInput(f"{option}: {text!r} is no pair: write key=value")
        found[key] = value
    return found


@functools.cache
def _shared_options() -> "tuple[list[inspect.Parameter], ...]":
    """Give the options of all commands: those on the store, on JSON, and always."""
    import inspect

    import typer

    def option(name: str, kind: Any, default: Any, *words: str, **more: Any) -> inspect.Parameter:
        annotation = Annotated[kind, typer.Option(*words, **more)]
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, keyword, default=default, annotation=annotation)

    store = option("store", str | None, None, "--store", metavar="URL", envvar=STORE, help=_STORE)
    timeout = option("store_timeout", str, "5s", "--store-timeout", metavar="TIME", help=_TIMEOUT)
    as_json = option("as_json", bool, False, "--json", help="Print one JSON document.")
    plain = option("no_color", bool, False, "--no-color", help=_PLAIN)
    debug = option("debug", bool, False, "--debug", help="Show the traceback of an error.")
    return [store, timeout], [as_json], [plain, debug]
