"""Which Python handlers there are, and where: without importing any.

A handler is an entry point of the group `synccron.handlers`, or `package.module:function`. Modules
are looked for as the import system would, but nothing of them is executed.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.machinery import PathFinder

from synccron.model.needs import SHELL

GROUP = "synccron.handlers"


@lru_cache(maxsize=1)
def entry_points() -> dict[str, str]:
    """Give the installed entry points: name to `module:attribute`. Read once a process."""
    from importlib.metadata import entry_points as installed

    return {each.name: each.value for each in installed(group=GROUP)}


def offers(needed: frozenset[str]) -> frozenset[str]:
    """Tell what this process can run: `run`, its entry points, and what it finds of `needed`."""
    found = {name for name in needed if ":" in name and findable(name)}
    return frozenset({SHELL, *entry_points(), *found})


def installed() -> frozenset[str]:
    """Give the names of the entry points: all that a node with `--only-handlers` can run."""
    return frozenset(entry_points()) - {SHELL}


def target(handler: str) -> str | None:
    """Give `module:attribute` of a handler; None: there is no such entry point."""
    return handler if ":" in handler else entry_points().get(handler)


def findable(handler: str) -> bool:
    """Tell whether there is a module for `package.module:function`."""
    module = handler.partition(":")[0]
    if module in sys.builtin_module_names:
        return True
    path: Sequence[str] | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        try:
            spec = PathFinder.find_spec(name, path)
        except (ImportError, ValueError, OSError):
            return False
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True
