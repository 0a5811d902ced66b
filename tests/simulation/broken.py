"""Deliberately broken builds, each without one thing that keeps a law: the judge must see each.

Two belts hold some laws; then both are left out.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from synccron.model.job import Admission, Claim, Job, Order, Receipt, Settlement
from synccron.model.lease import Session, Term
from synccron.model.plan import Plan
from synccron.model.schedule import Schedule
from synccron.model.time import Instant
from synccron.store.base import Store, Where
from tests.simulation.memory.jobs import active_of, update
from tests.simulation.memory.schedules import write_plan
from tests.simulation.memory.state import Memory
from tests.simulation.memory.store import MemoryStore
from tests.simulation.script import Script


class NoEpoch(MemoryStore):
    """It compares neither epoch nor cursor, nor how old a plan is: whoever led once goes on."""

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        with self.memory.write():
            blind = [_of_now(self.memory, plan) for plan in plans]
            return [write_plan(self.memory, term, plan, plan.at) for plan in blind]


class NoKey(MemoryStore):
    """It compares no cursor, and its jobs have no unique key."""

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        blind = [_of_now(self.memory, plan) for plan in plans]
        return super().dispatch(term, blind)


def _of_now(memory: Memory, plan: Plan) -> Plan:
    """Let a plan look as if it had been decided from what is there now."""
    known = memory.state.schedules.get(plan.schedule_id)
    made = (
        replace(job, id=f"{job.id}#{memory.state.next()}") if job.id in memory.state.jobs else job
        for job in plan.jobs
    )
    seen = plan.seen if known is None else known.cursor.mod
    return replace(plan, seen=seen, jobs=tuple(made))


class EarlyCursor(MemoryStore):
    """It moves the cursor, and then writes what the cursor has passed."""

    _torn = False

    @contextmanager
    def torn(self) -> Iterator[None]:
        self._torn = True
        yield
        self._torn = False

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        if self._torn:
            plans = [replace(plan, jobs=(), misses=()) for plan in plans]
        return super().dispatch(term, plans)


class BlindClaim(MemoryStore):
    """It does not compare the job that is claimed."""

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        jobs = self.memory.state.jobs
        blind = []
        for each in admissions:
            known = jobs.get(each.candidate.job.id)
            mod = each.candidate.job.mod if known is None else known.mod
            job = replace(each.candidate.job, mod=mod)
            blind.append(replace(each, candidate=replace(each.candidate, job=job)))
        return super().claim(at, blind, now)


class UnguardedOverlap(MemoryStore):
    """It does not compare what is active beside the job that is claimed."""

    def claim(
        self, at: Session, admissions: Sequence[Admission], now: Instant
    ) -> Sequence[Claim | None]:
        claims: list[Claim | None] = []
        for each in admissions:
            job = each.candidate.job
            active = active_of(self.memory, job.schedule_id, job.id)
            blind = replace(each, candidate=replace(each.candidate, active=active))
            claims += super().claim(at, [blind], now)
        return claims


class UnguardedSettle(MemoryStore):
    """It compares no token: a late result is stored over a newer attempt's."""

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:
        state = self.memory.state
        for each in settlements:
            known = state.jobs.get(each.job.id)
            if known is not None and known.fence != each.claim.fence:
                state.open[known.id] = None
                update(self.memory, each.claim.job)
        return super().settle(settlements, now)


class Forgetful(MemoryStore):
    """It confirms a job before it is durable, and the job is lost with the process."""

    def enqueue(self, order: Order, keep: Instant) -> Receipt | None:
        kept = self.memory.state
        self.memory.state = kept.copy()
        receipt = super().enqueue(order, keep)
        self.memory.state = kept
        return receipt


class Spoilt:
    """A real store of which some verbs are broken."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._store, verb)


class AnyTerm(Spoilt):
    """It takes the writes of any term for those of the one that is current, and of any cursor."""

    def dispatch(self, term: Term, plans: Sequence[Plan]) -> Sequence[bool]:
        current = next(iter(self._store.read(Term).items), term)
        cursors = {each.id: each.cursor.mod for each in self._store.read(Schedule).items}
        blind = [replace(each, seen=cursors.get(each.schedule_id, 0)) for each in plans]
        return self._store.dispatch(current, blind)


class AnyToken(Spoilt):
    """It takes a late result for that of the newest attempt."""

    def settle(self, settlements: Sequence[Settlement], now: Instant) -> Sequence[Job | None]:
        ids = [each.job.id for each in settlements]
        newest = {job.id: job.fence for job in self._store.read(Job, Where(ids=ids)).items}
        late = [
            replace(each, claim=replace(each.claim, fence=newest.get(each.job.id) or 0))
            for each in settlements
        ]
        return self._store.settle(late, now)


class Leaking(Script):
    """It leaves what runs behind when its node is killed."""

    def vanish(self) -> None:
        """Leave everything."""


class Trusting(Script):
    """It lets begin what must stop, under a claim that cannot be relied on."""

    def _lapse(self) -> None:
        super()._lapse()
        self._unsure = False
