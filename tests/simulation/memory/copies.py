"""The whole of a store in memory out, and into one that has nothing yet."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from synccron.errors import Refused
from synccron.model.copy import Base, Failing, Key, Record, bare_of_marks
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Step
from synccron.model.schedule import Revision, Schedule, Tombstone
from tests.simulation.memory.state import Lead, State


def dump(state: State) -> Iterator[Record]:
    """Give every record of a state that does not change any more."""
    counters, ticks = state.counters.copy(), [state.last_tick_at]
    for seat in state.seats.values():
        counters.update(seat.node.counters)
        ticks.append(seat.node.ticked_at)
    yield Base(
        fence=state.fence,
        epoch=state.lead.epoch,
        in_order=True,
        counters=dict(counters),
        last_tick_at=max((tick for tick in ticks if tick is not None), default=None),
        dead_letters_trimmed=state.trimmed,
        horizon=state.horizon,
    )
    yield from map(bare_of_marks, state.schedules.values())
    yield from (Failing(schedule_id=each) for each, known in state.failing.items() if known)
    yield from map(bare_of_marks, state.tombstones.values())
    for revisions in state.revisions.values():
        yield from sorted(revisions, key=lambda each: each.version)
    yield from map(bare_of_marks, sorted(state.jobs.values(), key=lambda job: state.places[job.id]))
    yield from state.outputs.values()
    yield from state.steps.values()
    for receipt in state.receipts.values():
        job = state.jobs.get(receipt.job_id)
        yield Key(
            receipt=replace(receipt, new=False),
            schedule_id=None if job is None else job.schedule_id,
            needs=None if job is None else job.needs,
        )
    yield from map(bare_of_marks, state.misses.values())
    yield from (letter for _, letter in sorted(state.letters.values(), key=lambda each: each[0]))
    yield from (bare_of_marks(each) for _, each in state.notices.values() if each.session is None)
    yield from state.deeds.values()


def loaded(empty: State, records: Iterable[Record]) -> State:
    """Give the state that has these records. Raises Refused: the first has some already."""
    held = (empty.schedules, empty.tombstones, empty.jobs, empty.receipts, empty.seats)
    if any(held):
        raise Refused("the store is not empty", hint="restore into a store that is not there yet")
    state = empty.copy()
    in_order = True
    for record in records:
        if isinstance(record, Base):
            in_order = record.in_order
        _take(state, record)
    if not in_order:
        jobs = sorted(state.jobs.values(), key=lambda job: (job.created_at, job.run_at, job.id))
        state.places = {job.id: state.next() for job in jobs}
        letters = sorted(
            (letter for _, letter in state.letters.values()), key=lambda each: (each.ts, each.id)
        )
        state.letters = {letter.id: (state.next(), letter) for letter in letters}
        deeds = sorted(state.deeds.values(), key=lambda each: each.at)
        state.deeds = {state.next(): each for each in deeds}
    return state


def _take(state: State, record: Record) -> None:
    match record:
        case Base():
            state.fence, state.lead = record.fence, Lead(epoch=record.epoch)
            state.counters.update(record.counters)
            state.trimmed, state.horizon = record.dead_letters_trimmed, record.horizon
            state.last_tick_at = record.last_tick_at
        case Schedule():
            cursor = replace(record.cursor, mod=state.next())
            state.schedules[record.id] = replace(record, mod=state.next(), cursor=cursor)
        case Failing():
            state.failing[record.schedule_id] = True
        case Tombstone():
            state.tombstones[record.id] = replace(record, mod=state.next())
        case Revision():
            known = (*state.revisions.get(record.schedule_id, ()), record)
            ordered = sorted(known, key=lambda each: each.version)
            state.revisions[record.schedule_id] = tuple(ordered)
        case Job():
            marked = replace(record, mod=state.next())
            state.jobs[record.id], state.places[record.id] = marked, marked.mod
            if not record.settled:
                state.open[record.id] = None
        case Output():
            state.outputs[record.job_id] = record
        case Step():
            state.steps[record.job_id, record.key] = record
        case Key():
            state.receipts[record.receipt.job_id] = record.receipt
        case Miss():
            state.misses[state.next()] = record
        case DeadLetter():
            state.letters[record.id] = state.next(), record
        case Notice():
            mod = state.next()
            state.notices[record.id] = mod, replace(record, mod=mod)
        case Deed():
            state.note(record)
