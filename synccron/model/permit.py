"""Which commands of the store a node runs: all, or those that its patterns permit.

A shell reads more out of a text than words, so a pattern with a wildcard permits only plain words
there; of a list, which no shell sees, any words. What stands in the store decides nothing here.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Command = str | Sequence[str]  # a text for /bin/sh, or an argument list
Patterns = tuple[str, ...]
_PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_ -]*")  # what a shell takes as words, and as no more


def permitted(patterns: Patterns | None, command: Command) -> bool:
    """Tell whether patterns permit a command (None: all are).

    A list matches as `shlex.join` writes it. A text is permitted where it is a pattern, letter by
    letter, or matches one and has nothing in it that a shell would act on.
    """
    if patterns is None:
        return True
    import shlex
    from fnmatch import fnmatchcase

    if not isinstance(command, str):
        line = shlex.join(command)
        return any(fnmatchcase(line, each) for each in patterns)
    plain = _PLAIN.fullmatch(command) is not None
    return command in patterns or (plain and any(fnmatchcase(command, each) for each in patterns))


class Offer(NamedTuple):
    """What a node can run: handlers with labels, and of commands what its patterns permit."""

    needs: frozenset[str]
    allow_run: Patterns | None = None

    def covers(self, needs: str, command: Command | None) -> bool:
        """Tell whether it can run what needs this, a command or (None) a handler."""
        fits = needs in self.needs
        return fits and (command is None or permitted(self.allow_run, command))

    def bounds(self, needs: str) -> bool:
        """Tell whether of what needs this it runs some, and not all."""
        from synccron.model.needs import SHELL, handler_in

        return self.allow_run is not None and handler_in(needs) == SHELL

    @property
    def surely(self) -> frozenset[str]:
        """What it can run whatever the command is."""
        return frozenset(each for each in self.needs if not self.bounds(each))


def covered(offers: Iterable[Offer], needs: str, command: Command | None) -> bool:
    """Tell whether anybody can run it."""
    return any(each.covers(needs, command) for each in offers)
