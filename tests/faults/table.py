"""The table of faults: what was tried, on how many slots, what broke, how soon all was well."""

from collections.abc import Iterable, Iterator

from tests.faults.field import Tried
from tests.faults.measure import median

HEAD = f"{'':4} {'FAULT':52} {'TIMES':>6} {'SLOTS':>8} {'WELL AFTER':>15}  LAWS BROKEN"


def lines(tried: Iterable[Tried]) -> Iterator[str]:
    """Write a line of each, as it stands on a terminal."""
    yield HEAD
    for each in sorted(tried, key=order):
        broken = "; ".join(each.broken[:3]) or "none"
        if len(each.broken) > 3:
            broken += f"; and {len(each.broken) - 3} more"
        yield (
            f"{each.row:4} {each.fault[:52]:52} {each.times:6} {each.slots:8,} {well(each):>15}"
            f"  {broken}"
        )
        for note in each.notes:
            yield f"         {note}"


def markdown(tried: Iterable[Tried]) -> Iterator[str]:
    """Write a table for a page, with what no failure in so many trials allows to claim."""
    yield "| | fault | times | slots | laws broken | well again: median, worst | rate below |"
    yield "|---|---|---|---|---|---|---|"
    for each in sorted(tried, key=order):
        yield (
            f"| {each.row} | {each.fault} | {each.times:,} | {each.slots:,} | {len(each.broken)}"
            f" | {well(each)} | {bound(each)} |"
        )


def merged(tried: Iterable[Tried]) -> list[Tried]:
    """Make one line of those of one fault."""
    found: dict[tuple[str, str], Tried] = {}
    for each in tried:
        line = found.setdefault((each.row, each.fault), Tried(each.row, each.fault))
        line.times += each.times
        line.slots += each.slots
        line.broken += each.broken
        line.took += each.took
    return list(found.values())


def well(tried: Tried) -> str:
    """Say how soon all was well again: the median and the worst."""
    if not tried.took:
        return ""
    return f"{median(tried.took):.1f} s, {max(tried.took):.1f} s"


def bound(tried: Tried) -> str:
    """Say what may be claimed, with a confidence of 95 %: no failure in n trials is below 3/n."""
    if tried.broken or tried.times < 3:
        return ""
    return f"{300 / tried.times:.2g} %"


def order(tried: Tried) -> tuple[int, str]:
    """Order lines by their numbers; those without one are last."""
    return (int(tried.row[1:]) if tried.row else 1000, tried.fault)
