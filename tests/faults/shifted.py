"""A wall clock that is set while processes run: `python -m tests.faults.shifted run …` is a node.

How far it is off stands in a file of eight bytes, which the environment names (`SHIFT`) and the
test writes. Monotonic time does not notice, as on a machine whose clock somebody sets.
"""

import mmap
import os
from pathlib import Path

from synccron.clock import SystemClock


class Shift:
    """How many ms a wall clock is off, for all processes that share the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def ms(self) -> int:
        return int.from_bytes(self._map[:8], "little", signed=True)

    def set(self, ms: int) -> None:
        self._map[:8] = ms.to_bytes(8, "little", signed=True)


class ShiftedClock(SystemClock):
    """The machine's clock, and what it is off."""

    def __init__(self, shift: Shift) -> None:
        self._shift = shift

    def now(self) -> int:
        return super().now() + self._shift.ms


def main() -> None:
    shift, real = Shift(Path(os.environ["SHIFT"])), SystemClock.now

    def now(self: SystemClock) -> int:
        return real(self) + shift.ms

    SystemClock.now = now  # type: ignore[method-assign]
    from synccron.__main__ import main as program

    program()


if __name__ == "__main__":
    main()
