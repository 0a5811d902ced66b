"""Reads of a store what `model/doctor.py` judges."""

import tzdata

from synccron.model.doctor import Finding, Rounds, judge_letters, judge_nodes
from synccron.model.lease import Node, Term, Totals
from synccron.model.schedule import Schedule
from synccron.model.time import Instant
from synccron.store.base import Store, Where


def diagnose(store: Store, now: Instant) -> list[Finding]:
    """Judge nodes, schedules and dead letters; reads every schedule, a page at a time."""
    terms = store.read(Term).items
    nodes = store.read(Node, limit=1000).items
    totals = store.read(Totals, Where(overdue=now)).items[0]
    rounds = Rounds(nodes, now)
    after: str | None = None
    while True:
        page = store.read(Schedule, after=after)
        rounds.look(page.items)
        after = page.after
        if after is None:
            break
    return [
        *judge_nodes(nodes, terms[0] if terms else None, totals, tzdata.IANA_VERSION),
        *rounds.findings(),
        *judge_letters(totals),
    ]
