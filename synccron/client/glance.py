"""The nodes, and the whole at a glance."""

from collections.abc import Iterable, Mapping

from synccron.client import values
from synccron.model.lease import COUNTERS, Node, Term, Totals
from synccron.model.time import Instant, to_datetime
from synccron.store.base import Store, Where
from synccron.store.history import read_all
from synccron.store.overdue import OVERDUE, overdue

OVERDUE_NAMED = 5  # of the schedules that are overdue, how many `status` names


def nodes(store: Store) -> list[values.Node]:
    """Read the nodes that are alive."""
    term = _term(store)
    found = read_all(store, Node, Where())
    return [values.Node.of(node, term) for node in found if node.live]


def status(store: Store, now: Instant) -> values.Status:
    """Read the whole at a glance."""
    term = _term(store)
    nodes = list(read_all(store, Node, Where()))
    late = now - OVERDUE
    totals = store.read(Totals, Where(overdue=late)).items[0]
    ticks = [totals.last_tick_at, *(node.ticked_at for node in nodes)]
    last = max((tick for tick in ticks if tick is not None), default=None)
    return values.Status(
        leader=None if term is None else term.node,
        epoch=None if term is None else term.epoch,
        nodes=sum(node.live for node in nodes),
        schedules=totals.schedules,
        paused=totals.paused,
        scheduled=totals.scheduled,
        queued=totals.queued,
        running=totals.running,
        dead_letters=totals.dead_letters,
        dead_letters_trimmed=totals.dead_letters_trimmed,
        overdue=totals.overdue,
        overdue_ids=_overdue_ids(store, now) if totals.overdue else (),
        oldest_due_at=None if totals.oldest_due_at is None else to_datetime(totals.oldest_due_at),
        counters=_summed([totals.counters, *(node.counters for node in nodes)]),
        last_tick_at=None if last is None else to_datetime(last),
    )


def _overdue_ids(store: Store, now: Instant) -> tuple[str, ...]:
    return tuple(each.schedule_id for each in overdue(store, now, limit=OVERDUE_NAMED))


def _term(store: Store) -> Term | None:
    found = store.read(Term).items
    return found[0] if found else None


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = dict.fromkeys(COUNTERS, 0)
    for each in counts:
        for name, value in each.items():
            total[name] = total.get(name, 0) + value
    return total
