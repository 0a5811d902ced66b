"""The table of what was tried."""

from typing import Any

from tests.faults.field import TRIED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say of each fault how often it was tried, on how many slots, and which laws broke."""
    if not TRIED:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'FAULT':54} {'TIMES':>6} {'SLOTS':>7}  LAWS BROKEN")
    for each in TRIED:
        broken = "; ".join(each.broken[:3]) or "none"
        if len(each.broken) > 3:
            broken += f"; and {len(each.broken) - 3} more"
        terminalreporter.write_line(f"{each.fault:54} {each.times:6} {each.slots:7}  {broken}")
        for note in each.notes:
            terminalreporter.write_line(f"    {note}")
