"""What holds together the processes of an attempt on this host, in a word and a sentence."""

from dataclasses import dataclass
from typing import Literal

from synccron.handlers.cells import open_cells
from synccron.handlers.orphans import mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """Which of the ways holds; `limits` are those that a control group keeps beside rlimits."""

    word: Literal["cgroup", "subreaper"]
    sentence: str
    limits: tuple[str, ...] = ()


def containment() -> Containment:
    """Try what a node that is started like this process would have. Leaves nothing behind."""
    cells = open_cells(mark("containment", 0))
    if cells is None:
        return Containment(
            word="subreaper",
            sentence=(
                "what an attempt leaves behind is adopted and ended by the node's guardian, and by"
                " the guardian's heir if that is killed; a process that left the session and hid"
                " its environment goes when all attempts that ran beside it have ended"
            ),
        )
    try:
        kept = tuple(name for name in ("memory", "processes") if cells.keep(name))
    finally:
        cells.close()
    more = f", which limits {' and '.join(kept)} for all of it together" if kept else ""
    return Containment(
        word="cgroup",
        sentence=f"each attempt has a control group of its own, which is ended whole{more}",
        limits=kept,
    )
