"""The large amounts of a release, in pieces: `make faults AMOUNT=release FAULTS_MINUTES=60`.

A piece is one row's tests with the amounts of `make faults` and a luck of its own. What each has
tried is noted in a file, so that another call goes on where this one ended; it begins no piece that
would not end in time, going by how long those of its row took. At the end it prints the table.
Several may run side by side, each with rows and a file of its own; SYNCCRON_BUSY=1 lets them note
how long things took, and not bound it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from synccron.clock import SystemClock
from tests.faults.field import Tried
from tests.faults.rows import ROWS, Row
from tests.faults.table import lines, markdown, merged

STATE = Path(".faults.jsonl")


class Release:
    """What has been tried so far, and what is to be tried next."""

    def __init__(self, state: Path, rows: Sequence[str] = ()) -> None:
        self._state = state
        self._rows = [row for row in ROWS if not rows or row.number in rows]
        self.tried: list[Tried] = []
        self.pieces: dict[str, list[float]] = defaultdict(list)  # of each row, how long they took
        for line in state.read_text().splitlines() if state.exists() else ():
            piece = json.loads(line)
            self._add(piece["row"], piece["took"], piece["tried"])

    def share(self, row: Row) -> float:
        """Tell how much of a row is done; 1: all of it."""
        if not self.pieces[row.number]:
            return 0.0
        return sum(each.times for each in self.tried if each.row == row.number) / row.release

    def next(self, left: float) -> Row | None:
        """Choose the row that is least done, of those that have a piece that ends in time."""
        open_ones = [row for row in self._rows if self.share(row) < 1 and self._lasts(row) <= left]
        return min(open_ones, key=self.share, default=None)

    def run(self, row: Row) -> bool:
        """Try one piece, and note it; False: a test failed."""
        clock = SystemClock()
        begun = clock.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "tried"
            told.touch()
            environment = {
                **os.environ,
                "SYNCCRON_FAULTS": "long",
                "SYNCCRON_PIECE": str(len(self.pieces[row.number])),
                "SYNCCRON_TRIED": str(told),
            }
            words = ("-m", "pytest", "-q", "--timeout", "1800", *row.tests)
            passed = subprocess.run([sys.executable, *words], env=environment, check=False)
            if passed.returncode not in (0, 1):  # it was interrupted, or found no such test
                sys.exit(f"{row.number}: pytest ended with {passed.returncode}")
            tried = [json.loads(line) for line in told.read_text().splitlines()]
        took = (clock.monotonic() - begun) / 1000
        ours = [each for each in tried if each["row"] == row.number]
        if not ours:  # tests that only pass or fail
            failed = [] if passed.returncode == 0 else ["a test failed"]
            ours = [asdict(Tried(row.number, row.fault, times=1, broken=failed))]
        with self._state.open("a") as file:
            file.write(json.dumps({"row": row.number, "took": took, "tried": ours}) + "\n")
        self._add(row.number, took, ours)
        return passed.returncode == 0

    def _lasts(self, row: Row) -> float:
        return max(self.pieces[row.number], default=0.0)

    def _add(self, row: str, took: float, tried: Sequence[dict[str, object]]) -> None:
        self.pieces[row].append(took)
        self.tried += [Tried(**each) for each in tried]  # type: ignore[arg-type]


def summary(release: Release) -> Iterator[str]:
    """Write the table, and what is left."""
    yield from lines(merged(release.tried))
    left = [f"{row.number} ({release.share(row):.0%})" for row in ROWS if release.share(row) < 1]
    yield f"to be tried yet: {', '.join(left) or 'nothing'}"


def main() -> int:
    """Run pieces for as long as told; 1: something failed, now or before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rows", nargs="*", default=(), help="only these: F1 F17")
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--markdown", action="store_true", help="only print the table for a page")
    words = parser.parse_args()
    release = Release(words.state, words.rows)
    if words.markdown:
        print("\n".join(markdown(merged(release.tried))))
        return 0
    clock = SystemClock()
    end = clock.monotonic() / 1000 + 60 * words.minutes
    passed = True
    while (row := release.next(end - clock.monotonic() / 1000)) is not None:
        print(f"{row.number} {row.fault}: {release.share(row):.0%} done", flush=True)
        passed = release.run(row) and passed
        if clock.monotonic() / 1000 >= end:
            break
    print("\n".join(summary(release)))
    return 0 if passed and not any(each.broken for each in release.tried) else 1


if __name__ == "__main__":
    sys.exit(main())
