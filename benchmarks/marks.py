"""A handler that does nothing but write down when it began."""

import os
import time
from typing import Any


def mark(ctx: Any) -> None:
    """Add a line to the file that the input names: schedule, slot, attempt, now in ns."""
    line = f"{ctx.schedule_id} {int(ctx.slot.timestamp())} {ctx.attempt} {time.time_ns()}\n"
    file = os.open(ctx.input, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
