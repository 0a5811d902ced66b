"""What is written beside jobs: misses, dead letters, and notices for people."""

from collections.abc import Iterable
from dataclasses import replace

from synccron.model.job import DeadLetter, Miss, Notice
from synccron.model.time import Instant
from tests.simulation.memory.state import Memory


def add_misses(memory: Memory, passed: Iterable[Miss]) -> frozenset[Instant]:
    """Record slots that were passed over; the slots that a new entry begins with."""
    return frozenset(miss.first for miss in passed if not _joined(memory, miss))


def _joined(memory: Memory, miss: Miss) -> bool:
    misses = memory.state.misses
    for seq, before in reversed(misses.items()) if miss.follows is not None else ():
        if (before.schedule_id, before.last, before.reason) == (
            miss.schedule_id,
            miss.follows,
            miss.reason,
        ):
            if _between(memory, before, miss):
                break
            count = before.count + miss.count
            misses[seq] = replace(miss, first=before.first, count=count, follows=None)
            return True
    misses[memory.state.next()] = replace(miss, follows=None)
    return False


def _between(memory: Memory, before: Miss, after: Miss) -> bool:
    """Tell whether a slot between two entries has another record (law 2)."""
    state, name = memory.state, after.schedule_id
    return any(
        job.kind == "slot"
        and job.schedule_id == name
        and before.last < (job.slot or 0) < after.first
        for job in state.jobs.values()
    ) or any(
        miss.schedule_id == name and before.last < miss.last and miss.first < after.first
        for miss in state.misses.values()
    )


def add_letter(memory: Memory, letter: DeadLetter) -> None:
    memory.state.letters.setdefault(letter.id, (memory.state.next(), letter))


def add_notices(
    memory: Memory, notices: Iterable[Notice], opened: frozenset[Instant] = frozenset()
) -> None:
    """Add what people are to be told; of misses only where they have `opened` an entry."""
    for each in notices:
        if each.opens is None or each.opens in opened:
            mod = memory.state.next()
            memory.state.notices.setdefault(each.id, (mod, replace(each, mod=mod)))


def untold(memory: Memory, notice: Notice) -> bool:
    known = memory.state.notices.get(notice.id)
    return known is not None and known[1].mod == notice.mod


def take_notice(memory: Memory, session: str | None, notice: Notice) -> Notice | None:
    # Told at most once: against another node that takes it in the same moment.
    if not untold(memory, notice):
        return None
    place, _ = memory.state.notices[notice.id]
    taken = replace(notice, session=session, mod=memory.state.next())
    memory.state.notices[notice.id] = place, taken
    return taken
