"""The straight way to `ls`, which scripts, shells' completions and people call all the time.

To declare options, typer takes longer than the listing itself. So a command line of a plain form is
read here; whatever is not known to the letter (help, an abbreviation, a mistake) is left to the
tree of commands, which knows all and explains it. Tests hold the two together.
"""

import os
from collections.abc import Sequence
from typing import Any

_SWITCHES = {
    "-w": "wide",
    "--wide": "wide",
    "--json": "as_json",
    "--no-color": "no_color",
    "--debug": "debug",
}
_TEXTS = {"--store": "store", "--store-timeout": "store_timeout", "--label": "label"}


def run(given: dict[str, Any]) -> None:
    """List, as it was asked for."""
    from synccron.cli.call import call_of
    from synccron.cli.listing import listing

    own = {name: given.pop(name) for name in ("pattern", "label", "wide")}
    listing(call_of(**given), **own)


def read(argv: Sequence[str]) -> dict[str, Any] | None:
    """Read the parameters of `ls`, by the names in the tree; None: the line is the tree's to read.

    Also where no listing is asked for.
    """
    if not argv or argv[0] != "ls":
        return None
    given: dict[str, Any] = {
        "pattern": None,
        "label": None,
        "wide": False,
        "store": os.environ.get("SYNCCRON_STORE") or None,
        "store_timeout": "5s",
        "as_json": False,
        "no_color": False,
        "debug": False,
    }
    words = iter(argv[1:])
    for word in words:
        name, equals, text = word.partition("=")
        if word in _SWITCHES:
            given[_SWITCHES[word]] = True
        elif name in _TEXTS:
            value = text if equals else next(words, None)
            if value is None or (not equals and value.startswith("-")):
                return None
            given[_TEXTS[name]] = [*(given["label"] or ()), value] if name == "--label" else value
        elif word.startswith("-") or given["pattern"] is not None:
            return None
        else:
            given["pattern"] = word
    return given
