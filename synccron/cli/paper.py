"""Text on its way to a person: made harmless, coloured where that helps, laid out in columns.

Whatever a user or a handler wrote passes `visible` (a name) or `visible_text` (what a job printed)
before it reaches a terminal. Colour only ever repeats what a word says.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TextIO

from synccron.model.time import DAY, HOUR, MINUTE, SECOND, Instant, format_instant, to_instant

_GAP = "  "
_BLOCK = 1000  # rows that are laid out at once
_LEAST = 8  # characters of a last column that has to yield
_LETTERS = {".": "green", "F": "red", "T": "red", "C": "yellow"}  # of jobs that ended
_STATES = ("STATE", "LAST", "OUTCOME")  # columns that begin with a state's word
_HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, bidi and the invisible, surrogates, breaks

_CODES = {"red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}
TONES = {
    "ok": "green",
    "completed": "green",
    "live": "green",
    "running": "cyan",
    "queued": "cyan",
    "scheduled": "cyan",
    "paused": "yellow",
    "cancelled": "yellow",
    "given_back": "yellow",
    "late": "magenta",
    "failing": "red",
    "failed": "red",
    "timed_out": "red",
    "lost": "red",
    "no-handler": "red",
    "created": "green",
    "updated": "green",
    "pruned": "yellow",
}


def visible(text: str) -> str:
    """Escape what could act on a terminal or forge a line: a name must look like what it is."""
    return text if text.isprintable() else _escaped(text, "")


def visible_text(text: str) -> str:
    """Escape the same in what a job printed, but keep its lines and tabs."""
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else _escaped(line, "\t") for line in lines)


def _escaped(text: str, kept: str) -> str:
    from unicodedata import category

    return "".join(
        one.encode("unicode_escape").decode()
        if one not in kept and category(one) in _HARMFUL
        else one
        for one in text
    )


class Paper(NamedTuple):
    """What is written on: a terminal of this width, or (None) a pipe that gets everything whole.

    `now` is what relative times are relative to; a pipe gets absolute ones, which stay true.
    """

    now: Instant
    width: int | None = None
    coloured: bool = False

    def tint(self, text: str, tone: str | None) -> str:
        """Colour a text, if this paper takes colour."""
        if not self.coloured or tone is None or not text:
            return text
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m"

    def cut(self, text: str) -> str:
        """Cut a line at the width of a terminal; a pipe gets it whole."""
        return _cut(text, self.width)

    def word(self, state: str) -> str:
        """Colour a state's own word."""
        return self.tint(state, TONES.get(state))

    def when(self, moment: datetime | None) -> str:
        """Tell an instant: `in 4m` on a terminal, RFC 3339 in a pipe, `-` for none."""
        return self.at(None if moment is None else to_instant(moment))

    def at(self, instant: Instant | None) -> str:
        """Tell an instant that is in ms in the same way."""
        if instant is None:
            return "-"
        return format_instant(instant) if self.width is None else relative(instant, self.now)

    def both(self, moment: datetime | None) -> str:
        """Tell an instant exactly, and on a terminal relatively too."""
        if moment is None:
            return "-"
        exact = format_instant(to_instant(moment))
        return exact if self.width is None else f"{exact} ({self.when(moment)})"

    def columns(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
        """Lay out rows under a header, aligned; on a terminal the last column yields to the width.

        In the columns that tell a state, its word is coloured. Rows are taken a thousand at a time,
        so that a long listing begins at once and is never held whole; columns only grow wider.
        """
        coming, widths, begun = iter(rows), list(map(len, header)), False
        while (block := list(islice(coming, _BLOCK))) or not begun:
            for column, cells in enumerate(zip(*block, strict=True)):
                widths[column] = max(widths[column], *map(len, cells))
            if not begun:
                yield self.tint(_row(header, widths[:-1]), "dim")
            begun = True
            yield from (self._line(header, row, widths[:-1]) for row in block)

    def _line(self, header: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
        room = None if self.width is None else self.width - sum(widths) - len(_GAP) * len(widths)
        cells = [*row[:-1], _cut(row[-1], room)]
        spaces = [" " * (width - len(cell)) for width, cell in zip(widths, cells, strict=False)]
        toned = map(self._toned, header, cells)
        return _GAP.join(map(str.__add__, toned, [*spaces, ""])).rstrip()

    def _toned(self, column: str, cell: str) -> str:
        if column == "PAST":
            return "".join(self.tint(letter, _LETTERS.get(letter)) for letter in cell)
        if column not in _STATES:
            return cell
        word, space, rest = cell.partition(" ")
        return self.word(word) + space + rest


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(map(str.ljust, cells, [*widths, 0])).rstrip()


def _cut(text: str, room: int | None) -> str:
    room = len(text) if room is None else max(_LEAST, room)
    return text if len(text) <= room else text[: room - 1] + "…"


def paper_for(stream: TextIO, now: Instant, *, colour: bool = True) -> Paper:
    """Judge what a stream is: colour needs a terminal that can, and nobody who objects."""
    if not stream.isatty():
        return Paper(now=now)
    dumb = os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    return Paper(now=now, width=_terminal_width(stream), coloured=colour and not dumb)


def _terminal_width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:  # it says that it is a terminal, and can't tell its size
        return 80


def relative(instant: Instant, now: Instant) -> str:
    """Tell an instant by its distance: `in 4m`, `2h ago`, `now`."""
    distance = instant - now
    if abs(distance) < SECOND:
        return "now"
    return f"in {_largest(distance)}" if distance > 0 else f"{_largest(-distance)} ago"


def _largest(duration: int) -> str:
    # rounded, as what is 3m59.7s ahead is "in 4m" to everybody
    if duration < MINUTE - SECOND // 2:
        return f"{round(duration / SECOND)}s"
    if duration < HOUR - MINUTE // 2:
        return f"{round(duration / MINUTE)}m"
    if duration < 2 * DAY - HOUR // 2:
        return f"{round(duration / HOUR)}h"
    return f"{round(duration / DAY)}d"


def write_text(stream: TextIO, text: str | bytes) -> None:
    """Write text, or bytes as they are, and see it off."""
    if isinstance(text, str):
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # a replaced stream that takes text alone
        stream.write(text.decode("utf-8", "backslashreplace"))
        return
    buffer.write(text)
    buffer.flush()


def say(line: str) -> None:
    """Tell people something on stderr, one line."""
    print(visible(line), file=sys.stderr, flush=True)
